"""`run_trial` as a Tune function trainable; a reused process runs one after another."""

import contextlib
import ctypes
import gc
import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from ray import tune

from animefer_core.config import TrialConfig, config_from
from animefer_core.record import TrialRecord
from animefer_core.trial import failed_record
from sweep.checkpoints import Place
from sweep.execution.packing import Packing, Share
from sweep.execution.sharing import SharedImages
from sweep.keeping import validation_rank
from sweep.settings import SaveModels

Run = Callable[..., TrialRecord]
EPOCH = ("epoch", "validation_loss", "validation_accuracy")
"""What the driver hears of an epoch."""
State = Mapping[str, "np.ndarray[Any, Any]"]
LOG_CHARACTERS = 20_000
"""Of what a failed trial printed, its end, are kept."""


@dataclass
class Outcome:
    """A finished trial on its way to the driver, which empties it: Tune keeps every trial's last result alive."""

    record: TrialRecord | None
    state: Any
    """The chosen checkpoint's reference in the object store, or None."""


@dataclass(frozen=True)
class Shared:
    """What all trials use, by reference: Tune would fetch bare references before every trial."""

    images: SharedImages
    weights: Mapping[str, Any]
    """Each pretrained model's reference."""


def trainable(
    config: dict[str, Any],
    *,
    shared: Shared,
    run: Run,
    device: str,
    save_models: SaveModels,
    packing: Packing,
    extra_views: bool,
    deterministic: bool,
    checkpoints: Place,
) -> None:
    """Run the trial config["trial"] and report each epoch, then its Outcome.

    An exception ends the trial, not the process: it is reported as a failed record with what the trial had printed.
    What Ray lost, processes, machines and objects, is left to Ray, which tries again, from the last epoch that
    `checkpoints` kept. The chosen checkpoint stays in the object store; the driver fetches it where it is to be kept.
    """
    trial = config_from(config["trial"])
    log = io.StringIO()
    kept = checkpoints.of(trial.trial_id)
    if torch.cuda.is_available():
        _keep_within(packing.share(trial))

    def on_epoch(entry: Mapping[str, Any]) -> None:
        tune.report({name: entry[name] for name in EPOCH} | {"hurried": kept.hurried})

    try:
        weights = shared.weights.get(trial.model)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            record = run(
                trial,
                shared.images.get(),
                None if weights is None else _tensors(ray.get(weights)),
                device=device,
                on_epoch=on_epoch,
                keep_state=save_models != "none",
                shared_device=packing.shares_device(trial),
                extra_views=extra_views,
                deterministic=deterministic,
                checkpoints=kept,
            )
    except ray.exceptions.RayError:
        raise
    except Exception as error:
        record = _failed(trial, error, log.getvalue())
    state = ray.put(dict(record.state)) if record.state and _may_be_kept(record, save_models) else None
    _release_memory()
    # Saying "done" spares the driver a second round, and the up to 0.2 s after which Tune looks for a thread's end.
    tune.report({"outcome": Outcome(replace(record, state=None), state), "done": True})


def _failed(trial: TrialConfig, error: Exception, printed: str) -> TrialRecord:
    record = failed_record(trial, error)
    return replace(record, error={**record.error, "log": printed[-LOG_CHARACTERS:]})


def _keep_within(share: Share) -> None:
    """Have this process fail, rather than its neighbour, where a trial takes more of the card than was planned."""
    torch.cuda.set_per_process_memory_fraction(share.gpu or 1.0)


_best_here: dict[int, tuple[float, float]] = {}
"""Seed -> rank of the best checkpoint that this process has offered to the driver."""


def _may_be_kept(record: TrialRecord, save_models: SaveModels) -> bool:
    """Whether the driver may want the checkpoint: not where this process has offered a better one of that seed."""
    rank = validation_rank(record)
    if save_models == "best" and rank <= _best_here.get(record.seed, (-1.0, 0.0)):
        return False
    _best_here[record.seed] = max(rank, _best_here.get(record.seed, rank))
    return True


def _release_memory() -> None:
    """Give back what the trial held: the next one in this process, or its neighbour, may need it."""
    gc.collect()
    if not gc.get_freeze_count():
        # What outlives the first trial is modules; looking through them again takes 0.2 s a trial.
        gc.freeze()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        # glibc keeps freed blocks for itself; gigabytes of them after a large model.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _tensors(state: State) -> dict[str, torch.Tensor]:
    # Arrays in the object store are read-only, which torch does not know; they are copied.
    return {name: torch.tensor(array) for name, array in state.items()}
