"""What the commands call that only read: folders of images, and what a sweep left. None of it imports torch."""

import math
import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from animefer_core.config import config_from
from animefer_core.data.catalog import read_images
from animefer_core.data.split import make_split
from animefer_core.errors import InputError
from sweep.frames import Sweep, cause, read_sweep
from sweep.importing import import_predictions
from sweep.report.compare import Comparison, compare
from sweep.report.files import FORMATS as TABLES
from sweep.report.images import FORMATS as IMAGES
from sweep.report.page import write, write_report
from sweep.report.words import chance, number, span

FORMATS = ("html", *TABLES, *IMAGES)


def written(
    directory: Path, formats: str, *, unnamed: bool, price_per_hour: str | None, images: bool = True
) -> list[Path]:
    """Write a report in the formats of a comma-separated list; return the page, without it the tables, and figures.

    Without `images` the page shows none of the test images.
    """
    wanted = [name.strip() for name in formats.split(",")]
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise InputError(f"--format {unknown[0]}: there is no such format; choose from {', '.join(FORMATS)}.")
    files = write(directory, wanted, unnamed=unnamed, price_per_hour=_price(price_per_hour), images=images)
    return [path for path in files if "html" not in wanted or path.suffix.strip(".") not in TABLES]


def _price(text: str | None) -> float | None:
    try:
        price = None if text is None else float(text)
    except ValueError:
        price = math.nan
    if price is not None and not 0 < price < math.inf:
        raise InputError(f"--price-per-hour {text}: give a number above 0, in any currency.")
    return price


def status_lines(directory: Path) -> Iterator[str]:
    """Say how many trials are there, which failed and why, which are missing, and how to go on."""
    sweep = read_sweep(directory)
    failed = [record for each in sweep.conditions for record in each.failed]
    missing = int((sweep.trials["status"] == "missing").sum())
    yield (
        f"{sum(len(each.completed) for each in sweep.conditions)} of {len(sweep.trials)} trials completed, "
        f"{len(failed)} failed, {missing} missing (no record yet)"
    )
    for record in failed:
        fold = f", split {record.split_digest[:8]}" if sweep.division.n_folds else ""
        yield f"failed: {config_from(record.config).title}{fold}: {cause(record)}"
    for aside in sweep.set_aside:
        yield f"set aside: {aside.trial_id} {aside.reason}"
    yield from _how_to_go_on(directory, sweep)


def import_lines(file: Path, out: Path) -> Iterator[str]:
    """Write predictions made elsewhere as records, and the report from them; say what was done."""
    yield from import_predictions(file, out).lines()
    yield f"Report: {write_report(out)}"


def print_comparison(directory: Path, first: str, second: str, console: Console) -> None:
    """Print how two configurations of a sweep differ, how surely, and what would decide it: a table, then in words."""
    found = compare(read_sweep(directory), first, second)
    # Into a pipe goes plain text that no width of a window breaks.
    if not console.is_terminal:
        console.width = PIPE
    console.print(_side_by_side(found, plain=not console.is_terminal), highlight=False)
    console.print()
    console.print(Text(found.words))


PIPE = 10_000
"""Letters of a line that is not on a terminal."""


def _side_by_side(found: Comparison, *, plain: bool) -> Table:
    kind = "total interval" if found.n_seeds > 1 else "interval, images alone"
    table = Table(box=None if plain else SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("")
    for head in ("test accuracy", f"95 % {kind}", "p", "seeds × images"):
        table.add_column(head, justify="right")
    counts = f"{found.n_seeds} × {found.n_images:,}"
    for line in found.lines:
        unit, p = ("points", chance(found.p)) if line is found.lines[-1] else ("%", "")
        interval = span(line.low, line.high)
        table.add_row(Text(line.name), f"{number(line.value, 1)} {unit}", interval and f"{interval} {unit}", p, counts)
    return table


def _how_to_go_on(directory: Path, sweep: Sweep) -> Iterator[str]:
    """Name the calls that cover what is not completed: the last one by its settings file, earlier ones as typed."""
    completed = {record.trial_id for each in sweep.conditions for record in each.completed}
    left = {trial.trial_id for each in sweep.conditions for trial in each.planned} - completed
    settings = directory / "sweep.toml"
    if left and settings.exists():
        yield f"to go on: animefer sweep --config {shlex.quote(str(settings))} --out {shlex.quote(str(directory))}"
        sweeps = [call for call in sweep.calls if "sweep" in call["command"][:2]]
        left -= set(sweeps[-1].get("trials", left)) if sweeps else set()
    for call in reversed(sweep.calls):
        if left & set(call.get("trials", ())):
            yield f"to go on, as it was called before: {shlex.join(call['command'])}"
            left -= set(call["trials"])
    if left:
        yield f"to go on: repeat the calls that stand in {directory / 'sweep.json'}"


def data_lines(directory: Path, *, skip_bad: bool, allow_duplicates: bool) -> Iterator[str]:
    """Say what a folder of images holds; raises InputError for what would stop a sweep."""
    catalog, _ = read_images(directory, 8, skip_bad=skip_bad, allow_duplicates=allow_duplicates)
    split = make_split(catalog)
    yield f"{len(catalog.images)} images of {len(catalog.classes)} classes, digest {catalog.images_digest[:12]}"
    for name in catalog.classes:
        parts = [part for image, part in zip(catalog.images, split.parts, strict=True) if image.label == name]
        counts = ", ".join(f"{parts.count(part)} {part}" for part in ("train", "validation", "test"))
        yield f"  {name}: {len(parts)} ({counts})"
    for file in catalog.bad:
        yield f"  left out: {file.path} {file.reason}"
    duplicates = catalog.duplicates
    for sets, where in ((duplicates.across_classes, "classes"), (duplicates.across_parts, "parts")):
        for paths in sets:
            yield f"  identical in different {where}: {' = '.join(paths)}"
    if duplicates.repeats:
        yield f"  repeated within a class: {duplicates.repeats} files, each in one part with what it repeats"
