"""The sweep's tables, computed from its records.

A value that does not exist (no completed seed, or an interval over a single one) is an empty cell.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from animefer_core.record import TrialRecord
from sweep.claims import claims
from sweep.frames import Configuration, Sweep, TestOutcomes
from sweep.matrices import paired
from sweep.report.conditions import lead, of_shares, of_splits, shares, splits
from sweep.report.confusions import confused_pairs
from sweep.report.differences import comparisons, effects, power, ranking
from sweep.report.gains import gains
from sweep.report.misread import misread
from sweep.report.reliability import reliability, risk_coverage
from sweep.report.spread import calibration, ensembles, variance, within
from sweep.report.strategies import strategies
from sweep.report.study import study
from sweep.report.views import views
from sweep.statistics import (
    TotalInterval,
    calibration_interval,
    class_f1_values,
    count_units,
    f1_values,
    seed_interval,
    total_interval,
)
from sweep.statistics.intervals import SMALLEST_CALIBRATION_SET

LEVEL = 0.95
TOTAL_METRICS = ("accuracy", "f1_macro", "f1_weighted", "loss")
NEED_PROBABILITIES = ("loss", "ece")
"""Metrics that predicted classes alone do not give."""
SEED_SUFFIXES = ("mean", "sd", "ci_low", "ci_high")
TOTAL_SUFFIXES = ("total_ci_low", "total_ci_high")
SUMMARY_COLUMNS = [
    *("model", "strategy", "n_seeds", "n_planned"),
    *(f"{metric}_{suffix}" for metric in TOTAL_METRICS for suffix in (*SEED_SUFFIXES, *TOTAL_SUFFIXES)),
    *(f"ece_{suffix}" for suffix in SEED_SUFFIXES),
    *("calibration_error", *(f"calibration_error_{suffix}" for suffix in TOTAL_SUFFIXES)),
    *("percent_trainable", "epochs_run_mean", "seconds_per_epoch_mean", "images_per_second_mean"),
    *("validation_accuracy_mean", "validation_loss_mean"),
    *("accuracy_min", "accuracy_max"),
]
EFFICIENCY_MEANS = (
    "train_images_per_second",
    "eval_images_per_second",
    "latency_ms",
    "trial_seconds",
    "peak_memory_bytes",
    "parameters",
    "trainable_parameters",
    "flops_per_image",
)
EFFICIENCY_COLUMNS = [
    *("model", "strategy", "n_seeds", "training_seconds_mean", "seconds_per_epoch_mean", "images_per_second_mean"),
    *("percent_trainable", "epochs_run_mean"),
    *(f"{name}_mean" for name in EFFICIENCY_MEANS),
    "energy_joules_mean",
    "shared_device",
]
PER_CLASS_COLUMNS = [
    *("model", "strategy", "class", "n_seeds", "support", "precision_mean", "recall_mean"),
    *(f"f1_{suffix}" for suffix in (*SEED_SUFFIXES, *TOTAL_SUFFIXES)),
]
CONFUSION_COLUMNS = ["model", "strategy", "n_seeds", "true", "predicted", "count_mean", "share_mean", "share_sd"]

Row = dict[str, Any]


def all_tables(sweep: Sweep) -> dict[str, pd.DataFrame]:
    """Return every table by its file's name, without the ending.

    Imported predictions have none of the training, nor of the study's claims; without probabilities there is none of
    calibration and ensembles, without a linear probe none of gains over it, and where no trial met another view of the
    test images none of those.
    """
    matrices = paired(sweep)
    here, confusions = summary(sweep), confusion(sweep)
    tables = {
        "summary": _of_every_condition(sweep, here),
        "per_class": per_class(sweep),
        "confusion": confusions,
        "confused_pairs": confused_pairs(confusions),
        "misread": misread(sweep),
        "comparisons": comparisons(matrices),
        "ranking": ranking(sweep, matrices),
        "effects": effects(matrices),
        "power": power(matrices),
        "variance": variance(sweep),
    }
    if len(of_splits(sweep)) > 1:
        tables["splits"] = splits(sweep)
    if len(of_shares(sweep)) > 1:
        tables |= {"shares": shares(sweep), "lead": lead(sweep)}
    over_the_probe = gains(sweep, matrices, tables["comparisons"])
    if len(over_the_probe):
        tables["gains"] = over_the_probe
    if any(each.has_probabilities for each in sweep.configurations):
        tables |= {"calibration": calibration(sweep), "ensembles": ensembles(sweep)}
        tables |= {"reliability": reliability(sweep), "risk_coverage": risk_coverage(sweep)}
    altered = views(sweep)
    if len(altered):
        tables["views"] = altered
    if not sweep.imported:
        tables |= {"efficiency": efficiency(sweep), "ledger": sweep.ledger, "strategies": strategies(sweep)}
        tables["claims"] = claims(sweep, matrices)
        beside = study(here, tables["per_class"])
        if len(beside):
            tables["study"] = beside
    return tables | {"trials": sweep.trials}


def summary(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration: every metric's mean with its seed and total interval, and what it cost.

    `<m>_ci_*` is Student's t over seeds on this test set; `<m>_total_ci_*` is for new seeds and new test images.
    Metrics are fractions, the loss and `seconds` in nats and seconds, percent_trainable in percent.
    """
    return _frame([_summary_row(sweep, each) for each in sweep.configurations], SUMMARY_COLUMNS)


