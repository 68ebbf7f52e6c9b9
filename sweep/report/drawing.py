"""What all figures share: a figure with its words, colours and marks, labels, heat maps and whiskers.

Plotly reads markup in every text it draws, so all names pass through `plain`. Colours are Okabe and Ito's (2008),
told apart without red-green vision, the last two darkened until all have a contrast of 3 to 1 with light and with dark
paper; they never carry a meaning alone: marks and dashes differ with them. Colours of text, grid and paper are left to
the page, which knows whether it is light or dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sweep.report.filtering import Place

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#6F7FDF")
MARKS = ("circle", "square", "diamond", "cross", "x", "star", "pentagon", "hexagram")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
GREY = "#767676"
LONGEST_LABEL = 26
LONGEST_CLASS = 16
DARKEST_FROM = 10.0
"""Points of accuracy: the least loss that is drawn in the darkest colour."""
CELLS_WITH_TEXT = 144
"""Cells of a heat map up to which each has its number written in it."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure with its words."""

    key: str
    """Its anchor in the page: letters, digits and dashes."""
    title: str
    description: str
    """What a reader who does not see it should know."""
    figure: go.Figure
    height: int
    """In pixels."""
    model: str | None = None
    """The model that all of it is of; None where there are several."""
    strategy: str | None = None
    """The same of a strategy."""
    rows: Sequence[Place] = ()
    """What stands at 0, 1, … of the y axis, where it is no quantity."""
    columns: Sequence[Place] = ()
    """The same of the x axis."""
    metric: str | None = None
    """Of a figure that is there once a metric: which one this is."""


def plain(text: object) -> str:
    """Return text that Plotly draws as it stands, without reading markup or entities in it."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return text for a label: cut in the middle where it is long, and plain."""
    if len(text) <= longest:
        return plain(text)
    half = (longest - 1) // 2
    return plain(f"{text[:half]}…{text[-half:]}")


def line_style(place: int, size: int) -> dict[str, Any]:
    """Return line and marker of the strategy at a place: colour, dash and mark together, marks of this size."""
    return {
        "line": {"color": COLOURS[place % len(COLOURS)], "width": 2, "dash": DASHES[place % len(DASHES)]},
        "marker": {"symbol": MARKS[place % len(MARKS)], "size": size},
    }


def faint(colour: str) -> str:
    """Return a colour for the inside of a bar, whose outline has the colour itself."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.45)"


def heat_map(z: Any, template: str, hover: list[list[str]], columns: Sequence[str], rows: Sequence[str]) -> go.Figure:
    """Return a heat map of percentages from 0 to 100; the page gives its colour axis the scale of its theme."""
    heat = go.Heatmap(
        z=[[float(value) if is_known(value) else None for value in row] for row in z],
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        texttemplate=template if len(rows) * len(columns) <= CELLS_WITH_TEXT else None,
        hovertext=hover,
        hoverinfo="text",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
    )
    layout = rows_axis(rows) | {"coloraxis": {"cmin": 0, "cmax": 100, "showscale": False}}
    ticks = {"tickvals": list(range(len(columns))), "ticktext": [short(name, LONGEST_CLASS) for name in columns]}
    return go.Figure(heat, layout | {"xaxis": ticks | {"tickangle": -40, "showgrid": False, "zeroline": False}})


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return a layout whose y axis names rows from the top."""
    return {
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": [short(name) for name in names],
            "range": [len(names) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        }
    }


def whisker(plus: Sequence[float], thickness: float, minus: Sequence[float] | None = None) -> dict[str, Any]:
    """Return error bars without caps; a length that does not exist is 0."""
    bars = {"type": "data", "array": [_length(value) for value in plus], "thickness": thickness, "width": 0}
    return bars if minus is None else bars | {"symmetric": False, "arrayminus": [_length(value) for value in minus]}


def _length(value: float) -> float:
    return value if is_known(value) else 0.0


def is_known(value: float) -> bool:
    """Whether there is such a number."""
    return not math.isnan(value)
