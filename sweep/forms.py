"""What a results folder's files must look like to be read: the first thing that is of another form is named.

A digest tells a record that was edited; a form tells one that another program wrote, and sweep.json, which has none.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from animefer_core.record import TrialRecord

Fault = Iterator[str]
"""Names of what is of another form, as test.accuracy."""

SAME_SHARE = 1e-6
"""Difference up to which two accuracies are one number, written and read again."""
TIMES = ("epoch", "seconds", "images_per_second")
"""What every epoch has."""
SHARES = ("precision", "recall", "f1")
METRICS = ("accuracy", "f1_macro", "f1_weighted", "precision_macro", "recall_macro")
OF_PROBABILITIES = ("loss", "ece")
"""Metrics that are null where there are no probabilities."""


def fault_of_record(record: TrialRecord, classes: Sequence[str]) -> str | None:
    """Return which of a record's values is of another form than a record's, or than its predictions; None if none is.

    `classes` are those of split.json.
    """
    return next(_faults(record, classes), None)


def fault_of_plan(plan: Any) -> str | None:
    """Return which field of sweep.json lacks or is of another form; None if none is."""
    if not isinstance(plan, Mapping):
        return "all of it"
    wanted: Mapping[str, Callable[[Any], bool]] = {
        "name": _is_text,
        "images_digest": _is_text,
        "fingerprint": _is_table,
        "planned": lambda trials: isinstance(trials, list) and all(map(_is_planned, trials)),
        "calls": lambda calls: isinstance(calls, list) and all(map(_is_call, calls)),
    }
    if not _is_table_of_tables(plan.get("search", {})):
        return "search"
    return next((name for name, fits in wanted.items() if name not in plan or not fits(plan[name])), None)


def _faults(record: TrialRecord, classes: Sequence[str]) -> Fault:
    for name in ("model", "strategy", "arm", "split_digest", "weights_digest"):
        yield from _unless(_is_text(getattr(record, name)), name)
    yield from _unless(_is_whole(record.seed), "seed")
    yield from _unless(record.status in ("completed", "failed"), "status")
    for name in ("config", "validation", "test", "efficiency", "environment", "error"):
        yield from _unless(_is_table(getattr(record, name)), name)
    yield from _unless(_is_number(record.config.get("train_fraction", 1.0)), "config.train_fraction")
    cap = record.config.get("epochs_cap")
    yield from _unless(cap is None or _is_whole(cap), "config.epochs_cap")
    yield from _unless(_is_table(record.environment.get("versions") or {}), "environment.versions")
    for name in ("normalisation", "weights_normalisation"):
        yield from _unless(_is_normalisation(record.environment.get(name)), f"environment.{name}")
    for name in ("host", "device_name", "test_met_at"):
        yield from _unless(_is_text(record.environment.get(name) or ""), f"environment.{name}")
    yield from _unless(isinstance(record.history, list), "history")
    if record.status == "completed":
        yield from _of_completed(record, classes)


def _of_completed(record: TrialRecord, classes: Sequence[str]) -> Fault:
    yield from _unless(_is_whole(record.epochs_run), "epochs_run")
    yield from _unless(_is_known(record.percent_trainable), "percent_trainable")
    for name, value in record.efficiency.items():
        yield from _unless(isinstance(value, bool) or _is_known(value), f"efficiency.{name}")
    for epoch in record.history:
        fits = _is_table(epoch) and all(_is_number(epoch.get(name)) for name in TIMES)
        yield from _unless(fits, "history")
    for name in ("accuracy", "loss"):
        yield from _unless(_is_known(record.validation.get(name)), f"validation.{name}")
    told = OF_PROBABILITIES if record.environment.get("probabilities", True) else ()
    yield from _of_test(record.test, classes, (*METRICS, *told))
    if (found := record.predictions) is not None:
        right = float(np.mean(found.test_logits.argmax(axis=1) == found.test_labels))
        yield from _unless(abs(record.test["accuracy"] - right) < SAME_SHARE, "test.accuracy")


def _of_test(test: Mapping[str, Any], classes: Sequence[str], metrics: Sequence[str]) -> Fault:
    for name in metrics:
        yield from _unless(_is_number(test.get(name)), f"test.{name}")
    rows = test.get("per_class")
    fits = isinstance(rows, list) and all(map(_is_class, rows)) and [row["class"] for row in rows] == list(classes)
    yield from _unless(fits, "test.per_class")
    yield from _unless(_is_square(test.get("confusion"), len(classes)), "test.confusion")


def _unless(fits: bool, name: str) -> Fault:
    if not fits:
        yield name


def _is_planned(trial: Any) -> bool:
    texts = ("trial_id", "model", "strategy", "arm", "split_digest")
    known = {*texts, "seed", "train_fraction"}
    return (
        _is_table(trial)
        and trial.keys() <= known
        and all(_is_text(trial.get(name)) for name in texts)
        and _is_whole(trial.get("seed"))
        and _is_number(trial.get("train_fraction", 1.0))
    )


def _is_call(call: Any) -> bool:
    return (
        _is_table(call)
        and _is_text(call.get("at"))
        and isinstance(call.get("command", []), list)
        and _is_table(call.get("settings", {}))
    )


def _is_normalisation(value: Any) -> bool:
    """Whether it is mean and deviation, or nothing."""
    return not value or (
        _is_table(value)
        and all(isinstance(value.get(name), list) and all(map(_is_number, value[name])) for name in ("mean", "std"))
    )


def _is_table_of_tables(value: Any) -> bool:
    return _is_table(value) and all(map(_is_table, value.values()))


def _is_class(row: Any) -> bool:
    return _is_table(row) and all(_is_number(row.get(name)) for name in SHARES) and _is_whole(row.get("support"))


def _is_square(table: Any, size: int) -> bool:
    return (
        isinstance(table, list)
        and len(table) == size
        and all(isinstance(row, list) and len(row) == size and all(map(_is_whole, row)) for row in table)
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_known(value: Any) -> bool:
    """Return whether a value is a number or not there."""
    return value is None or _is_number(value)
