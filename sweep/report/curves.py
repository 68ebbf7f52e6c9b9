"""Lines over epochs, and over the number of training images."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sweep.frames import Sweep
from sweep.report import words
from sweep.report.drawing import COLOURS, Drawing, line_style, plain, short, whisker
from sweep.report.tables import LEVEL
from sweep.report.words import count, listed
from sweep.statistics import seed_interval

Table = pd.DataFrame
CURVES = (
    ("validation_accuracy", "validation accuracy (%)", 100.0),
    ("validation_loss", "validation loss", 1.0),
    ("train_loss", "training loss", 1.0),
)
WHOLE_HEIGHT = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
"""An axis on which 0 is the bottom of a drawing and 1 its top, whatever the other shows."""


def training_curves(sweep: Sweep) -> list[Drawing]:
    """Return validation accuracy and both losses by epoch, one drawing a model and metric, a line and band a strategy.

    A thin line stands at every epoch from which another share of the parameters trains.
    """
    drawings = []
    strategies = list(dict.fromkeys(each.strategy for each in sweep.configurations))
    for number, (model, history) in enumerate(sweep.history.groupby("model", sort=False)):
        for metric, title, scale in CURVES:
            traces: list[go.Scatter] = []
            of_seeds = scale * _of_seeds(history, metric)
            told = f"Mean over seeds by epoch, {history['strategy'].nunique()} lines and bands."
            for name, group in history.groupby("strategy", sort=False):
                strategy = str(name)
                own = of_seeds[of_seeds.index.get_level_values("strategy") == strategy]
                traces += _curve(own, scale, strategy, strategies.index(strategy))
                if changes := _changes(group):
                    traces.append(_change_lines(changes, strategy, strategies.index(strategy)))
                    told += f" {strategy} trains other parameters from epoch {listed([f'{e}' for e in changes])} on."
            drawings.append(
                Drawing(
                    key=f"figure-curve-{number}-{metric.replace('_', '-')}",
                    title=f"{model}: {title}",
                    description=told,
                    figure=go.Figure(
                        traces,
                        {
                            "xaxis": _epochs_axis(history),
                            "yaxis": _values_axis(of_seeds, title),
                            "yaxis2": WHOLE_HEIGHT,
                        },
                    ),
                    height=320,
                    model=str(model),
                )
            )
    return drawings


def _epochs_axis(history: Table) -> dict[str, Any]:
    """Return an axis with at most ten ticks, on whole epochs."""
    return {"title": {"text": "epoch"}, "tick0": 1, "dtick": math.ceil(history["epoch"].max() / 10)}


def _of_seeds(history: Table, metric: str) -> "pd.Series[float]":
    """Return a metric by strategy, epoch and seed, folds together."""
    return history.groupby(["strategy", "epoch", "seed"], sort=False)[metric].mean().dropna()


def _values_axis(values: "pd.Series[float]", title: str) -> dict[str, Any]:
    """Return an axis that holds every seed's value.

    A band may reach beyond: that of the last two seeds in training can be many times as wide as all there is to see.
    """
    axis: dict[str, Any] = {"title": {"text": title}}
    if values.empty:
        return axis
    room = 0.05 * (values.max() - values.min()) or 0.05 * abs(values.max()) or 1.0
    return axis | {"range": [float(values.min() - room), float(values.max() + room)]}


def _curve(of_seeds: "pd.Series[float]", scale: float, strategy: str, place: int) -> list[go.Scatter]:
    """Return the band and the line of a strategy, over the seeds that still trained in an epoch."""
    colour = COLOURS[place % len(COLOURS)]
    epochs, means, n_seeds, told, band, ends = [], [], [], [], [], []
    for epoch, values in of_seeds.groupby(level="epoch"):
        numbers = np.asarray(values, dtype=np.float64)
        epochs.append(epoch)
        means.append(float(numbers.mean()))
        digits, unit = (1, " %") if scale > 1 else (3, "")
        interval = seed_interval(numbers, LEVEL)
        ends.append((interval.low, interval.high) if interval else (None, None))
        if interval:
            band.append((epoch, interval.low, interval.high))
        between = f" (seed interval {words.span(interval.low, interval.high, digits=digits)})" if interval else ""
        of = count(numbers.size, "seed")
        n_seeds.append(numbers.size)
        told.append(f"{plain(strategy)}, epoch {epoch}<br>{numbers.mean():.{digits}f}{unit}{between}, {of}")
    shape = [(epoch, high) for epoch, _, high in band] + [(epoch, low) for epoch, low, _ in reversed(band)]
    common = {"legendgroup": plain(strategy), "name": short(strategy)}
    return [
        go.Scatter(
            x=[x for x, _ in shape],
            y=[y for _, y in shape],
            fill="toself",
            fillcolor=colour,
            opacity=0.18,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            meta={"strategy": strategy, "aside": True},
            **common,
        ),
        go.Scatter(
            x=epochs,
            y=means,
            mode="lines+markers",
            **line_style(place, 5),
            hovertext=told,
            hoverinfo="text",
            meta={
                "strategy": strategy,
                "n": n_seeds,
                "low": [low for low, _ in ends],
                "high": [high for _, high in ends],
            },
            **common,
        ),
    ]


def _changes(history: Table) -> dict[int, float]:
    """Return the epochs of a strategy's history from which another share of the parameters trains, with the share."""
    shares = history.dropna(subset="percent_trainable").groupby("epoch", as_index=False)["percent_trainable"].max()
    changed = shares[shares["percent_trainable"].diff().fillna(0) != 0]
    return dict(zip(changed["epoch"].astype(int), changed["percent_trainable"].astype(float), strict=True))


