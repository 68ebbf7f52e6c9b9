"""How results spread and how far probabilities can be trusted: variance by source, calibration, ensembles as tables."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from animefer_core.record import TrialRecord
from sweep.frames import ORDINARY_ARM, SPLIT_ARM, Configuration, Sweep, TestOutcomes, Units
from sweep.report.conditions import same_share, split_sources
from sweep.report.words import name_of
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
    summed,
    total_interval,
)
from sweep.statistics.folds import folds_of_groups
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


def variance(sweep: Sweep) -> pd.DataFrame:
    """Return the standard deviation of test accuracy by source, one row a configuration and source.

    "seeds": what the seeds' accuracies on this test set show, and which share of its variance is only the test set's
    being finite. "seeds, endless test set" and "test images": the two components behind it; under folds a third one,
    of the training images. Arms (init, order, augmentation, split) stand under their own names: between trials in
    which only that varied; "same seeds again" where nothing did, which leaves what the hardware does; and the sum of
    what all seeds and the split do. Random splits: between them beyond what seeds explain, and between seeds within.
    """
    rows: list[Row] = []
    for each in sweep.configurations:
        found = [*_sources(each, sweep.units_of(each.outcomes)), *split_sources(sweep, each)]
        rows += [_named(each) | row for row in found]
    for condition in (each for each in sweep.conditions if same_share(each, sweep)):
        arms, where = _arms(condition), "" if condition is sweep else f" ({condition.division.name})"
        rows += [
            _named(each) | row | {"source": f"{row['source']}{where}"}
            for each in condition.configurations
            for row in _varied(each, arms)
        ]
    order = {each.name: place for place, each in enumerate(sweep.configurations)}
    rows.sort(key=lambda row: order.get(name_of(row), len(order)))
    return pd.DataFrame(rows, columns=VARIANCE_COLUMNS)


def _sources(configuration: Configuration, belonging: Units) -> Iterator[Row]:
    outcomes = configuration.outcomes
    if outcomes is None:
        return
    count = {"n": len(outcomes.seeds)}
    correct = outcomes.correct.astype(np.float64)
    groups, folds = belonging
    units = correct if groups is None else group_values(correct, groups)
    folds = folds if folds is None or groups is None else folds_of_groups(folds, groups)
    found = sources(units, LEVEL, folds) if units.shape[1] > 1 else None
    share = {} if found is None else {"share_of_test_set": found.test_set_share}
    seeds = _sd(sd_interval(correct.mean(axis=1), LEVEL))
    if found is not None and found.within_folds is not None:
        yield {"source": "seeds, means over folds"} | count | seeds
        yield {"source": "seeds"} | count | _sd(found.within_folds) | share
    else:
        yield {"source": "seeds"} | count | seeds | share
    if found is not None:
        yield {"source": "seeds, endless test set"} | count | _sd(found.seed)
        yield {"source": "test images" if groups is None else "groups of test images"} | count | _sd(found.image)
        if found.fold is not None and folds is not None:
            yield {"source": "training images between folds", "n": len(np.unique(folds))} | _sd(found.fold)


def _arms(sweep: Sweep) -> dict[str, list[TrialRecord]]:
    """Return the completed trials in which one thing alone varied, by their configuration."""
    arms: dict[str, list[TrialRecord]] = {}
    for record in sweep.completed:
        if record.arm != ORDINARY_ARM:
            arms.setdefault(f"{record.model}/{record.strategy}", []).append(record)
    return arms


def _varied(configuration: Configuration, arms: Mapping[str, Sequence[TrialRecord]]) -> Iterator[Row]:
    """Yield what each thing that varied alone does, what is left where none did, and the sum of seeds and split."""
    by_arm: dict[str, list[TrialRecord]] = {}
    for record in arms.get(configuration.name, ()):
        by_arm.setdefault(record.arm, []).append(record)
    spread = {arm: _spread_of(records) for arm, records in by_arm.items()}
    for arm, records in by_arm.items():
        yield {"source": f"{arm} alone", "n": len(records)} | _sd(spread[arm])
    if not by_arm:
        return
    repeats = _repeats([*configuration.records, *(record for records in by_arm.values() for record in records)])
    if len(repeats) > 1:
        yield {"source": "same seeds again", "n": len(repeats)} | _sd(_spread_of(repeats))
    seeds, split = _spread_of(configuration.records), spread.get(SPLIT_ARM)
    if seeds is not None and split is not None:
        counts = len(configuration.records), len(by_arm[SPLIT_ARM])
        parts = [(part.sd, n - 1.0) for part, n in zip((seeds, split), counts, strict=True)]
        yield {"source": "all seeds and the split summed", "n": sum(counts)} | _sd(summed(parts, LEVEL))


def _spread_of(records: Sequence[TrialRecord]) -> Component | None:
    return sd_interval([float(record.test["accuracy"]) for record in records], LEVEL)


def _repeats(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the largest set of trials that had the same seeds and split."""
    alike: dict[str, list[TrialRecord]] = {}
    for record in records:
        key = json.dumps([record.config.get("streams"), record.split_digest], sort_keys=True)
        alike.setdefault(key, []).append(record)
    return max(alike.values(), key=len)


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
        row = _named(each) | {"n_seeds": len(each.seeds)}
        enough = outcomes is not None and outcomes.labels.size >= SMALLEST_CALIBRATION_SET
        if outcomes is not None and enough and outcomes.has_probabilities:
            row |= _ece(each) | _calibration(outcomes, sweep.units_of(outcomes))
        rows.append(row)
    return pd.DataFrame(rows, columns=CALIBRATION_COLUMNS)


def _ece(configuration: Configuration) -> Row:
    values = configuration.values("ece")
    row: Row = {"ece_mean": float(np.mean(values))}
    interval = seed_interval(values, LEVEL)
    return row if interval is None else row | {"ece_ci_low": interval.low, "ece_ci_high": interval.high}


def _calibration(outcomes: TestOutcomes, units: Units) -> Row:
    if count_units(outcomes.labels.size, units.groups) < 2:
        return {}
    log_p, labels = outcomes.log_probabilities, outcomes.labels
    found = {
        "calibration_error": calibration_interval(outcomes.confidence, outcomes.correct, LEVEL, *units),
        "loss": within(total_interval(loss_values(log_p, labels), LEVEL, *units), np.inf),
        "brier": within(total_interval(brier_values(log_p, labels), LEVEL, *units), 2.0),
        "aurc": aurc_interval(outcomes.confidence, outcomes.correct, LEVEL, units.groups),
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
        units = sweep.units_of(outcomes)
        if count_units(correct.size, units.groups) > 1:
            interval = total_interval(correct[None, :], LEVEL, *units)
            row |= {"accuracy_images_ci_low": interval.low, "accuracy_images_ci_high": interval.high}
        with np.errstate(divide="ignore"):
            row["loss"] = float(loss_values(np.log(mean_p)[None], outcomes.labels).mean())
        row |= {"single_accuracy_mean": float(outcomes.correct.mean()), "single_loss_mean": float(outcomes.loss.mean())}
        rows.append(row)
    return pd.DataFrame(rows, columns=ENSEMBLE_COLUMNS)


def _named(configuration: Configuration) -> Row:
    return {"model": configuration.model, "strategy": configuration.strategy}