def _of_every_condition(sweep: Sweep, here: pd.DataFrame) -> pd.DataFrame:
    """Return the summary `here`, and where the folder holds other splits or shares theirs beneath, each named."""
    if not sweep.others:
        return here
    found = [(sweep, here), *((each, summary(each)) for each in sweep.others)]
    named = [table.assign(split=each.division.name, train_fraction=each.train_fraction) for each, table in found]
    return pd.concat(named, ignore_index=True)


def per_class(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and class: mean precision and recall, and F1 with both intervals."""
    rows = []
    for each in sweep.configurations:
        entries = [{entry["class"]: entry for entry in test["per_class"]} for test in each.tests]
        for number, name in enumerate(sweep.classes) if entries else ():
            values = {key: [entry[name][key] for entry in entries] for key in ("precision", "recall", "f1")}
            row = {"model": each.model, "strategy": each.strategy, "class": name, "n_seeds": len(entries)}
            row |= {"support": entries[0][name]["support"]} | _over_seeds("f1", values["f1"])
            row |= {f"{key}_mean": float(np.mean(values[key])) for key in ("precision", "recall")}
            row |= _class_total(sweep, each.outcomes, number)
            rows.append(row)
    return _frame(rows, PER_CLASS_COLUMNS)


def confusion(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and pair of classes, averaged over seeds; shares are of the true class."""
    blocks = []
    for each in sweep.configurations:
        if not each.records:
            continue
        counts = np.asarray([test["confusion"] for test in each.tests], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            shares = counts / counts.sum(axis=2, keepdims=True)
        size = len(sweep.classes)
        block = pd.DataFrame({"true": np.repeat(sweep.classes, size), "predicted": np.tile(sweep.classes, size)})
        block = block.assign(model=each.model, strategy=each.strategy, n_seeds=len(counts))
        block["count_mean"] = counts.mean(axis=0).ravel()
        block["share_mean"] = shares.mean(axis=0).ravel()
        block["share_sd"] = shares.std(axis=0, ddof=1).ravel() if len(counts) > 1 else np.nan
        blocks.append(block[CONFUSION_COLUMNS])
    return pd.concat(blocks, ignore_index=True) if blocks else _frame([], CONFUSION_COLUMNS)


def efficiency(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration: means over seeds of time, throughput, memory and size.

    `shared_device` is true where any of its trials shared the device, so that times are not those of a free one.
    Energy, which a card counts for all that it does, is of the trials alone that had it to themselves.
    """
    rows = []
    for each in sweep.configurations:
        row = {"model": each.model, "strategy": each.strategy, "n_seeds": len(each.seeds)} | _cost(each)
        row["training_seconds_mean"] = _mean_of(each, lambda record: sum(e["seconds"] for e in record.history))
        for name in EFFICIENCY_MEANS:
            row[f"{name}_mean"] = _mean_of(each, _entry("efficiency", name))
        row["energy_joules_mean"] = _mean_of(each, _own_energy)
        if each.records:
            row["shared_device"] = any(record.efficiency.get("shared_device") for record in each.records)
        rows.append(row)
    return _frame(rows, EFFICIENCY_COLUMNS)


def _summary_row(sweep: Sweep, configuration: Configuration) -> Row:
    row: Row = {
        "model": configuration.model,
        "strategy": configuration.strategy,
        "n_seeds": len(configuration.seeds),
        "n_planned": len(configuration.planned_seeds),
    }
    row |= _cost(configuration)
    outcomes = configuration.outcomes
    if outcomes is None:
        return row
    for metric in (*TOTAL_METRICS, "ece"):
        if configuration.has_probabilities or metric not in NEED_PROBABILITIES:
            row |= _over_seeds(metric, configuration.values(metric))
    row |= {
        "accuracy_min": min(configuration.values("accuracy")),
        "accuracy_max": max(configuration.values("accuracy")),
    }
    for metric in ("accuracy", "loss"):
        row[f"validation_{metric}_mean"] = _mean_of(configuration, _entry("validation", metric))
    for metric, total in _totals(sweep, outcomes).items():
        row |= {f"{metric}_total_ci_low": total.low, f"{metric}_total_ci_high": total.high}
        if metric == "calibration_error":
            row[metric] = total.mean
    return row


def _totals(sweep: Sweep, outcomes: TestOutcomes) -> dict[str, TotalInterval]:
    """Return the total interval of every metric that has one; none for a single test image or group."""
    units = sweep.units_of(outcomes)
    if count_units(outcomes.labels.size, units.groups) < 2:
        return {}
    f1 = (outcomes.predicted, outcomes.labels, len(sweep.classes))
    totals = {
        "accuracy": total_interval(outcomes.correct, LEVEL, *units),
        "f1_macro": within(total_interval(f1_values(*f1, "macro"), LEVEL, *units), 1.0),
        "f1_weighted": within(total_interval(f1_values(*f1, "weighted"), LEVEL, *units), 1.0),
    }
    if not outcomes.has_probabilities:
        return totals
    totals["loss"] = within(total_interval(outcomes.loss, LEVEL, *units), np.inf)
    if outcomes.labels.size >= SMALLEST_CALIBRATION_SET:
        totals["calibration_error"] = calibration_interval(outcomes.confidence, outcomes.correct, LEVEL, *units)
    return totals


def _class_total(sweep: Sweep, outcomes: TestOutcomes | None, number: int) -> Row:
    """Return the total interval of a class's F1; blank without a test image of it, or with a single image or group."""
    if outcomes is None or number not in outcomes.labels:
        return {}
    units = sweep.units_of(outcomes)
    if count_units(outcomes.labels.size, units.groups) < 2:
        return {}
    total = within(total_interval(class_f1_values(outcomes.predicted, outcomes.labels, number), LEVEL, *units), 1.0)
    return {"f1_total_ci_low": total.low, "f1_total_ci_high": total.high}


def _over_seeds(metric: str, values: list[float]) -> Row:
    row: Row = {f"{metric}_mean": float(np.mean(values))}
    interval = seed_interval(values, LEVEL)
    if interval is not None:
        row |= {f"{metric}_sd": interval.sd, f"{metric}_ci_low": interval.low, f"{metric}_ci_high": interval.high}
    return row


def _cost(configuration: Configuration) -> Row:
    """Return what a configuration's trials cost: means over seeds, of the epochs' means where they are per epoch."""
    return {
        "percent_trainable": _mean_of(configuration, lambda record: record.percent_trainable),
        "epochs_run_mean": _mean_of(configuration, lambda record: record.epochs_run or None),
        "seconds_per_epoch_mean": _mean_of(configuration, lambda record: _epoch_mean(record, "seconds")),
        "images_per_second_mean": _mean_of(configuration, lambda record: _epoch_mean(record, "images_per_second")),
    }


def _epoch_mean(record: TrialRecord, name: str) -> float | None:
    return float(np.mean([epoch[name] for epoch in record.history])) if record.history else None


def _entry(field: str, name: str) -> Callable[[TrialRecord], float | None]:
    """Return what reads one entry of a record's efficiency{} or validation{}; None where it lacks it."""
    return lambda record: getattr(record, field).get(name)


def _own_energy(record: TrialRecord) -> float | None:
    return None if record.efficiency.get("shared_device") else record.efficiency.get("energy_joules")


def _mean_of(configuration: Configuration, value: Callable[[TrialRecord], float | None]) -> float | None:
    """Return the mean over the completed seeds that have the value; None where none has."""
    found = [number for record in configuration.records if (number := value(record)) is not None]
    return float(np.mean(found)) if found else None


def _frame(rows: list[Row], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=columns)
    measured = [
        name
        for name in columns
        if name.endswith(("_mean", "_sd", "_low", "_high", "_error", "_trainable", "_min", "_max"))
    ]
    return table.astype(dict.fromkeys(measured, "float64"))
