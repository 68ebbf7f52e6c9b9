"""An epoch's whole state as one file, from which a trial goes on as if nothing had happened.

    model/NAME        parameters that have trained, and buffers; all others are as the trial's config makes them
    adamw/KEY/NAME    moments and step count of each parameter that has had a gradient; the others have none
    best/NAME         at the best epoch, what is to be restored; first values of what opened after it
    best_logits       validation logits of the best epoch, (validation images, classes)
    metadata          the rest as JSON, and the SHA-256 of all of it

Random streams are not saved: the order of the images, augmentation and dropout of an epoch are drawn anew from (seed,
purpose, epoch). What trains, learning rates and early stopping follow from the epoch and the losses so far. The file is
safetensors and JSON, so nothing is ever unpickled.
"""

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class EpochState:
    """All that the epochs so far leave to those that follow. Its tensors are the live ones until it is written."""

    history: list[dict[str, Any]]
    """One entry an epoch."""
    best_loss: float
    """Lowest validation loss so far."""
    best_epoch: int
    """Counted from 1."""
    best: Tensors
    """Name -> tensor to restore if no later epoch is better."""
    best_logits: npt.NDArray[np.float32]
    """(validation images, classes) of the best epoch."""
    ever_trained: set[str]
    """Names of the parameters that have trained in some epoch."""
    model: Tensors
    """Name -> parameters that have trained, and buffers, as they are now."""
    adamw: Mapping[str, Tensors]
    """Parameter's name -> AdamW's exp_avg, exp_avg_sq and step."""
    resumed_after: list[int]
    """Numbers of epochs after which the trial was taken up again, in order."""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """Trial, hardware and software: in another place the next epoch would give other numbers."""

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a freshly built model and a new optimizer where this epoch left them."""
        model.load_state_dict(self.model, strict=False)
        parameters = dict(model.named_parameters())
        for name, moments in self.adamw.items():
            parameter = parameters[name]
            optimizer.state[parameter] = {key: _laid_out_as(parameter, value) for key, value in moments.items()}


NOTHING_YET = EpochState(
    history=[],
    best_loss=math.inf,
    best_epoch=0,
    best={},
    best_logits=np.empty(0, np.float32),
    ever_trained=set(),
    model={},
    adamw={},
    resumed_after=[],
)
"""Before the first epoch."""


def adamw_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensors]:
    """Return AdamW's state by parameter name, of those parameters that have any."""
    named = {name: optimizer.state.get(parameter, {}) for name, parameter in model.named_parameters()}
    return {name: dict(state) for name, state in named.items() if state}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a copy on the parameter's device; of its shape, in its memory layout, which kernels rely on."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


class Checkpoints(Protocol):
    """Where a trial's last epoch is kept, if anywhere."""

    def load(self) -> EpochState | None:
        """Return the state to go on from, or None to begin anew."""

    def offer(self, state: Callable[[], EpochState]) -> None:
        """Hear that an epoch is complete; `state` gathers its tensors, which change with the next one."""


class NoCheckpoints:
    """Every trial begins anew."""

    hurried = False

    def load(self) -> None:
        """Return None."""

    def offer(self, state: Callable[[], EpochState]) -> None:
        """Keep nothing."""


class TimedCheckpoints:
    """Keeps an epoch's state if the last one kept is `minutes` old; 0 keeps every epoch's."""

    def __init__(
        self,
        minutes: float,
        read: Callable[[], EpochState | None],
        write: Callable[[EpochState], None],
        clock: Callable[[], float] = time.monotonic,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        """`clock` tells seconds; it starts here. `hurried` says whether to keep the next epoch whatever its age."""
        self._minutes = minutes
        self._read = read
        self._write = write
        self._clock = clock
        self._hurried = hurried
        self._last = clock()
        self.hurried = False
        """Whether the last epoch was to be kept whatever its age."""

    def load(self) -> EpochState | None:
        """Return what was kept, or None; a place that cannot be read costs epochs, not the trial."""
        try:
            return self._read()
        except OSError as error:
            warnings.warn(f"the checkpoint cannot be read, the trial begins anew: {error}", stacklevel=2)
            return None

    def offer(self, state: Callable[[], EpochState]) -> None:
        """Keep the state if it is time; a full disk costs the checkpoint, not the trial."""
        try:
            self.hurried = self._hurried()
            if self._clock() - self._last < 60 * self._minutes and not self.hurried:
                return
            self._write(state())
        except OSError as error:
            warnings.warn(f"the checkpoint cannot be written: {error}", stacklevel=2)
        self._last = self._clock()


class UnderConditions:
    """Passes on those states alone that were left under equal conditions, and writes them into every state."""

    def __init__(self, checkpoints: Checkpoints, conditions: Mapping[str, Any]) -> None:
        self._checkpoints = checkpoints
        self._conditions = conditions

    def load(self) -> EpochState | None:
        """Return the state that was kept, or None where it is another trial's, machine's or version's."""
        state = self._checkpoints.load()
        return state if state is not None and state.conditions == self._conditions else None

    def offer(self, state: Callable[[], EpochState]) -> None:
        """Pass the state on."""
        self._checkpoints.offer(lambda: replace(state(), conditions=self._conditions))


def write_checkpoint(path: Path, state: EpochState) -> None:
    """Write a state so that it is there whole or not at all: beside, fsync, rename. Raises OSError."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in _flat(state).items()}
    text = json.dumps({name: _as_json(getattr(state, name)) for name in IN_JSON}, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, beside, {"state": text, "sha256": _digest(text, tensors)})
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except SafetensorError as error:
        # That is what a full disk looks like from in there.
        raise OSError(str(error)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> EpochState | None:
    """Return the state in a file, or None where there is no file, or one that is cut, changed or something else.

    Raises OSError for a file that cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: the file may be replaced or deleted while its tensors are in use.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (FileNotFoundError, SafetensorError):
        return None
    text = metadata.get("state", "")
    if metadata.get("sha256") != _digest(text, tensors):
        return None
    values = json.loads(text)
    return EpochState(**values | {"ever_trained": set(values["ever_trained"])}, **_grouped(tensors))


IN_TENSORS = ("model", "best", "best_logits", "adamw")
IN_JSON = tuple(each.name for each in fields(EpochState) if each.name not in IN_TENSORS)


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value


def _flat(state: EpochState) -> Tensors:
    """Return all tensors of a state under names of their own."""
    tensors = {f"model/{name}": value for name, value in state.model.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    tensors |= {f"adamw/{key}/{name}": value for name, each in state.adamw.items() for key, value in each.items()}
    return tensors | {"best_logits": torch.from_numpy(state.best_logits)}


def _grouped(tensors: Tensors) -> dict[str, Any]:
    """Return the fields that `_flat` came from."""
    model, best, adamw = {}, {}, dict[str, Tensors]()
    for flat_name, value in tensors.items():
        kind, _, name = flat_name.partition("/")
        if kind == "model":
            model[name] = value
        elif kind == "best":
            best[name] = value
        elif kind == "adamw":
            key, _, name = name.partition("/")
            adamw.setdefault(name, {})[key] = value
    return {"model": model, "best": best, "adamw": adamw, "best_logits": tensors["best_logits"].numpy()}


def _digest(text: str, tensors: Tensors) -> str:
    """Return the SHA-256 of a text and of contiguous tensors with their names, types and shapes."""
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
