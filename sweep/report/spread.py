"""How results spread and how far probabilities can be trusted: variance by source, calibration, ensembles as tables."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.frames import ORDINARY_ARM, Configuration, Sweep, TestOutcomes
from sweep.statistics import (
    Component,
    TotalInterval,
    aurc_interval,
    brier_values,
    calibration_interval,
    count_units,
    group_values,
    loss_values,
    sd_interval,
    seed_interval,
    sources,
    total_interval,
)
from sweep.statistics.intervals import SMALLEST_CALIBRATION_SET

LEVEL = 0.95
VARIANCE_COLUMNS = ["model", "strategy", "source", "n", "sd", "sd_low", "sd_high", "share_of_test_set"]
CALIBRATION_METRICS = ("calibration_error", "loss", "brier", "aurc")
CALIBRATION_COLUMNS = [
    *("model", "strategy", "n_seeds", "ece_mean", "ece_ci_low", "ece_ci_high"),
    *(f"{metric}{suffix}" for metric in CALIBRATION_METRICS for suffix in ("", "_total_ci_low", "_total_ci_high")),
]
ENSEMBLE_COLUMNS = [
    *("model", "strategy", "n_seeds", "accuracy", "accuracy_images_ci_low", "accuracy_images_ci_high", "loss"),
    *("single_accuracy_mean", "single_loss_mean"),
]

Row = dict[str, Any]
Groups = npt.NDArray[np.int64] | None


def variance(sweep: Sweep) -> pd.DataFrame:
    """Return the standard deviation of test accuracy by source, one row a configuration and source.

    "seeds": what the seeds' accuracies on this test set show, and which share of its variance is only the test set's
    being finite. "seeds, endless test set" and "test images": the two components behind it. Other arms of the sweep
    (init, order, split) stand under their own names: between trials in which only that varied.
    """
    rows: list[Row] = []
    for each in sweep.configurations:
        rows += [_named(each) | row for row in _sources(each, sweep.groups_of(each.outcomes))]
    for (model, strategy, arm), values in _other_arms(sweep).items():
        rows.append({"model": model, "strategy": strategy, "source": arm, "n": len(values)} | _sd(sd_interval(values)))
    return pd.DataFrame(rows, columns=VARIANCE_COLUMNS)


def _sources(configuration: Configuration, groups: Groups) -> Iterator[Row]:
    outcomes = configuration.outcomes
    if outcomes is None:
        return
    count = {"n": len(outcomes.seeds)}
    correct = outcomes.correct.astype(np.float64)
    units = correct if groups is None else group_values(correct, groups)
    found = sources(units, LEVEL) if units.shape[1] > 1 else None
    share = {} if found is None else {"share_of_test_set": found.test_set_share}
    yield {"source": "seeds"} | count | _sd(sd_interval(correct.mean(axis=1), LEVEL)) | share
    if found is not None:
        yield {"source": "seeds, endless test set"} | count | _sd(found.seed)
        yield {"source": "test images" if groups is None else "groups of test images"} | count | _sd(found.image)


def _other_arms(sweep: Sweep) -> dict[tuple[str, str, str], list[float]]:
    arms: dict[tuple[str, str, str], list[float]] = {}
    for record in sweep.completed:
        if record.arm != ORDINARY_ARM:
            arms.setdefault((record.model, record.strategy, record.arm), []).append(float(record.test["accuracy"]))
    return arms


def _sd(component: Component | None) -> Row:
    if component is None:
        return {}
    return {"sd": component.sd, "sd_low": component.low, "sd_high": component.high}


def calibration(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration: how far its probabilities can be trusted.

    `ece_*` is the plug-in error with its seed interval, for comparison with other work; it is biased upwards. The
    debiased `calibration_error`, the loss (nats), the Brier score and the area under the risk-coverage curve have
    total intervals.
    """
    rows = []
    for each in sweep.configurations:
        outcomes = each.outcomes
        row = _named(each) | {"n_seeds": len(each.records)}
        enough = outcomes is not None and outcomes.labels.size >= SMALLEST_CALIBRATION_SET
        if outcomes is not None and enough and outcomes.has_probabilities:
            row |= _ece(each) | _calibration(outcomes, sweep.groups_of(outcomes))
        rows.append(row)
    return pd.DataFrame(rows, columns=CALIBRATION_COLUMNS)


def _ece(configuration: Configuration) -> Row:
    values = configuration.values("ece")
    row: Row = {"ece_mean": float(np.mean(values))}
    interval = seed_interval(values, LEVEL)
    return row if interval is None else row | {"ece_ci_low": interval.low, "ece_ci_high": interval.high}


def _calibration(outcomes: TestOutcomes, groups: Groups) -> Row:
    if count_units(outcomes.labels.size, groups) < 2:
        return {}
    log_p, labels = outcomes.log_probabilities, outcomes.labels
    found = {
        "calibration_error": calibration_interval(outcomes.confidence, outcomes.correct, LEVEL, groups),
        "loss": within(total_interval(loss_values(log_p, labels), LEVEL, groups), np.inf),
        "brier": within(total_interval(brier_values(log_p, labels), LEVEL, groups), 2.0),
        "aurc": aurc_interval(outcomes.confidence, outcomes.correct, LEVEL, groups),
    }
    return {name: value for metric, interval in found.items() for name, value in _total(metric, interval).items()}


def within(interval: TotalInterval, most: float, least: float = 0.0) -> TotalInterval:
    """Return the interval of a mean cut to the least and the most that the metric can be; that loses no coverage.

    Where nothing varied over seeds and images the limits are NaN: too little was seen to make an interval of.
    """
    if interval.variance_of_mean == 0:
        return replace(interval, low=math.nan, high=math.nan)
    return replace(interval, low=max(least, interval.low), high=min(most, interval.high))


def _total(metric: str, interval: TotalInterval) -> Row:
    return {metric: interval.mean, f"{metric}_total_ci_low": interval.low, f"{metric}_total_ci_high": interval.high}


def ensembles(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration with two seeds or more: the one model that averages its seeds' probabilities.

    Its interval is of the test images alone: another set of seeds would make another ensemble.
    """
    rows = []
    for each in sweep.configurations:
        outcomes = each.outcomes
        if outcomes is None or len(outcomes.seeds) < 2 or not outcomes.has_probabilities:
            continue
        mean_p = np.exp(outcomes.log_probabilities).mean(axis=0)
        correct = mean_p.argmax(axis=-1) == outcomes.labels
        row = _named(each) | {"n_seeds": len(outcomes.seeds), "accuracy": float(correct.mean())}
        groups = sweep.groups_of(outcomes)
        if count_units(correct.size, groups) > 1:
            interval = total_interval(correct[None, :], LEVEL, groups)
            row |= {"accuracy_images_ci_low": interval.low, "accuracy_images_ci_high": interval.high}
        with np.errstate(divide="ignore"):
            row["loss"] = float(loss_values(np.log(mean_p)[None], outcomes.labels).mean())
        row |= {"single_accuracy_mean": float(outcomes.correct.mean()), "single_loss_mean": float(outcomes.loss.mean())}
        rows.append(row)
    return pd.DataFrame(rows, columns=ENSEMBLE_COLUMNS)


def _named(configuration: Configuration) -> Row:
    return {"model": configuration.model, "strategy": configuration.strategy}
