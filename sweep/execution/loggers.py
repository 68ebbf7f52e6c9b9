"""TensorBoard, MLflow and Weights & Biases: what the display hears, each told in a thread of its own.

    DIR/tensorboard   a run directory a trial
    DIR/mlruns        a local MLflow store, unless MLFLOW_TRACKING_URI names another
    DIR/wandb         W&B's offline runs, unless WANDB_MODE and WANDB_DIR say otherwise

One run a trial and call, named as everywhere: model/strategy seed. The classes are Ray's own loggers, given a stand-in
for Tune's trials: those carry the whole config as one value, and their last result is a record on its way to the disk.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from animefer_core.config import TrialConfig, config_from
from animefer_core.errors import InputError
from animefer_core.record import TrialRecord
from sweep.execution.progress import Display
from sweep.search.ledger import STOPPED

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboardX",),
    # A local store is a database.
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}
"""Logger -> what it imports; an extra of its name installs it."""
SILENCE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""What keeps them from printing over the display, and from telling their makers; read when they are imported."""
UNFINISHED = "unfinished"
"""The status of a trial that has no record yet."""
PATIENCE = 60.0
"""Seconds without a step forward after which a sweep that is over waits for a logger no longer."""


def check_installed(names: Sequence[str]) -> None:
    """Raise InputError for a logger whose package is not there."""
    for name in names:
        for package in PACKAGES[name]:
            spec = find_spec(package)
            # A mere folder of that name, such as a W&B folder of runs, has no origin.
            if spec is None or spec.origin is None:
                raise InputError(
                    f"--logger {name}: the package {package} is not installed; "
                    f'install it by pip install "animefer[{name}]".'
                )


def logged(
    display: Display, names: Sequence[str], folder: Path, trials: Sequence[TrialConfig], say: Callable[[str], None]
) -> Display:
    """Return the display, with what it hears logged under a results folder as well; `configure_ray` has been called.

    `trials` are all that the call names, finished or not; `say` prints a line.
    """
    if not names:
        return display
    os.environ.update({name: value for name, value in SILENCE.items() if name not in os.environ})
    try:
        tellers = [Teller(name, _callback(name, folder), say) for name in names]
    except ImportError as error:
        raise InputError(f"--logger: {error}; install it anew, or leave it out.") from error
    return Logged(display, tellers, folder, trials)


def _callback(name: str, folder: Path) -> Any:
    """Return a logger; only its own package is imported."""
    if name == "tensorboard":
        from sweep.execution.to_tensorboard import TensorBoard

        return TensorBoard()  # type: ignore[no-untyped-call]
    if name == "mlflow":
        from sweep.execution.to_mlflow import MLflow

        return MLflow(folder)
    from sweep.execution.to_wandb import WeightsAndBiases

    return WeightsAndBiases(folder)


@dataclass(eq=False, kw_only=True)
class Run:
    """A trial as Ray's loggers ask for it: what they read of Tune's `Trial`, under its names."""

    name: str
    """What the run is called."""
    trial_id: str
    config: dict[str, Any]
    """What runs are filtered by: flat, texts and numbers."""
    local_path: str
    """Its TensorBoard directory."""
    experiment_dir_name: str
    """What its siblings are grouped under."""
    status: str = UNFINISHED
    """completed, failed, stopped (a search's), or unfinished."""

    def __str__(self) -> str:
        return self.name

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What TensorBoard lists beside the last values, once the run is over."""
        return {**self.config, "status": self.status}

    def init_local_path(self) -> None:
        """Make the TensorBoard directory."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


class Teller:
    """One logger in a thread of its own: where it is slow, no trial waits; where it fails, nothing else does.

    After its first failure it is told nothing more: a server that is gone would cost every later event its timeout.
    """

    def __init__(self, name: str, callback: Any, say: Callable[[str], None]) -> None:
        self._name = name
        self._callback = callback
        self._say = say
        self._told: SimpleQueue[Callable[[Any], object] | None] = SimpleQueue()
        self._done = 0
        self._failed = False
        # A daemon: a logger that hangs is not to keep the process.
        self._thread = threading.Thread(target=self._listen, name=name, daemon=True)

    def begin(self) -> None:
        """Start to listen."""
        self.tell(lambda callback: callback.setup())
        self._thread.start()

    def tell(self, event: Callable[[Any], object]) -> None:
        """Have `event` called with the logger, after those before it."""
        if not self._failed:
            self._told.put(event)

    def end(self) -> None:
        """Wait until it has heard everything, as long as it gets on."""
        self._told.put(None)
        done = -1
        while self._thread.is_alive() and done != self._done:
            done = self._done
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._failed = True
            self._say(
                f"{self._name} has not answered for {PATIENCE:g} s; what it had not taken is not logged. "
                "The records are whole."
            )

    def _listen(self) -> None:
        try:
            for event in iter(self._told.get, None):
                if self._failed:
                    return
                event(self._callback)
                self._done += 1
        except Exception as error:
            if self._failed:
                return
            self._failed = True
            why = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
            self._say(f"{self._name} failed, and nothing more is logged there; the records are whole ({why}).")


