"""report.html: one file that tells what was run, what came of it and how far it can be trusted.

    DIR's records ─▶ Sweep ─▶ tables ─┬─▶ DIR/tables/*
                                      ├─▶ figures ─┐
                                      └────────────┴─▶ DIR/report.html

plotly.js stands in the file once, compressed; figures are inert JSON that the page's own script draws when they come
near the window. A Content-Security-Policy lets those two scripts run and nothing be fetched.
"""

import base64
import gzip
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, write_atomically
from sweep.frames import Sweep, cause, read_sweep
from sweep.report import figures
from sweep.report.anonymous import anonymous
from sweep.report.architecture import architecture, is_a_grid
from sweep.report.captions import captions
from sweep.report.curves import data_curves, training_curves
from sweep.report.diagrams import UNDER as UNDER_DIAGRAMS
from sweep.report.diagrams import coverage_curves, reliability_diagrams
from sweep.report.drawing import CELLS_WITH_TEXT, Drawing
from sweep.report.files import FORMATS as WRITTEN
from sweep.report.files import MARKDOWN, write_tables
from sweep.report.filtering import METRICS, attributes, sorts_by
from sweep.report.first_screen import first_screen
from sweep.report.gains import of_best
from sweep.report.images import FORMATS as IMAGES
from sweep.report.images import check_export, write_figures
from sweep.report.latex import LETTERS
from sweep.report.main_table import main_rows
from sweep.report.notes import notes
from sweep.report.pairs import pairs, under_pairs
from sweep.report.pareto import COSTS, accuracy_by_cost
from sweep.report.price import priced
from sweep.report.sections import sections
from sweep.report.tables import all_tables
from sweep.report.thumbnails import WORST, Faces, data_folder, faces
from sweep.report.tuning import tuning
from sweep.report.varied import varied
from sweep.report.words import count, number, plus_minus, total_range

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "cells.js", "filter.js", "tables.js", "save.js", "contents.js", "faces.js")
NO_IMAGES = Faces(told="The images themselves were left out of this page.")


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The drawings of one section."""

    by_metric: Sequence[Drawing] = ()
    """One drawing a metric, of which the page shows that of the metric chosen."""
    overview: Drawing | None = None
    small: Sequence[Drawing] = ()
    under: str = ""
    """What stands beneath the drawings."""

    @property
    def drawings(self) -> list[Drawing]:
        """All of them, as they follow one another in the page."""
        return [each for each in (*self.by_metric, self.overview, *self.small) if each is not None]


def write_report(directory: Path, formats: Iterable[str] = ("csv", "md", "tex"), *, images: bool = True) -> Path:
    """Write `directory`/tables/ in `formats` and `directory`/report.html from the records there; return the page.

    With `images` the page shows the test images that were misread most often, where their files are at hand.
    Works on an unfinished sweep, and on one without a completed trial. The same records give the same bytes, but for
    the time of writing. Raises InputError where the folder is no sweep's.
    """
    return write(directory, ("html", *formats), images=images)[0]


def write(
    directory: Path,
    formats: Sequence[str],
    *,
    unnamed: bool = False,
    price_per_hour: float | None = None,
    images: bool = True,
) -> list[Path]:
    """Write what is known of the sweep in `directory` in some formats ("html", "csv", "md", "tex", "svg", "pdf").

    Return report.html, then the tables, then the figures, of what was asked for. `unnamed` leaves out hosts, paths,
    users and error messages; with `images` the page shows the test images that were misread most often, where their
    files are at hand. Raises InputError where the folder is no sweep's, or figures cannot be drawn here.
    """
    drawn = tuple(name for name in formats if name in IMAGES)
    if drawn:
        check_export(drawn)
    sweep, settings = read_sweep(directory), _settings(directory)
    root = data_folder(sweep, directory)
    if unnamed:
        sweep, settings = anonymous(sweep, settings)
    tables = all_tables(sweep)
    if price_per_hour is not None:
        tables = priced(sweep, tables, price_per_hour)
    readable = [name for name in formats if name in WRITTEN]
    written = write_tables(sweep, tables, directory / "tables", readable) if readable else []
    if "html" in formats:
        page = directory / "report.html"
        shown = faces(sweep, root) if images else NO_IMAGES
        write_atomically(page, render(sweep, tables, datetime.now(UTC), settings, shown).encode())
        written.insert(0, page)
    if drawn:
        written += write_figures(_drawings(sweep, tables), directory / "figures", drawn)
    return written


def _settings(directory: Path) -> str | None:
    """Return the settings of the last call as its file has them; None where there is no such file."""
    try:
        return (directory / "sweep.toml").read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _drawings(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """Return every figure of the page; raises InputError where no trial has completed."""
    if not len(tables["confusion"]):
        raise InputError("--format: there are no figures yet, for no trial has completed; leave out svg and pdf.")
    return [drawing for each in _galleries(sweep, tables).values() for drawing in each.drawings]


def render(
    sweep: Sweep,
    tables: Mapping[str, pd.DataFrame],
    written: datetime,
    settings: str | None = None,
    misread: Faces = NO_IMAGES,
) -> str:
    """Return the page's HTML; `settings` is the text of sweep.toml, `misread` are the thumbnails in it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": number, "json_data": json_data, "sorts_by": sorts_by}
    environment.globals |= {"plus_minus": plus_minus, "total_range": total_range, "count": count}
    # Rows of other splits and shares have a section of their own.
    tables = {**tables, "summary": tables["summary"].head(len(sweep.configurations))}
    plotly, script = get_plotlyjs(), "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("report.html").render(
        sweep=sweep,
        first=first_screen(sweep, tables, _used(sweep, "device_name", "device")),
        probabilities=any(each.has_probabilities for each in sweep.configurations),
        notes=notes(sweep),
        summary=main_rows(sweep, tables),
        choices=_choices(sweep, tables),
        class_f1=_class_rows(tables["per_class"]),
        efficiency=tables["efficiency"].to_dict("records") if "efficiency" in tables else [],
        has_energy="efficiency" in tables and tables["efficiency"]["energy_joules_mean"].notna().any(),
        cells_have_numbers=len(sweep.classes) ** 2 <= CELLS_WITH_TEXT,
        failed=[_failure(record) for each in sweep.conditions for record in each.failed],
        provenance=provenance(sweep),
        varied=varied(sweep),
        settings=settings,
        settings_link=None if settings is None else f"data:text/plain;charset=utf-8,{quote(settings)}",
        sections={section.key: section for section in sections(sweep, tables)},
        captions=captions(sweep, tables),
        galleries=_galleries(sweep, tables) if len(tables["confusion"]) else None,
        baselines=list(figures.baselines(sweep)),
        measured_on=figures.measured_on(sweep),
        misread=misread,
        worst=WORST,
        written=written,
        latex_letters=_letters(LETTERS),
        markdown_letters=_letters(MARKDOWN),
        plotly=packed_plotly(),
        script=Markup(script),
        hashes=[_csp_hash(plotly), _csp_hash(script)],
    )


