"""What other views of the same test images cost: a trial's accuracy on them beside that on the images as they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.frames import Configuration, Sweep, Units
from sweep.report.spread import within
from sweep.statistics import TotalInterval, count_units, seed_interval, total_interval

LEVEL = 0.95
VIEW_COLUMNS = [
    *("model", "strategy", "view", "n_seeds", "accuracy_mean", "accuracy_total_ci_low", "accuracy_total_ci_high"),
    *("loss_of_accuracy", "loss_of_accuracy_ci_low", "loss_of_accuracy_ci_high"),
    *("loss_of_accuracy_total_ci_low", "loss_of_accuracy_total_ci_high"),
]

Row = dict[str, Any]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Which test images the trials of a configuration got right, as they are and under one other view."""

    plain: Booleans
    """(seeds, images), images in the order of split.json."""
    altered: Booleans
    """(seeds, images), the same seeds and images."""


def views(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and view: accuracy on it, and what is lost against the images as they are.

    The loss is plain minus view, paired by seed and image: its total interval is that of these differences, its seed
    interval that of the seeds' means. A trial that did not meet a view has no part in its row. Accuracies and losses
    are fractions. Empty where no trial met a view.
    """
    rows = [
        {"model": each.model, "strategy": each.strategy, "view": view} | _row(hits, sweep.units_of(each.outcomes))
        for each in sweep.configurations
        for view, hits in hits_by_view(each).items()
    ]
    return pd.DataFrame(rows, columns=VIEW_COLUMNS)


def hits_by_view(configuration: Configuration) -> dict[str, Hits]:
    """Return the hits of every view that a completed seed of the configuration met, over the seeds that met it."""
    rows: dict[str, list[tuple[Booleans, Booleans]]] = {}
    for records in configuration.of_seeds.values():
        given = [record.predictions for record in records if record.predictions is not None]
        order = np.argsort(np.concatenate([part.test_index for part in given]), kind="stable")
        labels = np.concatenate([part.test_labels for part in given])[order]
        plain = np.concatenate([part.test_logits for part in given])[order].argmax(axis=1)
        # A seed has met a view where its model of every fold has.
        for view in (name for name in given[0].view_logits if all(name in part.view_logits for part in given)):
            altered = np.concatenate([part.view_logits[view] for part in given])[order].argmax(axis=1)
            rows.setdefault(view, []).append((plain == labels, altered == labels))
    return {
        view: Hits(plain=np.stack([plain for plain, _ in pairs]), altered=np.stack([altered for _, altered in pairs]))
        for view, pairs in rows.items()
    }


def _row(hits: Hits, units: Units) -> Row:
    lost = hits.plain.astype(np.float64) - hits.altered
    row: Row = {
        "n_seeds": len(lost),
        "accuracy_mean": float(hits.altered.mean()),
        "loss_of_accuracy": float(lost.mean()),
    }
    if (seeds := seed_interval(lost.mean(axis=1), LEVEL)) is not None:
        row |= {"loss_of_accuracy_ci_low": seeds.low, "loss_of_accuracy_ci_high": seeds.high}
    if count_units(lost.shape[1], units.groups) < 2:
        return row
    row |= _total("accuracy", total_interval(hits.altered, LEVEL, *units))
    return row | _total("loss_of_accuracy", within(total_interval(lost, LEVEL, *units), 1.0, least=-1.0))


def _total(name: str, interval: TotalInterval) -> Row:
    return {f"{name}_total_ci_low": interval.low, f"{name}_total_ci_high": interval.high}
