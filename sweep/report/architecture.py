"""Strategy by architecture: the grid of means, what each strategy brings to each model, and their interaction."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.drawing import CELLS_WITH_TEXT, DARKEST_FROM, Drawing, heat_map, plain
from sweep.report.filtering import Place
from sweep.report.words import count, listed, name_of, number, plus_minus, span, total_range
from sweep.verdicts import UNDECIDED

MOST_NAMED = 3
Grid = Mapping[tuple[str, str], Mapping[Any, Any]]


def sides(summary: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the models and the strategies of a summary, each once and in its order."""
    return list(dict.fromkeys(summary["model"])), list(dict.fromkeys(summary["strategy"]))


def is_a_grid(summary: pd.DataFrame) -> bool:
    """Whether two models and two strategies at least have a completed seed."""
    models, strategies = sides(summary[summary["n_seeds"] > 0])
    return len(models) > 1 and len(strategies) > 1


def grid_in_words(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table of test accuracy, a row a model and a column a strategy, in percent."""
    models, strategies = sides(summary)
    cells = _cells(summary)

    def words(row: Mapping[Any, Any] | None) -> str:
        if row is None or not row["n_seeds"]:
            return ""
        interval = total_range(row, "accuracy", 100, 1)
        return plus_minus(row, "accuracy", 100, 1) + (f" ({interval})" if interval else "")

    rows = [[model, *(words(cells.get((model, name))) for name in strategies)] for model in models]
    return ["model", *strategies], rows


def interaction(effects: pd.DataFrame) -> str:
    """Say in one sentence whether what a strategy brings depends on the model; `effects` is the table, in accuracy."""
    tested = effects[(effects["effect"] == "interaction") & effects["p"].notna()]
    question = "Whether what a strategy brings depends on the model"
    if not len(tested):
        return f"{question} is not tested: that takes every combination of them on two common seeds at least."
    by_distance = sorted(tested.to_dict("records"), key=lambda row: -abs(row["difference"]))
    decided = [row for row in by_distance if row["verdict"] != UNDECIDED]
    if len(tested) == 1 and decided:
        row = decided[0]
        return (
            f"What a strategy brings depends on the model: {row['a']}/{row['b']} lies {_points(row)} what model and "
            "strategy say by themselves."
        )
    if decided:
        return (
            f"What a strategy brings depends on the model: {len(decided)} of {count(len(tested), 'combination')} "
            f"{'lies' if len(decided) == 1 else 'lie'} off what model and strategy say by themselves"
            f"{', farthest' if len(decided) > 1 else ':'} {listed([_off(row) for row in decided[:MOST_NAMED]])}."
        )
    return (
        f"{question} is undecided: farthest off what the two say by themselves is {_off(by_distance[0])}, where "
        f"{number(100 * by_distance[0]['smallest_detectable'], 1)} points had to be reached."
    )


def _off(row: Mapping[Any, Any]) -> str:
    return f"{row['a']}/{row['b']} ({_points(row)})"


def _points(row: Mapping[Any, Any]) -> str:
    return f"{number(100 * abs(row['difference']), 1)} points {'above' if row['difference'] > 0 else 'below'}"


def architecture(summary: pd.DataFrame, gains: pd.DataFrame | None, chance: float) -> list[Drawing]:
    """Return the maps of mean test accuracy and of gain over the linear probe, rows models and columns strategies.

    Colours of the accuracy run from `chance` to 1. Without a table of gains there is the first map alone.
    """
    models, strategies = sides(summary)
    means = _map(_cells(summary), "accuracy_mean", _mean_words, models, strategies)
    means.update_layout(coloraxis={"cmin": min(100 * chance, 99)})
    drawings = [_drawing("accuracy", "Mean test accuracy (%)", means, summary["accuracy_mean"], models, strategies)]
    if gains is None:
        return drawings
    gains = gains[(gains["metric"] == "accuracy") & gains["gain"].notna()]
    if not len(gains):
        return drawings
    brought = [name for name in strategies if name in set(gains["strategy"])]
    over = _map(_cells(gains), "gain", _gain_words, models, brought)
    over.update_layout(
        coloraxis={
            "cmin": min(0.0, 100 * float(gains["gain"].min())),
            "cmax": max(DARKEST_FROM, 100 * float(gains["gain"].max())),
        }
    )
    title = "Gain in test accuracy over the linear probe (points)"
    return [*drawings, _drawing("gain", title, over, gains["gain"], models, brought)]


def _cells(table: pd.DataFrame) -> Grid:
    return {(row["model"], row["strategy"]): row for row in table.to_dict("records")}


def _map(cells: Grid, column: str, told: Any, models: Sequence[str], strategies: Sequence[str]) -> Any:
    rows = [[cells.get((model, name), {}) for name in strategies] for model in models]
    values = [[100 * row.get(column, math.nan) for row in line] for line in rows]
    figure = heat_map(values, "%{text}", [[told(row) for row in line] for line in rows], strategies, models)
    if len(models) * len(strategies) <= CELLS_WITH_TEXT:
        figure.update_traces(text=[[number(value, 1) for value in line] for line in values])
    return figure


def _drawing(
    key: str, title: str, figure: Any, values: pd.Series, models: Sequence[str], strategies: Sequence[str]
) -> Drawing:
    least, most = 100 * float(np.nanmin(values)), 100 * float(np.nanmax(values))
    return Drawing(
        key=f"figure-architecture-{key}",
        title=f"{title}, models by strategies",
        description=f"{span(least, most)}. The tables beneath hold every number.",
        figure=figure,
        height=max(220, 110 + 42 * len(models)),
        rows=[Place(name=name, model=name) for name in models],
        columns=[Place(name=name, strategy=name) for name in strategies],
    )


def _mean_words(row: Mapping[Any, Any]) -> str:
    if not row or not row["n_seeds"]:
        return "no completed seed"
    lines = [
        plain(name_of(row)),
        f"{plus_minus(row, 'accuracy', 100, 1)} %, {row['n_seeds']} of {row['n_planned']} seeds",
    ]
    if interval := total_range(row, "accuracy", 100, 1):
        lines.append(f"total interval {interval} %")
    return "<br>".join(lines)


def _gain_words(row: Mapping[Any, Any]) -> str:
    if not row:
        return "no gain known"
    lines = [plain(name_of(row)), f"{number(100 * row['gain'], 1)} points over the linear probe"]
    lines.append(count(row["n_seeds"], "seed"))
    if interval := span(row["total_ci_low"], row["total_ci_high"], 100):
        lines.append(f"total interval {interval} points")
    return "<br>".join(lines)
