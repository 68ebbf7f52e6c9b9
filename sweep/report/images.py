"""The report's figures as files for a paper, SVG or PDF, drawn by Plotly's own export in a browser of this machine."""

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from animefer_core.errors import InputError
from sweep.report.drawing import Drawing, plain

FORMATS = ("svg", "pdf")
WIDTH = 760
"""In pixels, 96 an inch."""
TITLE = 76
"""Pixels above a drawing for its title and two lines of legend."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INK, LINE, PAPER = "#1d2329", "#dcdfe2", "#ffffff"
AXIS = {"gridcolor": LINE, "linecolor": LINE, "zerolinecolor": LINE, "automargin": True, "ticks": ""}
TEMPLATE: dict[str, Any] = {
    "data": {"heatmap": [{"textfont": {"color": INK}}]},
    "layout": {
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "Helvetica, Arial, sans-serif", "size": 12, "color": INK},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "margin": {"l": 12, "r": 16, "t": TITLE, "b": 12},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "coloraxis": {"colorscale": [[0, "#ffffff"], [0.5, "#b9d8ee"], [1, "#5ea3d4"]]},
    },
}
"""The page's light theme on white paper."""


def check_export(formats: Sequence[str]) -> None:
    """Raise InputError, with what to install, where figures in these formats cannot be drawn here."""
    asked = f"--format {','.join(formats)}"
    if importlib.util.find_spec("kaleido") is None:
        raise InputError(f'{asked}: figures need the package kaleido; pip install "animefer[figures]" brings it.')
    if _browser() is None:
        raise InputError(f"{asked}: figures are drawn by Chromium or Chrome, and there is none; install one of them.")


def write_figures(drawings: Sequence[Drawing], directory: Path, formats: Sequence[str]) -> list[Path]:
    """Write every drawing into `directory` in each format ("svg", "pdf"), named by its key, and return the files.

    Raises InputError where the browser fails; there are then no new files.
    """
    import kaleido

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".") as beside:
        names = [f"{drawing.key.removeprefix('figure-')}.{ending}" for drawing in drawings for ending in formats]
        figures = [(drawing, ending) for drawing in drawings for ending in formats]
        content = [
            {"fig": _on_paper(drawing), "path": str(Path(beside) / name), "opts": _size(drawing) | {"format": ending}}
            for (drawing, ending), name in zip(figures, names, strict=True)
        ]
        try:
            # Without MathJax, which would be fetched from the network.
            options = {"mathjax": False, "path": _browser()}
            kaleido.write_fig_from_object_sync(content, kopts=options, cancel_on_error=True)
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"--format {','.join(formats)}: {_browser()} could not draw the figures ({why})."
            ) from error
        for name in names:
            (Path(beside) / name).replace(directory / name)
    return [directory / name for name in names]


def _on_paper(drawing: Drawing) -> dict[str, Any]:
    """Return a figure's JSON with its title and the colours of paper."""
    content = drawing.figure.to_plotly_json()
    title = {"text": plain(drawing.title), "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top"}
    layout = content["layout"] | _size(drawing) | {"template": TEMPLATE, "title": title | {"pad": {"t": 10}}}
    return {"data": content["data"], "layout": layout}


def _size(drawing: Drawing) -> dict[str, int]:
    return {"width": WIDTH, "height": drawing.height + TITLE}


def _browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)
