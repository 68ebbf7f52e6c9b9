"""A plan -> one Tuner, in processes of this machine or on a Ray cluster; every record goes to the driver at once."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from animefer_core.config import TrialConfig, config_from
from animefer_core.data.pixels import ImageSet
from animefer_core.errors import InputError
from animefer_core.record import TrialRecord
from animefer_core.trial import failed_record, run_trial
from sweep.checkpoints import NOWHERE, Place
from sweep.execution.environment import LOCAL
from sweep.execution.packing import Capacity
from sweep.execution.progress import Display
from sweep.execution.searcher import Halving
from sweep.execution.trainable import Run, Shared, State, trainable
from sweep.settings import SaveModels

LOST_PROCESS_RETRIES = 2
SAME_CAUSE = 3

Keep = Callable[[TrialRecord, Callable[[], State | None]], None]


class LostProcessError(RuntimeError):
    """A trial's process ended without a word, also when it was tried again."""


class SweepStoppedError(Exception):
    """The first trials all failed for one cause; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to train, and with what."""

    trials: Sequence[TrialConfig]
    data: ImageSet
    weights: Mapping[str, State]
    """Model -> pretrained state dict; models without an entry start from random weights."""
    capacity: Capacity
    device: str
    address: str
    save_models: SaveModels
    """Which of the chosen checkpoints the driver may ask for."""
    extra_views: bool = True
    """Whether the test images are met altered as well."""
    deterministic: bool = False
    """Whether trials have to give equal bits on one card."""
    checkpoints: Place = NOWHERE
    """Where a trial that is tried again finds its last epoch."""


def execute(
    work: Work,
    keep: Keep,
    display: Display,
    repeat: Callable[[TrialConfig], str],
    run: Run = run_trial,
    scheduler: Halving | None = None,
) -> None:
    """Train all trials; `keep` gets every record as soon as it is there, and a function that fetches its checkpoint.

    `keep` is called in one thread of its own, record after record: trials need not wait while a model is written.
    `repeat` gives the command that runs a trial alone; `scheduler` may stop trials early, which a sweep never does.
    Raises SweepStoppedError when the first three trials fail for one cause, KeyboardInterrupt when the user stops;
    what `keep` has got by then is whole.
    """
    with (
        cluster(work.address, work.capacity),
        _scratch() as scratch,
        display,
        ThreadPoolExecutor(1, "keep") as keeping,
    ):
        watcher = _Watcher(keep, display, repeat, keeping, scheduler)
        references = {model: ray.put(dict(state)) for model, state in work.weights.items()}
        function = tune.with_parameters(
            trainable,
            shared=Shared(ray.put(work.data), references),
            run=run,
            device=work.device,
            save_models=work.save_models,
            shared_device=work.capacity.shared_device,
            extra_views=work.extra_views,
            deterministic=work.deterministic,
            checkpoints=work.checkpoints,
        )
        tuner = tune.Tuner(
            tune.with_resources(function, {"cpu": work.capacity.threads, "gpu": work.capacity.gpu_share}),
            param_space={"trial": tune.grid_search([config.as_dict() for config in work.trials])},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                trial_name_creator=_trial_id,
                trial_dirname_creator=_trial_id,
                scheduler=scheduler,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                failure_config=tune.FailureConfig(max_failures=LOST_PROCESS_RETRIES),
                callbacks=[watcher],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError:
            # Tune wraps what a callback raises.
            if watcher.raised is None:
                raise
        keeping.shutdown()
        if watcher.raised is not None:
            raise watcher.raised


@contextlib.contextmanager
def cluster(address: str, capacity: Capacity) -> Iterator[None]:
    """Connect to a Ray cluster, or start one in processes of this machine; `configure_ray` has been called.

    Raises InputError for an address at which no cluster answers.
    """
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        settings |= {"num_cpus": capacity.trials_at_once * capacity.threads, "include_dashboard": False}
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, ray.exceptions.RaySystemError, ray.exceptions.AuthenticationError) as error:
        raise InputError(f"--address {address}: no Ray cluster can be used there ({_first_line(error)}).") from error
    # Tune logs what the display and the records say better.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


class _Watcher(tune.Callback):
    """Hears of everything in the driver, has each record kept at once, and stops a sweep that is bound to fail."""

    def __init__(
        self,
        keep: Keep,
        display: Display,
        repeat: Callable[[TrialConfig], str],
        keeping: ThreadPoolExecutor,
        scheduler: Halving | None,
    ) -> None:
        self.raised: Exception | None = None
        """What ended the sweep: in the thread that keeps records, or because the sweep is bound to fail."""
        self._keep = keep
        self._display = display
        self._repeat = repeat
        self._keeping = keeping
        self._scheduler = scheduler
        self._first_causes: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        # Tune saves its callbacks so as to restore an experiment; ours goes on from records instead.
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        if self.raised is not None:
            raise self.raised

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._display.started(config_from(trial.config["trial"]))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        outcome = result.get("outcome")
        if outcome is None:
            self._display.epoch(config_from(trial.config["trial"]), result)
            return
        record, state = outcome.record, outcome.state
        outcome.record = outcome.state = None
        self._finish(record, lambda: None if state is None else ray.get(state))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        record = self._scheduler.stopped(config_from(trial.config["trial"])) if self._scheduler else None
        if record is not None:
            self._finish(record, lambda: None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        last = _first_line(trial.get_error())
        error = LostProcessError(f"its process was lost {LOST_PROCESS_RETRIES + 1} times, last with: {last}")
        self._finish(failed_record(config_from(trial.config["trial"]), error), lambda: None)

    def _finish(self, record: TrialRecord, state: Callable[[], State | None]) -> None:
        self._keeping.submit(self._keep_and_show, record, state)

    def _keep_and_show(self, record: TrialRecord, state: Callable[[], State | None]) -> None:
        try:
            self._keep(record, state)
            self._display.finished(record, self._repeat(config_from(record.config)))
            self._stop_if_bound_to_fail(record)
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


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Give Tune a place for the files of its own bookkeeping, which nothing here reads."""
    folder = Path(tempfile.mkdtemp(prefix="animefer-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trial_id(trial: Any) -> str:
    return config_from(trial.config["trial"]).trial_id


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
