"""The test images that models get wrong most often: candidates for a second look at their labels."""

from dataclasses import dataclass

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
    counts: npt.NDArray[np.int64]
    """(images, classes) how many models read the image as each class."""
    always: npt.NDArray[np.int64]
    """(images,) of how many configurations every seed read it wrongly."""
    n_configurations: int

    @property
    def n_models(self) -> int:
        """Models that read each image."""
        return int(self.counts[0].sum())

    @property
    def wrong(self) -> npt.NDArray[np.int64]:
        """(images, classes) `counts` without the right class."""
        counts = self.counts.copy()
        counts[np.arange(len(counts)), self.labels] = 0
        return counts


def readings(sweep: Sweep) -> Readings | None:
    """Return the readings of every test image; None without a completed seed."""
    tested = [outcomes for each in sweep.configurations if (outcomes := each.outcomes) is not None]
    if not tested:
        return None
    images, labels = tested[0].images, tested[0].labels
    counts = np.zeros((len(images), len(sweep.classes)), dtype=np.int64)
    always = np.zeros(len(images), dtype=np.int64)
    for outcomes in tested:
        for predicted in outcomes.predicted:
            counts[np.arange(len(images)), predicted] += 1
        always += ~outcomes.correct.any(axis=0)
    return Readings(images=images, labels=labels, counts=counts, always=always, n_configurations=len(tested))


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
            "n_configurations": found.n_configurations,
            "always_misread_by": found.always,
            "wrong_under_every_seed": found.always == found.n_configurations,
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
