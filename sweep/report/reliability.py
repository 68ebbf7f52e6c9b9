"""Confidence against accuracy, and what is gained by answering only where a model is sure: two curves as tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sweep.frames import Configuration, Sweep, TestOutcomes, Units
from sweep.report.spread import within
from sweep.statistics import count_units, equal_mass_bins, risk_by_coverage, seed_interval, total_interval
from sweep.statistics.intervals import SMALLEST_CALIBRATION_SET

LEVEL = 0.95
MOST_POINTS = 50
"""Of a risk-coverage curve."""
RELIABILITY_COLUMNS = [
    *("model", "strategy", "bin", "n_seeds", "n_images", "confidence_mean", "accuracy_mean"),
    *("accuracy_total_ci_low", "accuracy_total_ci_high"),
]
COVERAGE_COLUMNS = ["model", "strategy", "n_seeds", "coverage", "risk_mean", "risk_ci_low", "risk_ci_high"]

Row = dict[str, Any]


def reliability(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and bin of confidence, the least sure bin first.

    Each seed's test images are in its own bins of equal mass, those of the calibration error. Confidence and accuracy
    are means over seeds of the bin's; the accuracy's total interval takes the bins as given: an image adds what it
    contributes to its seeds' bins, times images a bin. Fractions; blank where nothing varied.
    """
    rows = [
        {"model": each.model, "strategy": each.strategy, "n_seeds": len(each.seeds)} | row
        for each, outcomes in _with_probabilities(sweep)
        if outcomes.labels.size >= SMALLEST_CALIBRATION_SET
        for row in _bins(outcomes, sweep.units_of(outcomes))
    ]
    return pd.DataFrame(rows, columns=RELIABILITY_COLUMNS)


def _bins(outcomes: TestOutcomes, units: Units) -> Iterator[Row]:
    bins = equal_mass_bins(outcomes.confidence)
    several = count_units(outcomes.labels.size, units.groups) > 1
    for number in range(int(bins.max()) + 1):
        inside = bins == number
        n_images = int(inside[0].sum())
        accuracy = float(outcomes.correct[inside].mean())
        row: Row = {"bin": number + 1, "n_images": n_images, "accuracy_mean": accuracy}
        row["confidence_mean"] = float(outcomes.confidence[inside].mean())
        if several:
            # Every seed has as many images in the bin, so that the mean of these values is the bin's accuracy.
            values = accuracy + inside * (outcomes.correct - accuracy) * (outcomes.labels.size / n_images)
            total = within(total_interval(values, LEVEL, *units), 1.0)
            row |= {"accuracy_total_ci_low": total.low, "accuracy_total_ci_high": total.high}
        yield row


def risk_coverage(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and coverage: the share of wrong answers among the surest images, over seeds.

    At most 50 coverages a configuration, evenly spaced and up to all images; the interval is that of the seeds, cut
    to what a share can be. Fractions.
    """
    rows: list[Row] = []
    for each, outcomes in _with_probabilities(sweep):
        n_images = outcomes.labels.size
        risks = risk_by_coverage(outcomes.confidence, outcomes.correct)
        for answered in np.unique(np.linspace(0, n_images, min(MOST_POINTS, n_images) + 1).round().astype(int)[1:]):
            row: Row = {"model": each.model, "strategy": each.strategy, "n_seeds": len(each.seeds)}
            here = risks[:, answered - 1]
            row |= {"coverage": answered / n_images, "risk_mean": float(here.mean())}
            if (interval := seed_interval(here, LEVEL)) is not None:
                row |= {"risk_ci_low": max(0.0, interval.low), "risk_ci_high": min(1.0, interval.high)}
            rows.append(row)
    return pd.DataFrame(rows, columns=COVERAGE_COLUMNS)


def _with_probabilities(sweep: Sweep) -> Iterator[tuple[Configuration, TestOutcomes]]:
    for each in sweep.configurations:
        if (outcomes := each.outcomes) is not None and outcomes.has_probabilities:
            yield each, outcomes
