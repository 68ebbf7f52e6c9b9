"""The test images that models get wrong most often: candidates for a second look at their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.frames import Sweep
from sweep.report.words import count, listed, number

MISREAD_COLUMNS = [
    *("image", "true", "predicted", "n_models", "misread_share", "n_configurations", "always_misread_by"),
    "wrong_under_every_seed",
]
NAMED = 3
"""Images named in the opening sentence."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What all models, every completed seed of every configuration, said of the test images."""

    images: npt.NDArray[np.int64]
    """(images,) rows of split.json's images."""
    labels: npt.NDArray[np.int64]
    """(images,) class numbers."""
    configurations: Sequence[tuple[str, str]]
    """Model and strategy of those that have a completed seed."""
    seeds: npt.NDArray[np.int64]
    """(configurations,) how many completed seeds each has."""
    by_configuration: npt.NDArray[np.int64]
    """(configurations, images, classes) how many of a configuration's models read the image as each class."""
    always: npt.NDArray[np.int64]
    """(images,) of how many configurations every seed read it wrongly."""

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(images, classes) how many models read the image as each class."""
        counts: npt.NDArray[np.int64] = self.by_configuration.sum(axis=0)
        return counts

    @property
    def n_models(self) -> int:
        """Models that read each image."""
        return int(self.seeds.sum())

    @property
    def wrong(self) -> npt.NDArray[np.int64]:
        """(images, classes) `counts` without the right class."""
        counts = self.counts.copy()
        counts[np.arange(len(counts)), self.labels] = 0
        return counts


def readings(sweep: Sweep) -> Readings | None:
    """Return the readings of every test image; None without a completed seed."""
    tested = [(each, outcomes) for each in sweep.configurations if (outcomes := each.outcomes) is not None]
    if not tested:
        return None
    images, labels = tested[0][1].images, tested[0][1].labels
    counts = np.zeros((len(tested), len(images), len(sweep.classes)), dtype=np.int64)
    for place, (_, outcomes) in enumerate(tested):
        for predicted in outcomes.predicted:
            counts[place, np.arange(len(images)), predicted] += 1
    return Readings(
        images=images,
        labels=labels,
        configurations=[(each.model, each.strategy) for each, _ in tested],
        seeds=np.array([len(outcomes.predicted) for _, outcomes in tested]),
        by_configuration=counts,
        always=np.sum([~outcomes.correct.any(axis=0) for _, outcomes in tested], axis=0, dtype=np.int64),
    )


def misread(sweep: Sweep) -> pd.DataFrame:
    """Return one row a test image that some model read wrongly, those misread by the largest share first.

    `predicted` is the most frequent wrong class, `misread_share` the share of the models, every completed seed of
    every configuration, that were wrong; `always_misread_by` counts the configurations whose every seed was.
    """
    found = readings(sweep)
    if found is None:
        return pd.DataFrame(columns=MISREAD_COLUMNS)
    wrong = found.wrong
    table = pd.DataFrame(
        {
            "image": [sweep.split_file.images[row].path for row in found.images],
            "true": [sweep.classes[label] for label in found.labels],
            "predicted": [sweep.classes[guess] for guess in wrong.argmax(axis=1)],
            "n_models": found.n_models,
            "misread_share": wrong.sum(axis=1) / found.n_models,
            "n_configurations": len(found.configurations),
            "always_misread_by": found.always,
            "wrong_under_every_seed": found.always == len(found.configurations),
        }
    )
    order = ["misread_share", "always_misread_by", "image"]
    return table[table["misread_share"] > 0].sort_values(order, ascending=[False, False, True], ignore_index=True)


def how_many_misread(table: pd.DataFrame, n_images: int) -> str:
    """Say how many of the test images were misread at all and by every model; `table` is that of `misread`."""
    of = count(n_images, "test image")
    if not len(table):
        return f"Every model read all of {of} rightly."
    every = table[table["wrong_under_every_seed"]]
    models = count(int(table["n_models"].iloc[0]), "model")
    found = f"Of {of} {len(table):,} {'was' if len(table) == 1 else 'were'} misread by at least one of {models}"
    if not len(every):
        worst = table.to_dict("records")[0]
        return (
            f"{found}, none by all of them; most often {worst['image']} (labelled {worst['true']}), by "
            f"{number(100 * worst['misread_share'], 1)} %."
        )
    named = listed([f"{row['image']} (labelled {row['true']})" for row in every.to_dict("records")], NAMED)
    return f"{found}, {len(every):,} by all of them: {named}."
