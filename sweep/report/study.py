"""The study's Tables 2 and 3 beside a sweep's own numbers: its one run a configuration, our mean over seeds."""

from typing import Any

import pandas as pd

from sweep.evidence import FT, LP, PG, PT, plain
from sweep.published import table

COLUMNS = [
    *("table", "model", "strategy", "metric", "class", "study_value", "n_seeds", "mean"),
    *("ci_low", "ci_high", "total_ci_low", "total_ci_high"),
]
TABLE_2 = {
    "accuracy": ("accuracy", 0.01),
    "test_loss": ("loss", 1.0),
    "f1_macro": ("f1_macro", 1.0),
    "f1_weighted": ("f1_weighted", 1.0),
}
"""The study's column -> our metric, and what its unit is in ours."""
TABLE_2_PLAIN = {
    "trainable": "percent_trainable",
    "epochs_run": "epochs_run_mean",
    "seconds_per_epoch": "seconds_per_epoch_mean",
}
"""Columns that have no interval."""
BEST = "best_strategy"

Row = dict[str, Any]


def study(summary: pd.DataFrame, per_class: pd.DataFrame) -> pd.DataFrame:
    """Return one row a number of the study's Tables 2 and 3 whose configuration has a completed trial here.

    `summary` and `per_class` are the sweep's tables. A model's "best strategy" in Table 3 is the one that is best on
    our validation images. Fractions, nats, percent trainable and seconds, as in the summary.
    """
    ours = {(row["model"], row["strategy"]): row for row in summary.to_dict("records") if row["n_seeds"]}
    rows = [row for line in table(2).to_dict("records") for row in _of_table_2(line, ours)]
    of_class = {(row["model"], row["strategy"], plain(str(row["class"]))): row for row in per_class.to_dict("records")}
    rows += [row for line in table(3).to_dict("records") for row in _of_table_3(line, ours, of_class)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_table_2(line: dict[Any, Any], ours: dict[tuple[str, str], dict[Any, Any]]) -> list[Row]:
    own = ours.get((line["model"], line["strategy"]))
    if own is None:
        return []
    named = {"table": 2, "model": line["model"], "strategy": line["strategy"], "n_seeds": own["n_seeds"]}
    limits = ("ci_low", "ci_high", "total_ci_low", "total_ci_high")
    judged = [
        named
        | {"metric": metric, "study_value": line[column] * unit, "mean": own[f"{metric}_mean"]}
        | {limit: own[f"{metric}_{limit}"] for limit in limits}
        for column, (metric, unit) in TABLE_2.items()
    ]
    return judged + [
        named | {"metric": column, "study_value": line[column], "mean": own[name]}
        for column, name in TABLE_2_PLAIN.items()
    ]


def _of_table_3(
    line: dict[Any, Any],
    ours: dict[tuple[str, str], dict[Any, Any]],
    of_class: dict[tuple[str, str, str], dict[Any, Any]],
) -> list[Row]:
    model, strategy = line["model"], line["training"]
    if strategy == BEST:
        tuned = [name for name in (PT, FT, PG) if (model, name) in ours]
        strategy = max(tuned, key=lambda name: ours[model, name]["validation_accuracy_mean"], default=LP)
    rows = []
    for name in (column for column in line if column not in ("model", "training", "macro average")):
        own = of_class.get((model, strategy, plain(str(name))))
        if own is not None and not (line["training"] == BEST and strategy == LP):
            limits = {limit: own[f"f1_{limit}"] for limit in ("ci_low", "ci_high", "total_ci_low", "total_ci_high")}
            found = {"metric": "f1", "class": own["class"], "study_value": line[name], "mean": own["f1_mean"]}
            rows.append({"table": 3, "model": model, "strategy": strategy, "n_seeds": own["n_seeds"]} | found | limits)
    return rows