def provenance(sweep: Sweep) -> dict[str, Any]:
    """Return what is needed to check or repeat the sweep: versions, digests, commands and the configs."""
    records = sweep.completed or sweep.failed
    versions = {json.dumps(found, sort_keys=True) for r in records if (found := r.environment.get("versions"))}
    one_each = {f"{record.model}/{record.strategy}": record.config for record in reversed(records)}
    return {
        "digests": {"images": sweep.split_file.images_digest}
        | {_split_name(sweep, number): split.digest for number, split in enumerate(sweep.division.splits)}
        | {f"weights of {record.model}": record.weights_digest for record in records if record.weights_digest},
        "versions": [json.loads(text) for text in sorted(versions)],
        "used": {
            name: values
            for name in ("device_name", "precision", "precision_reason", "threads", "normalisation", "host")
            if (values := _used(sweep, name))
        },
        "fingerprint": {name: _in_words(value) for name, value in sweep.fingerprint.items()},
        "calls": [_call(call) for call in sweep.calls],
        "tuning": tuning(sweep),
        "configs": {
            name: json.dumps(one_each[name], indent=1, sort_keys=True, ensure_ascii=False)
            for each in sweep.configurations
            if (name := each.name) in one_each
        },
    }


def _split_name(sweep: Sweep, number: int) -> str:
    return "split" if sweep.division.n_folds is None else f"fold {number + 1}"


def _letters(table: Mapping[int, str]) -> Markup:
    """Return what letters become, for the page's own saving of tables."""
    return _inert(json.dumps({chr(number): text for number, text in table.items()}))


def json_data(drawing: Drawing) -> Markup:
    """Return a figure's JSON for an inert script block: no `<` in it can end the block.

    Numbers have six digits, more than a drawing shows; in full they would be a third of the page beside plotly.js.
    """
    content = drawing.figure.to_plotly_json()
    drawn = _six_digits({"data": content["data"], "layout": content["layout"]})
    drawn |= {name: value for name in ("model", "strategy") if (value := getattr(drawing, name)) is not None}
    drawn |= {name: [place.as_json() for place in getattr(drawing, name)] for name in ("rows", "columns")}
    return _inert(json.dumps(drawn, separators=(",", ":"), allow_nan=False))