def _change_lines(changes: Mapping[int, float], strategy: str, place: int) -> go.Scatter:
    """Return a thin line at each of these epochs; their text is at the foot, where a mark stands."""
    words = [
        f"{plain(strategy)}<br>from epoch {epoch} on {share:.1f} % of the parameters train"
        for epoch, share in changes.items()
    ]
    return go.Scatter(
        x=[x for epoch in changes for x in (epoch, epoch, None)],
        y=[0.04, 1, None] * len(changes),
        yaxis="y2",
        mode="lines+markers",
        line={"color": COLOURS[place % len(COLOURS)], "width": 1, "dash": "dot"},
        marker={"symbol": "triangle-up", "size": [8, 0, 0] * len(changes)},
        hovertext=[text for line in words for text in (line, line, None)],
        hoverinfo="text",
        legendgroup=plain(strategy),
        meta={"strategy": strategy, "aside": True},
        showlegend=False,
    )


def data_curves(shares: Table) -> list[Drawing]:
    """Return test accuracy against the number of training images, one drawing a model, a line a strategy.

    Whiskers are total intervals. `shares` is the table of that name.
    """
    strategies = list(dict.fromkeys(shares["strategy"]))
    axes = {
        "xaxis": {"title": {"text": "training images"}, "type": "log", "tickvals": sorted(set(shares["train_images"]))},
        "yaxis": {"title": {"text": "test accuracy (%)"}},
    }
    return [
        Drawing(
            key=f"figure-shares-{number}",
            title=f"{model}: accuracy by training images",
            description="Means over seeds; whiskers are total intervals. The table beneath holds every number.",
            figure=go.Figure(
                [
                    _data_curve(str(name), rows, strategies.index(str(name)))
                    for name, rows in table.groupby("strategy", sort=False)
                ],
                axes,
            ),
            height=320,
            model=str(model),
        )
        for number, (model, table) in enumerate(shares.groupby("model", sort=False))
    ]


def _data_curve(strategy: str, rows: Table, place: int) -> go.Scatter:
    mean, low, high = (100 * rows[f"accuracy_{end}"] for end in ("mean", "total_ci_low", "total_ci_high"))
    return go.Scatter(
        # Side by side, or whiskers would hide one another.
        x=(rows["train_images"] * 1.02**place).tolist(),
        y=mean.tolist(),
        error_y=whisker((high - mean).tolist(), 1.5, (mean - low).tolist()),
        mode="lines+markers",
        name=short(strategy),
        **line_style(place, 6),
        hovertext=[
            f"{plain(strategy)}<br>{row['train_images']:,} training images: {100 * row['accuracy_mean']:.1f} %, "
            f"{row['n_seeds']} seeds"
            for row in rows.to_dict("records")
        ],
        hoverinfo="text",
        meta={"strategy": strategy},
    )
