"""What the driver does while trials run: it hears of each, has each record kept at once, and ends what is to end."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from animefer_core.config import TrialConfig, config_from
from animefer_core.record import ALONE, TrialRecord
from animefer_core.trial import failed_record
from sweep.execution.cluster import alive
from sweep.execution.packing import Share
from sweep.execution.progress import Display
from sweep.execution.searcher import Halving
from sweep.execution.trainable import State
from sweep.execution.work import Keep, NotKeptError, SweepEndedError, SweepStoppedError, Work

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LOST_PROCESS_RETRIES = 2
SAME_CAUSE = 3
GRACE_SECONDS = 20
"""How long running trials may take to keep an epoch once a scheduler ends the sweep; many kill after 30 s."""
NO_ROOM_SECONDS = 60
"""How long a sweep waits for a machine, once none is left on which its trials fit."""
FETCH_SECONDS = 600
OUT_OF_MEMORY = ("OutOfMemoryError", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What a failure says when a card is full: torch itself, the driver, and a library that works beside torch."""


class LostProcessError(RuntimeError):
    """A trial's process ended without a word, also when it was tried again."""


class TrialTimeoutError(RuntimeError):
    """A trial took longer than it was allowed to."""


class Watcher(tune.Callback):
    """Hears of everything in the driver, has each record kept at once, and ends a sweep that is to end."""

    def __init__(
        self,
        work: Work,
        keep: Keep,
        display: Display,
        repeat: Callable[[TrialConfig], str],
        keeping: ThreadPoolExecutor,
        scheduler: Halving | None,
    ) -> None:
        # Tune logs what the display and the records say better.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        self.raised: Exception | None = None
        """What ended the sweep."""
        self.too_large: list[TrialConfig] = []
        """Trials that ran out of a card's memory beside others."""
        self.scheduler = scheduler
        self._work = work
        self._keep = keep
        self._display = display
        self._repeat = repeat
        self._keeping = keeping
        self._alone = False
        self._first_causes: list[str] = []
        self._began: dict[str, float] = {}
        """Tune's id of a running trial -> when it began, in seconds."""
        self._overdue: set[str] = set()
        self._signal: str | None = None
        self._unsaved: set[str] | None = None
        """Trials that have not kept an epoch since the signal."""
        self._kept_until = 0.0
        self._no_room_since: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune saves its callbacks so as to restore an experiment; ours goes on from records instead.
        return {}

    def listen(self) -> None:
        """Hear the signals by which schedulers tell of a time limit."""
        for number in SIGNALS:
            signal.signal(number, self._end)

    def _end(self, number: int, _frame: object) -> None:
        """Handle a signal: let running trials keep their epoch, and end; a second one ends at once."""
        self._kept_until = 0.0 if self._signal else time.monotonic() + GRACE_SECONDS
        self._signal = signal.Signals(number).name

    def now_alone(self) -> None:
        """From here on each trial has a card to itself."""
        self._alone, self.too_large = True, []

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Listen; Tune has a handler of its own for SIGUSR1, which says nothing."""
        if signal.getsignal(signal.SIGUSR1) != self._end:
            self.listen()

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """End what is to end; Tune comes by ten times a second."""
        running = [trial for trial in trials if trial.status == "RUNNING"]
        self._end_overdue(running)
        self._end_if_asked()
        if not running:
            self._end_without_room([trial for trial in trials if trial.status == "PENDING"])
        else:
            self._no_room_since = None
        if self.raised is not None:
            raise self.raised

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a trial that begins, or begins again."""
        self._began[trial.trial_id] = time.monotonic()
        self._display.started(config_of(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Tell of an epoch, or take the Outcome in."""
        outcome = result.get("outcome")
        if outcome is not None or result["hurried"]:
            # Of an epoch that ended before trials were asked, nothing need be kept.
            self._saved(trial)
        if outcome is None:
            self._display.epoch(config_of(trial), result)
            return
        self._began.pop(trial.trial_id, None)
        record, state = outcome.record, outcome.state
        outcome.record = outcome.state = None
        if self._is_too_large(record):
            self.too_large.append(config_of(trial))
            self._display.say(f"{config_of(trial).title} ran out of its card's memory, and is tried again alone later")
            return
        if self._alone:
            record = replace(record, environment={**record.environment, ALONE: True})
        self._finish(record, lambda: self._fetched(record, state))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Take in what a trial that the scheduler stopped had come to."""
        self._began.pop(trial.trial_id, None)
        record = self.scheduler.stopped(config_of(trial)) if self.scheduler else None
        if record is not None:
            self._finish(record, lambda: None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Take in a trial whose process was lost, and is not tried again."""
        self._saved(trial)
        self._began.pop(trial.trial_id, None)
        if trial.trial_id in self._overdue:
            error: Exception = TrialTimeoutError(
                f"it had not ended after --trial-timeout {self._work.trial_timeout:g} minutes"
            )
        else:
            last = _last_failure(trial.get_error())
            error = LostProcessError(f"its process was lost {LOST_PROCESS_RETRIES + 1} times, last with: {last}")
        record = failed_record(config_of(trial), error)
        self._finish(replace(record, error={**record.error, "log": str(trial.get_error())}), lambda: None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a trial whose process was lost, and is tried again."""
        self._saved(trial)
        self._began.pop(trial.trial_id, None)
        self._display.say(f"{config_of(trial).title} lost its process, and is tried again")

    def _end_overdue(self, running: Sequence[Any]) -> None:
        """Kill the processes of trials that have taken too long; they are not tried again in this call."""
        if self._work.trial_timeout is None:
            return
        latest = time.monotonic() - 60 * self._work.trial_timeout
        for trial in running:
            if self._began.get(trial.trial_id, latest) < latest and trial.trial_id not in self._overdue:
                self._overdue.add(trial.trial_id)
                trial.max_failures = 0
                ray.kill(trial.temporary_state.ray_actor)

    def _end_if_asked(self) -> None:
        if self._signal is None or self.raised is not None:
            return
        now = time.monotonic()
        if self._unsaved is None:
            self._unsaved = self._hurry() if self._work.checkpoints.keeps else set()
        if not self._unsaved or now > self._kept_until:
            self.raised = SweepEndedError(self._signal)

    def _hurry(self) -> set[str]:
        """Have running trials keep their epoch; return which have to."""
        with contextlib.suppress(OSError):
            self._work.checkpoints.hurry()
            return set(self._began)
        return set()

    def calm(self) -> None:
        """Take back what `_hurry` has asked for; what cannot be reached now is asked again by the next call."""
        if self._unsaved is not None:
            with contextlib.suppress(OSError):
                self._work.checkpoints.calm()

    def _saved(self, trial: Any) -> None:
        """Note that a trial has kept an epoch, if it is asked to, or has ended."""
        if self._unsaved is not None:
            self._unsaved.discard(trial.trial_id)

    def _end_without_room(self, pending: Sequence[Any]) -> None:
        """End where no machine that is left has room for what is to come, and none has come for a while."""
        now = time.monotonic()
        if not pending or (self._no_room_since is not None and now - self._no_room_since < NO_ROOM_SECONDS):
            return
        wanted = [self._work.packing.share(config_of(trial)) for trial in pending]
        if any(_has_room(share, node) for share in wanted for node in alive()):
            self._no_room_since = None
        elif self._no_room_since is None:
            self._no_room_since = now
        else:
            self.raised = self.raised or SweepStoppedError(
                f"no machine is left with the {wanted[0].cpus} CPUs"
                f"{f' and {wanted[0].gpu:g} GPUs' if wanted[0].gpu else ''} that a trial takes"
            )

    def _is_too_large(self, record: TrialRecord) -> bool:
        share = self._work.packing.share(config_from(record.config))
        said = f"{record.error.get('type')}: {record.error.get('message')}"
        return any(words in said for words in OUT_OF_MEMORY) and 0 < share.gpu < 1 and not self._alone

    def _fetched(self, record: TrialRecord, state: Any) -> State | None:
        """Return a finished trial's checkpoint from wherever its process is; None where that is gone."""
        try:
            return None if state is None else ray.get(state, timeout=FETCH_SECONDS)
        except ray.exceptions.RayError:
            self._display.say(f"{config_from(record.config).title} is finished; its model was lost with its process")
            return None

    def _finish(self, record: TrialRecord, state: Callable[[], State | None]) -> None:
        self._keeping.submit(self._keep_and_show, record, state)

    def _keep_and_show(self, record: TrialRecord, state: Callable[[], State | None]) -> None:
        try:
            self._keep(record, state)
            self._display.finished(record, self._repeat(config_from(record.config)))
            self._stop_if_bound_to_fail(record)
        except OSError as error:
            self.raised = self.raised or NotKeptError(
                f"the record of {config_from(record.config).title} could not be written ({error.strerror or error})"
            )
        except Exception as error:
            # Where several records cannot be kept, the first says why.
            self.raised = self.raised or error

    def _stop_if_bound_to_fail(self, record: TrialRecord) -> None:
        if len(self._first_causes) == SAME_CAUSE:
            return
        cause = f"{record.error['type']}: {record.error['message']}" if record.status == "failed" else ""
        self._first_causes.append(cause)
        if len(self._first_causes) == SAME_CAUSE and cause and set(self._first_causes) == {cause}:
            raise SweepStoppedError(f"the first {SAME_CAUSE} trials all failed with {' '.join(cause.split())}")


def _has_room(share: Share, node: Mapping[str, Any]) -> bool:
    """Whether a machine, as Ray tells of it, has room for a trial when nothing else runs there."""
    resources = node["Resources"]
    return bool(resources.get("CPU", 0) >= share.cpus and resources.get("GPU", 0) >= share.gpu)


def config_of(trial: Any) -> TrialConfig:
    """Return the config of one of Tune's trials."""
    return config_from(trial.config["trial"])


def _last_failure(account: object) -> str:
    """Return the first sentence of the last of the failures that Tune tells of."""
    lines = [line.strip() for line in str(account).splitlines() if line.strip()]
    headings = [number for number, line in enumerate(lines) if line.startswith("Failure #")]
    return next(iter(lines[headings[-1] + 1 :] if headings else lines), "no reason given").rstrip(".")
