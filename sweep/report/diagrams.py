"""How far probabilities can be trusted, drawn: reliability diagrams and risk-coverage curves, one a model."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sweep.report.drawing import GREY, Drawing, line_style, plain, short, whisker
from sweep.report.words import count, span

HEIGHT = 340
UNDER = (
    "Reliability: a mark is a bin of equally many test images, the least sure on the left; the grey line is where "
    "confidence and accuracy agree, beneath it a model is surer than it is right; whiskers are 95 % total intervals of "
    "that bin's accuracy, each by itself, none where nothing varied. Risk and coverage: share of wrong answers among "
    "the images of which the model is surest, mean over seeds, on hover with its 95 % seed interval; on the right all "
    "images, where it is 1 − accuracy. Every number of these curves is in tables/risk_coverage.csv."
)


def reliability_diagrams(table: pd.DataFrame) -> list[Drawing]:
    """Return accuracy against confidence by bin, one drawing a model and a line a strategy, from that table."""
    strategies = list(dict.fromkeys(table["strategy"]))
    axes = _axes("mean confidence (%)", "accuracy (%)")
    drawings = []
    for number, (model, rows) in enumerate(table.groupby("model", sort=False)):
        lines = [
            _line(str(name), strategies.index(name), 100 * bins["confidence_mean"], 100 * bins["accuracy_mean"])
            | {"error_y": _interval(bins), "hovertext": [_bin_words(row) for row in bins.to_dict("records")]}
            for name, bins in rows.groupby("strategy", sort=False)
        ]
        surer = int((rows["confidence_mean"] > rows["accuracy_mean"]).sum())
        drawings.append(
            Drawing(
                key=f"figure-reliability-{number}",
                title=f"{model}: reliability",
                description=f"In {surer} of {len(rows)} bins the mean confidence is above the accuracy. "
                "The table beneath holds every number.",
                figure=go.Figure([_agreement(), *map(go.Scatter, lines)], axes),
                height=HEIGHT,
                model=str(model),
            )
        )
    return drawings


def coverage_curves(table: pd.DataFrame) -> list[Drawing]:
    """Return the share of wrong answers against coverage, one drawing a model and a line a strategy."""
    strategies = list(dict.fromkeys(table["strategy"]))
    axes = _axes("coverage: the surest images (%)", "wrong among them (%)")
    axes["yaxis"]["range"] = [-2, min(102, 100 * float(table["risk_mean"].max()) + 5)] if len(table) else [0, 100]
    return [
        Drawing(
            key=f"figure-coverage-{number}",
            title=f"{model}: risk and coverage",
            description="Means over seeds. Every number is in tables/risk_coverage.csv.",
            figure=go.Figure(
                [
                    _line(str(name), strategies.index(name), 100 * points["coverage"], 100 * points["risk_mean"])
                    | {"mode": "lines", "hovertext": [_point_words(row) for row in points.to_dict("records")]}
                    for name, points in rows.groupby("strategy", sort=False)
                ],
                axes,
            ),
            height=HEIGHT,
            model=str(model),
        )
        for number, (model, rows) in enumerate(table.groupby("model", sort=False))
    ]


def _axes(x: str, y: str) -> dict[str, Any]:
    whole = {"range": [-2, 102]}
    return {"xaxis": {"title": {"text": x}} | whole, "yaxis": {"title": {"text": y}} | whole}


def _agreement() -> go.Scatter:
    return go.Scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )


def _line(strategy: str, place: int, x: pd.Series, y: pd.Series) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x.tolist(),
        "y": y.tolist(),
        "mode": "lines+markers",
        "name": short(strategy),
        "hoverinfo": "text",
        "meta": {"strategy": strategy},
    } | line_style(place, 6)


def _interval(bins: pd.DataFrame) -> dict[str, Any]:
    mean, low, high = (100 * bins[f"accuracy_{end}"] for end in ("mean", "total_ci_low", "total_ci_high"))
    return whisker((high - mean).tolist(), 1, (mean - low).tolist())


def _bin_words(row: dict[Any, Any]) -> str:
    interval = span(row["accuracy_total_ci_low"], row["accuracy_total_ci_high"], 100)
    return (
        f"{plain(row['strategy'])}, bin {row['bin']}: {count(row['n_images'], 'image')} of {_seeds(row)}<br>"
        f"confidence {100 * row['confidence_mean']:.1f} %, accuracy {100 * row['accuracy_mean']:.1f} %"
        + (f"<br>total interval {interval} %" if interval else "")
    )


def _point_words(row: dict[Any, Any]) -> str:
    interval = span(row["risk_ci_low"], row["risk_ci_high"], 100)
    return (
        f"{plain(row['strategy'])}, {_seeds(row)}<br>"
        f"{100 * row['coverage']:.0f} % answered: {100 * row['risk_mean']:.1f} % wrong"
        + (f"<br>({interval})" if interval else "")
    )


def _seeds(row: dict[Any, Any]) -> str:
    return count(row["n_seeds"], "seed")
