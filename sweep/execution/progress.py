"""What a sweep tells while it runs: a live table on a terminal, plain lines elsewhere."""

import collections
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from animefer_core.config import TrialConfig, config_from
from animefer_core.record import TrialRecord
from sweep.search.ledger import STOPPED


class Display(Protocol):
    """Hears of every trial's start, epochs and end; of the ends from another thread."""

    def __enter__(self) -> "Display":
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Stop showing."""

    def started(self, config: TrialConfig) -> None:
        """A trial began, or began again after its process was lost."""

    def epoch(self, config: TrialConfig, entry: Mapping[str, Any]) -> None:
        """A trial completed an epoch."""

    def finished(self, record: TrialRecord, repeat: str) -> None:
        """A trial has its record; `repeat` is the command that runs it alone."""

    def say(self, text: str) -> None:
        """Something else happened that a reader should know."""


def display_for(console: Console, to_run: int, at_once: int) -> Display:
    """Return the live table for a terminal, else plain lines."""
    tally = Tally(to_run, at_once)
    return LiveTable(console, tally) if console.is_terminal else PlainLines(console, tally)


class Tally:
    """Counts, and the time left: trials to come x mean duration of finished ones / trials at once."""

    def __init__(self, to_run: int, at_once: int) -> None:
        self.to_run = to_run
        self.done = 0
        self.failed = 0
        self._at_once = at_once
        self._began = time.monotonic()
        self._starts: dict[str, float] = {}
        self._durations: list[float] = []

    def start(self, trial_id: str) -> None:
        """Note a trial's start."""
        self._starts[trial_id] = time.monotonic()

    def finish(self, record: TrialRecord) -> float:
        """Note a trial's end and return its duration in seconds."""
        self.done += record.status == "completed"
        self.failed += record.status == "failed"
        seconds = time.monotonic() - self._starts.get(record.trial_id, self._began)
        self._durations.append(seconds)
        return seconds

    def left(self) -> str:
        """Return the time left in words."""
        if not self._durations:
            return "time left unknown yet"
        mean = sum(self._durations) / len(self._durations)
        seconds = (self.to_run - self.done - self.failed) * mean / self._at_once
        return f"about {in_words(seconds)} left"


class PlainLines:
    """One line a finished trial."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._tally = tally

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def started(self, config: TrialConfig) -> None:
        """Say nothing; the end tells."""
        self._tally.start(config.trial_id)

    def epoch(self, config: TrialConfig, entry: Mapping[str, Any]) -> None:
        """Say nothing; the end tells."""

    def finished(self, record: TrialRecord, repeat: str) -> None:
        """Print the trial's line."""
        self._console.print(finished_line(record, repeat, self._tally), highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveTable:
    """The running trials with their epoch and validation accuracy, under the counts."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._tally = tally
        self._running: collections.OrderedDict[str, tuple[TrialConfig, Mapping[str, Any]]] = collections.OrderedDict()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, config: TrialConfig) -> None:
        """Add a row."""
        self._tally.start(config.trial_id)
        self._running[config.trial_id] = (config, {})

    def epoch(self, config: TrialConfig, entry: Mapping[str, Any]) -> None:
        """Update the row."""
        self._running[config.trial_id] = (config, entry)

    def finished(self, record: TrialRecord, repeat: str) -> None:
        """Take the row away; a failure is printed above the table."""
        self._running.pop(record.trial_id, None)
        line = finished_line(record, repeat, self._tally)
        if record.status == "failed":
            self._console.print(line, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        tally = self._tally
        title = f"{tally.done} of {tally.to_run} trials done, {tally.failed} failed, {tally.left()}"
        table = Table("running", "epoch", "validation accuracy", title=title, title_justify="left")
        # A copy: trials start and end in other threads than the one that draws.
        for config, entry in list(self._running.values()):
            most = config.strategy.epochs(config.epochs_cap)
            accuracy = f"{entry['validation_accuracy']:.1%}" if entry else "starting"
            table.add_row(escape(config.title), f"{entry.get('epoch', 0)} of {most}", accuracy)
        return table


def finished_line(record: TrialRecord, repeat: str, tally: Tally) -> str:
    """Count a finished trial and return its one line, in rich's markup."""
    seconds = tally.finish(record)
    name = config_from(record.config).title
    if record.status == "failed":
        host = record.environment.get("host", "unknown host")
        cause = " ".join(f"{record.error['type']}: {record.error['message']}".split()).rstrip(".")
        return escape(f"failed: {name} on {host}: {cause}. To repeat it alone: {repeat}")
    finished = tally.done + tally.failed
    stopped = " (stopped early)" if record.environment.get(STOPPED) else ""
    return escape(
        f"[{finished}/{tally.to_run}] {name}: validation accuracy {record.validation['accuracy']:.1%} "
        f"after {record.epochs_run} epochs{stopped}, {in_words(seconds)}; {tally.left()}"
    )


def in_words(seconds: float) -> str:
    """Return a duration for a reader: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