def _inert(text: str) -> Markup:
    """Return JSON for a script block of data: of what begins with `<` only our own line breaks stay as they are."""
    return Markup(re.sub("<(?!br>)", r"\\u003c", text))


@cache
def packed_plotly() -> str:
    """Return plotly.js as gzip in base64: 2 MB in place of 5, which the page's script unpacks."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _choices(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Return what the page's filter offers: metrics with their names, models and strategies where there are several."""
    there = tables["summary"]
    metrics = {metric: name for metric, name in METRICS.items() if there[f"{metric}_mean"].notna().any()}
    found = {
        name: dict.fromkeys(getattr(each, name) for each in sweep.configurations) for name in ("model", "strategy")
    }
    several = {name: {value: value for value in values} for name, values in found.items() if len(values) > 1}
    return several | ({"metric": metrics} if len(metrics) > 1 else {})


def _six_digits(value: Any) -> Any:
    """Return what JSON can hold with its fractions rounded."""
    if isinstance(value, Mapping):
        return {name: _six_digits(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_six_digits(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _galleries(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> dict[str, Gallery]:
    predictions = {
        "results": Gallery(by_metric=figures.results(sweep, tables["summary"])),
        "classes": Gallery(overview=figures.class_f1(sweep, tables["per_class"])),
        "confusion": Gallery(small=figures.confusion_matrices(sweep, tables["confusion"])),
    }
    predictions["differences"] = Gallery(
        overview=pairs(tables["comparisons"], tables["summary"]), under=under_pairs(tables["comparisons"])
    )
    if is_a_grid(tables["summary"]):
        small = architecture(tables["summary"], tables.get("gains"), 1 / len(sweep.classes))
        predictions["architecture"] = Gallery(small=small)
    if "reliability" in tables:
        diagrams = reliability_diagrams(tables["reliability"])
        curves = coverage_curves(tables["risk_coverage"])
        predictions["calibration"] = Gallery(small=[*diagrams, *curves], under=UNDER_DIAGRAMS)
    if "shares" in tables and len(tables["shares"]):
        predictions["shares"] = Gallery(small=data_curves(tables["shares"]))
    if "views" in tables:
        predictions["views"] = Gallery(overview=figures.views(tables["views"]))
    if "gains" in tables:
        by_class = of_best(tables["gains"], tables["summary"])
        predictions["gains"] = Gallery(
            overview=figures.gains(sweep, tables["gains"]), small=figures.class_gains(sweep, by_class)
        )
    if sweep.imported:
        return predictions
    return predictions | {
        "curves": Gallery(small=training_curves(sweep)),
        "efficiency": Gallery(small=[*_fronts(tables), *figures.costs(sweep)]),
    }


def _fronts(tables: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    drawn = (accuracy_by_cost(tables["summary"], tables["efficiency"], cost) for cost in COSTS)
    return [drawing for drawing in drawn if drawing is not None]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's time and place, command line, preset and data, and an imported file's digest."""
    settings = call.get("settings", {})
    named = {name: call.get(name) or settings.get(name) for name in ("preset", "data")}
    return named | {
        "at": call["at"],
        "host": call.get("host"),
        "line": shlex.join(map(str, call.get("command", []))),
        "file_sha256": call.get("file_sha256"),
    }


def _class_rows(per_class: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry a configuration: its name, seeds, and F1 by class: ± half the seed interval, total."""
    rows = []
    for (model, strategy), table in per_class.groupby(["model", "strategy"], sort=False):
        cells = [(plus_minus(row, "f1", 100, 1), total_range(row, "f1", 100, 1)) for row in table.to_dict("records")]
        row = {"name": f"{model}/{strategy}", "n_seeds": int(table["n_seeds"].iloc[0]), "cells": cells}
        rows.append(row | {"whose": attributes({"model": model, "strategy": strategy})})
    return rows


def _failure(record: TrialRecord) -> dict[str, Any]:
    return {
        "name": f"{record.model}/{record.strategy}",
        "whose": attributes(vars(record)),
        "seed": record.seed,
        "arm": record.arm,
        "trial_id": record.trial_id,
        "host": record.environment.get("host", ""),
        "cause": cause(record),
        "traceback": record.error.get("traceback", ""),
    }


def _used(sweep: Sweep, *names: str) -> list[str]:
    """Return the different values of the first of `names` that each record's environment has."""
    found = (
        next((record.environment[name] for name in names if record.environment.get(name)), None)
        for record in sweep.completed or sweep.failed
    )
    return list(dict.fromkeys(_in_words(value) for value in found if value is not None))


def _in_words(value: Any) -> str:
    """Return a value of environment{} or fingerprint{} as text: the means and deviations of a normalisation too."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