class Logged:
    """A display whose events go to loggers, too."""

    def __init__(
        self, display: Display, tellers: Sequence[Teller], folder: Path, trials: Sequence[TrialConfig]
    ) -> None:
        self._display = display
        self._tellers = tellers
        self._folder = folder
        self._titles = Counter(config.title for config in trials)
        self._open: dict[str, Run] = {}

    def __enter__(self) -> Display:
        self._display.__enter__()
        for teller in self._tellers:
            teller.begin()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.__exit__(*exception)
        for run in self._open.values():
            self._tell_end(run)
        for teller in self._tellers:
            teller.end()

    def started(self, config: TrialConfig) -> None:
        """Open the trial's run; where its process was lost, the run goes on."""
        self._display.started(config)
        self._run(config)

    def epoch(self, config: TrialConfig, entry: Mapping[str, Any]) -> None:
        """Log the epoch's validation loss and accuracy."""
        self._display.epoch(config, entry)
        values = {f"epoch/{name}": float(entry[name]) for name in ("validation_loss", "validation_accuracy")}
        self._tell_values(self._run(config), int(entry["epoch"]), values)

    def finished(self, record: TrialRecord, repeat: str) -> None:
        """Log the record's numbers as the last ones, and close the run."""
        self._display.finished(record, repeat)
        run = self._run(config_from(record.config))
        del self._open[record.trial_id]
        run.status = STOPPED if record.environment.get(STOPPED) else record.status
        if values := last_values(record):
            self._tell_values(run, record.epochs_run, values)
        self._tell_end(run)

    def say(self, text: str) -> None:
        """Show a line; loggers hear of trials alone."""
        self._display.say(text)

    def _run(self, config: TrialConfig) -> Run:
        if config.trial_id not in self._open:
            run = self._open[config.trial_id] = self._run_of(config)
            for teller in self._tellers:
                teller.tell(lambda callback: callback.log_trial_start(run))
        return self._open[config.trial_id]

    def _run_of(self, config: TrialConfig) -> Run:
        # Folds of one seed share their title.
        name = config.title if self._titles[config.title] <= 1 else f"{config.title} {config.trial_id}"
        return Run(
            name=name,
            trial_id=config.trial_id,
            config=filters(config),
            local_path=str(self._folder / "tensorboard" / name),
            experiment_dir_name=self._folder.name,
        )

    def _tell_values(self, run: Run, step: int, values: dict[str, float]) -> None:
        for teller in self._tellers:
            teller.tell(lambda callback: callback.log_trial_result(step, run, values))

    def _tell_end(self, run: Run) -> None:
        for teller in self._tellers:
            teller.tell(lambda callback: callback.log_trial_end(run, failed=run.status in ("failed", UNFINISHED)))


def filters(config: TrialConfig) -> dict[str, Any]:
    """Return what a trial's run is found by: what tells it from its siblings, and its strategy's settings."""
    own = {
        "model": config.model,
        "strategy": config.strategy.name,
        "seed": config.seed,
        "arm": config.arm,
        "split": config.split_digest,
        "split_seed": config.split_seed,
        "train_fraction": config.train_fraction,
        "image_size": config.image_size,
        "weights": config.weights_digest,
        "trial_id": config.trial_id,
    }
    strategy = {name: value for name, value in asdict(config.strategy).items() if name != "name" and value is not None}
    return own | strategy


def last_values(record: TrialRecord) -> dict[str, float]:
    """Return a record's numbers: those of the chosen checkpoint as validation/… and test/…; {} of a failed trial."""
    if record.status == "failed":
        return {}
    parts = {"validation": record.validation, "test": record.test}
    values = {
        f"{part}/{name}": float(value)
        for part, metrics in parts.items()
        for name, value in metrics.items()
        if isinstance(value, int | float)
    }
    return {**values, "epochs_run": float(record.epochs_run), "best_epoch": float(record.best_epoch or 0)}
