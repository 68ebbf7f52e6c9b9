"""What accuracy costs: configurations against time, memory and size, and those that none beats in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sweep.report.drawing import COLOURS, GREY, MARKS, Drawing, plain, short, whisker
from sweep.report.words import count, listed, names_of, number, span

NARROW = 5
"""Costs that differ by no more than this factor are drawn on a linear axis."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One price of a configuration."""

    key: str
    column: str
    """Of the table of efficiency."""
    unit: float
    """How much of the column is one of what is drawn."""
    title: str
    name: str
    """In a sentence."""


COSTS = (
    Cost(
        key="time",
        column="training_seconds_mean",
        unit=60,
        title="training minutes of one trial",
        name="training time",
    ),
    Cost(key="memory", column="peak_memory_bytes_mean", unit=2**20, title="peak memory (MiB)", name="peak memory"),
    Cost(key="parameters", column="parameters_mean", unit=1e6, title="parameters (millions)", name="parameters"),
)


def with_costs(summary: pd.DataFrame, efficiency: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    """Return the summary's rows that have an accuracy and this cost, with `name`, `cost`, and `front`.

    `front` is true where no other has at least that accuracy at no more of the cost, and is better in one of the two;
    by means over seeds, as they stand.
    """
    costs = efficiency[["model", "strategy", cost.column]].rename(columns={cost.column: "cost"})
    rows = summary.merge(costs, on=["model", "strategy"])
    rows = rows[rows["accuracy_mean"].notna() & rows["cost"].notna()].reset_index(drop=True)
    rows["cost"] = rows["cost"].astype("float64") / cost.unit
    rows["name"] = names_of(rows)
    return rows.assign(front=_front(rows["cost"].tolist(), rows["accuracy_mean"].tolist()))


def _front(costs: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    points = list(zip(costs, accuracies, strict=True))
    return [
        not any(
            other_cost <= cost and other >= accuracy and (other_cost, other) != (cost, accuracy)
            for other_cost, other in points
        )
        for cost, accuracy in points
    ]


def on_the_fronts(summary: pd.DataFrame, efficiency: pd.DataFrame) -> str:
    """Name the configurations that no other beats in accuracy and each cost at once."""
    told = []
    for cost in COSTS:
        rows = with_costs(summary, efficiency, cost)
        if rows["name"].nunique() > 1:
            front = rows[rows["front"]].sort_values("cost")["name"].tolist()
            told.append(f"for {cost.name} {listed(front, 20)}")
    if not told:
        return ""
    return (
        f"By their means, no other configuration is both as accurate and as cheap as these, the cheapest first: "
        f"{'; '.join(told)}. Of these gaps in accuracy and cost none is tested here."
    )


def accuracy_by_cost(summary: pd.DataFrame, efficiency: pd.DataFrame, cost: Cost) -> Drawing | None:
    """Return mean test accuracy against a cost, with seed intervals, the front outlined and joined by a line.

    None where fewer than two configurations have it.
    """
    rows = with_costs(summary, efficiency, cost)
    if len(rows) < 2:
        return None
    front = rows[rows["front"]].sort_values("cost")
    traces = [_front_line(front)]
    for place, (strategy, group) in enumerate(rows.groupby("strategy", sort=False)):
        traces.append(_marks(str(strategy), group, place, cost))
    # On a logarithmic axis the ticks are 1, 2, 5, 10, …: a narrow range may hold none of them.
    logarithmic = rows["cost"].max() > NARROW * rows["cost"].min() > 0
    scale = {"type": "log", "dtick": "D2", "minorloglabels": "complete"} if logarithmic else {"type": "linear"}
    axes = {
        "xaxis": {"title": {"text": cost.title}} | scale,
        "yaxis": {"title": {"text": "test accuracy (%)"}},
    }
    return Drawing(
        key=f"figure-accuracy-{cost.key}",
        title=f"Test accuracy against {cost.name}",
        description=f"One mark a configuration, {cost.title}{' on a logarithmic scale' if logarithmic else ''}. "
        f"On the front: {listed(front['name'].tolist(), 20)}.",
        figure=go.Figure(traces, axes),
        height=340,
    )


def _front_line(front: pd.DataFrame) -> go.Scatter:
    """Return the front as steps: what is the best mean accuracy for that much."""
    return go.Scatter(
        x=front["cost"].tolist(),
        y=(100 * front["accuracy_mean"]).tolist(),
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dot", "shape": "hv"},
        name="front",
        hoverinfo="skip",
        showlegend=False,
        customdata=_whose(front),
    )


def _whose(rows: pd.DataFrame) -> list[list[str]]:
    return rows[["model", "strategy"]].to_numpy().tolist()


def _marks(strategy: str, rows: pd.DataFrame, place: int, cost: Cost) -> go.Scatter:
    words = [
        f"{plain(row['name'])}<br>{100 * row['accuracy_mean']:.1f} %{_seed_interval(row)}, "
        f"{count(row['n_seeds'], 'seed')}<br>"
        f"{number(row['cost'], 2)} {cost.title}{'<br>on the front' if row['front'] else ''}"
        for row in rows.to_dict("records")
    ]
    half = 100 * (rows["accuracy_ci_high"] - rows["accuracy_mean"])
    return go.Scatter(
        x=rows["cost"].tolist(),
        y=(100 * rows["accuracy_mean"]).tolist(),
        error_y=whisker(half.tolist(), 1.5),
        mode="markers",
        name=short(strategy),
        marker={
            "color": COLOURS[place % len(COLOURS)],
            "symbol": MARKS[place % len(MARKS)],
            "size": [13 if front else 9 for front in rows["front"]],
            "opacity": 1,
            "line": {"color": GREY, "width": [2.5 if front else 0 for front in rows["front"]]},
        },
        hovertext=words,
        hoverinfo="text",
        customdata=_whose(rows),
    )


def _seed_interval(row: Mapping[Any, Any]) -> str:
    interval = span(row["accuracy_ci_low"], row["accuracy_ci_high"], 100)
    return f" (seed interval {interval})" if interval else ""
