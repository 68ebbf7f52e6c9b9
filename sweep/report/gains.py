"""What fine-tuning brings beyond the linear probe of the same model (the study's Figures 7 and 9), as a table."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from sweep.evidence import LP, plain
from sweep.frames import Configuration, Sweep
from sweep.matrices import Matrices
from sweep.published import table
from sweep.report.differences import LEVEL
from sweep.report.study import BEST, TABLE_2
from sweep.statistics import class_f1_values, total_interval

METRICS = ("accuracy", "f1_macro", "loss")
CLASS_F1 = "f1"
COLUMNS = [
    *("model", "strategy", "metric", "class", "n_seeds"),
    *("gain", "total_ci_low", "total_ci_high", "study_gain"),
]

Row = dict[str, Any]
Numbers = tuple[str, str, str, str]
"""Model, strategy, metric, and the class as `plain` writes it or nothing."""


def gains(sweep: Sweep, matrices: Matrices | None, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return one row a number that a configuration has more than its model's linear probe; none for the probe itself.

    Accuracy, macro F1 and loss are the rows of `comparisons`, the sweep's table, as strategy − probe, so that of the
    loss less than 0 is the better. `f1` of a class is on the same seeds and has the total interval of its own
    differences, seed by seed and image by image; blank for a class without a test image. Fractions, and nats.
    `study_gain` is the study's, where it has the configuration: by class of each model's best strategy only.
    """
    if matrices is None:
        return pd.DataFrame(columns=COLUMNS)
    whole = _of_comparisons(comparisons)
    probes = {each.model: each for each in sweep.configurations if each.strategy == LP}
    published = {} if sweep.imported else _of_study()
    rows: list[Row] = []
    for each in sweep.configurations:
        if found := whole.get((each.model, each.strategy)):
            by_class = _by_class(sweep, each, probes[each.model], matrices)
            rows += [{"model": each.model, "strategy": each.strategy} | row for row in [*found, *by_class]]
    for row in rows:
        row["study_gain"] = published.get((row["model"], row["strategy"], row["metric"], plain(row.get("class", ""))))
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[5:], "float64"))


def of_best(gains: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by class of the strategy of each model that is best on the validation images.

    Without validation images a model's only strategy beside the probe stands for it, and of several none does.
    """
    validation = {(row["model"], row["strategy"]): row["validation_accuracy_mean"] for _, row in summary.iterrows()}
    by_class = gains[gains["metric"] == CLASS_F1]
    chosen = []
    for model, rows in by_class.groupby("model", sort=False):
        tried = list(dict.fromkeys(rows["strategy"]))
        judged = {name: validation[model, name] for name in tried if pd.notna(validation[model, name])}
        if judged or len(tried) == 1:
            best = max(judged, key=lambda name: judged[name], default=tried[0])
            chosen.append(rows[rows["strategy"] == best])
    return pd.concat(chosen) if chosen else by_class.head(0)


def _of_comparisons(comparisons: pd.DataFrame) -> dict[tuple[str, str], list[Row]]:
    """Return a row a metric by model and strategy, from the rows a − b of which one is the model's probe."""
    found: dict[tuple[str, str], list[Row]] = {}
    own = (comparisons["family"] == "all_pairs") & (comparisons["model_a"] == comparisons["model_b"])
    for row in comparisons[own & comparisons["metric"].isin(METRICS)].to_dict("records"):
        strategies = [row["strategy_a"], row["strategy_b"]]
        if LP not in strategies:
            continue
        gain, low, high = row["difference"], row["total_ci_low"], row["total_ci_high"]
        if strategies[0] == LP:
            # Taken from 0, so that no difference does not become minus nothing.
            gain, low, high = 0 - gain, 0 - high, 0 - low
        (strategy,) = (name for name in strategies if name != LP)
        limits = {"gain": gain, "total_ci_low": low, "total_ci_high": high}
        found.setdefault((row["model_a"], strategy), []).append(
            {"metric": row["metric"], "n_seeds": row["n_seeds"]} | limits
        )
    return found


def _by_class(sweep: Sweep, tuned: Configuration, probe: Configuration, matrices: Matrices) -> Iterator[Row]:
    seeds = _common_seeds(tuned, probe, matrices)
    for number, name in enumerate(sweep.classes):
        row = {"metric": CLASS_F1, "class": name, "n_seeds": len(seeds[0])}
        yield row | _class_gain(tuned, probe, seeds, number, matrices)


def _common_seeds(a: Configuration, b: Configuration, matrices: Matrices) -> tuple[tuple[int, ...], ...]:
    """Return the seeds on which `comparisons` has the pair: the family's, or where one has left it the pair's own."""
    if {a.name, b.name} <= set(matrices.names):
        return tuple(matrices.seeds[matrices.names.index(each.name)] for each in (a, b))
    return matrices.match([a, b])


def _class_gain(
    tuned: Configuration, probe: Configuration, seeds: tuple[tuple[int, ...], ...], number: int, matrices: Matrices
) -> Row:
    """Return the gain in a class's F1 with its limits; no limits where nothing varied."""
    a, b = tuned.outcomes, probe.outcomes
    if a is None or b is None or not seeds[0] or number not in a.labels:
        return {}
    of_a, of_b = (
        class_f1_values(each.predicted[each.rows(common)], each.labels, number)
        for each, common in zip((a, b), seeds, strict=True)
    )
    total = total_interval(of_a - of_b, LEVEL, *matrices.units)
    if total.variance_of_mean == 0:
        return {"gain": total.mean}
    return {"gain": total.mean, "total_ci_low": total.low, "total_ci_high": total.high}


def _of_study() -> dict[Numbers, float]:
    """Return the study's own gains, to the four decimals of its tables.

    Its Table 3 names no strategy: a model's best is the one that is most accurate in Table 2.
    """
    lines = {(line["model"], line["strategy"]): line for line in table(2).to_dict("records")}
    found: dict[Numbers, float] = {}
    for (model, strategy), line in lines.items():
        for column, (metric, unit) in TABLE_2.items():
            if strategy != LP:
                found[model, strategy, metric, ""] = round((line[column] - lines[model, LP][column]) * unit, 4)
    by_class = {(line["model"], line["training"]): line for line in table(3).to_dict("records")}
    for (model, training), line in by_class.items():
        if training == BEST:
            best = max((key for key in lines if key[0] == model), key=lambda key: lines[key]["accuracy"])
            for name in (column for column in line if column not in ("model", "training", "macro average")):
                gain = line[name] - by_class[model, LP][name]
                found[*best, CLASS_F1, plain(str(name))] = round(gain, 4)
    return found
