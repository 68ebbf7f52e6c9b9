"""What `animefer search` does: candidates drawn, trained and validated, and the best written for a sweep."""

import datetime
import shlex
from collections.abc import Mapping
from typing import Any

import torch
from rich.console import Console

from animefer_core.data.pixels import without_test
from animefer_core.errors import InputError
from animefer_core.models.zoo import build
from animefer_core.trial import versions
from sweep.cli.options import typed
from sweep.execution.environment import configure_ray
from sweep.execution.loggers import check_installed, logged
from sweep.prepare import Prepared, prepared
from sweep.report.words import count
from sweep.search.ledger import Ledger
from sweep.search.searches import check_request, divided_for, searches_for
from sweep.search.tuned import check_search_seeds
from sweep.search.winners import lines, seeds, write_winners
from sweep.settings import CHECKS, DEMO, resolve


def run_search(given: Mapping[str, Any], *, budget: str, search_seeds: str) -> int:
    """Run a search and return its exit code: 0 every model and strategy has a winner, 1 one has not, or it stopped."""
    console = Console(stderr=True)
    settings = resolve(given, kind="-search")
    check_installed(settings.logger)
    tried, own_seeds = _checked("budget", "per_class", budget), _checked("search-seeds", "seeds", search_seeds)
    check_search_seeds(own_seeds, settings.seeds)
    check_request(settings, tried)
    if settings.data == DEMO:
        _say(console, f"Drawn faces, preset {settings.preset} (name your own images by --data FOLDER).")
    with prepared(divided_for(settings, own_seeds), one_trial=False, command=None) as work:
        blocks = {model: _blocks(model, settings.image_size) for model in settings.models}
        ledger = Ledger(settings.out, searches_for(settings, tried, work.plan.trials, blocks))
        ledger.begin({"at": _now(), "command": typed(), "versions": versions()})
        stopped = _execute(console, work, ledger)
        file = write_winners(settings, ledger)
    for line in lines(ledger):
        _say(console, line)
    if stopped:
        _say(console, f"{stopped} What is finished is kept in {settings.out}; the same command goes on from there.")
    if file is not None:
        _say(console, f"To sweep them beside what they began with: animefer sweep --config {shlex.quote(str(file))}")
    return 0 if all(ledger.winner(search) for search in ledger.searches) else 1


def _execute(console: Console, work: Prepared, ledger: Ledger) -> str:
    """Train the candidates that have no outcome yet; return a sentence on what stopped it, or nothing."""
    trials = [config for search in ledger.searches for config in search.trials]
    to_run = [config for config in trials if not ledger.is_final(config.trial_id)]
    _announce(console, work, ledger, len(trials), len(to_run))
    if not to_run:
        return ""
    settings = work.settings
    configure_ray(settings.address)
    from sweep.execution.executor import execute
    from sweep.execution.progress import display_for
    from sweep.execution.searcher import Halving, validated
    from sweep.execution.work import NotKeptError, SweepEndedError, SweepStoppedError, Work

    to_do = Work(
        trials=to_run,
        data=without_test(work.data, work.plan.trials[0].split_digest),
        weights=work.arrays,
        packing=work.packing,
        device=settings.device,
        save_models="none",
        trial_timeout=settings.trial_timeout,
    )
    display = logged(
        display_for(console, len(to_run), work.packing.trials_at_once),
        settings.logger,
        settings.out,
        trials,
        lambda line: _say(console, line),
    )
    command = shlex.join(typed())
    try:
        execute(to_do, ledger.keep, display, lambda _: command, run=validated, scheduler=Halving(ledger))
    except SweepStoppedError as error:
        return f"Stopped: {error}."
    except NotKeptError as error:
        return f"Stopped: {error}."
    except SweepEndedError as error:
        return f"Stopped by {error}."
    except KeyboardInterrupt:
        return "Stopped."
    return ""


def _announce(console: Console, work: Prepared, ledger: Ledger, trials: int, to_run: int) -> None:
    first = ledger.searches[0]
    rows = work.data.rows(first.trials[0].split_digest)
    parts = ", ".join(f"{len(rows[part])} {part}" for part in ("train", "validation"))
    _say(
        console,
        f"{len(ledger.searches)} searches of {len(first.candidates)} candidates, with {seeds(first)} each, on {parts} "
        f"images, without the {len(rows['test'])} test images: {trials - to_run} of {trials} trials are "
        f"there, {to_run} to train, {work.packing.trials_at_once} at once with "
        f"{count(work.packing.threads, 'thread')} each.",
    )


def _checked(option: str, like: str, value: str) -> Any:
    """Return an option's value, by the check of another one of its kind."""
    try:
        return CHECKS[like](value)
    except ValueError as error:
        raise InputError(f"--{option}: {error}.") from error


def _blocks(model: str, image_size: int) -> int:
    with torch.device("meta"):
        return len(build(model, 2, image_size).blocks)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
