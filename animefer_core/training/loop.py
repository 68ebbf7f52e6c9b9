"""The training loop: train, validate, stop early, restore the best weights.

It reads from top to bottom in the order in which things happen. The host waits for the device once an epoch,
when the losses and the validation logits are fetched together.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from animefer_core.config import TrialConfig
from animefer_core.data.alterations import Alteration
from animefer_core.data.augment import ViewDraws, draw_views, evaluation_views, training_views
from animefer_core.data.pixels import ImageSet
from animefer_core.metrics import cross_entropy
from animefer_core.models.zoo import Colours, Network, layer_groups
from animefer_core.seeds import stream, torch_seed
from animefer_core.training.checkpoint import NOTHING_YET, Checkpoints, EpochState, NoCheckpoints, adamw_of
from animefer_core.training.device import Compute
from animefer_core.training.freezing import percent_trainable, set_trainable, trainable_names
from animefer_core.training.strategies import Strategy, learning_rates, trainable_blocks

OnEpoch = Callable[[Mapping[str, Any]], None]
Normalisation = tuple[Colours, Colours]
"""Mean and deviation of each colour channel, of pixels in 0 to 1."""
EVALUATION_BATCH = 64


class TrainingDivergedError(RuntimeError):
    """The loss became infinite or no number; the message says at which epoch and step (from 1)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the loop leaves behind; the network itself holds the best weights."""

    history: list[dict[str, Any]]
    best_epoch: int
    """Counted from 1."""
    percent_trainable: float
    """Of the last epoch run."""
    trainable_parameters: int
    """Of the last epoch run."""
    validation_logits: npt.NDArray[np.float32]
    """(validation images, classes) of the best epoch."""
    resumed_after: list[int]
    """Numbers of epochs after which training was taken up again from a checkpoint; empty as a rule."""


class Pictures:
    """The decoded images where the device can index them: copied to a card once, left in place on a CPU.

    Altered ones are met once each, and are made on the host as they are asked for: nothing is held twice.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], device: torch.device, alter: Alteration | None = None) -> None:
        self._pixels = pixels
        self._device = device
        self._alter = alter
        self._on_device = None if device.type == "cpu" or alter else torch.tensor(pixels, device=device)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """Return the images of some rows, uint8 (rows, 3, side, side)."""
        if self._alter is not None:
            return torch.from_numpy(self._alter(self._pixels[rows])).to(self._device)
        if self._on_device is None:
            # Indexing copies, so the array may be read-only, as it is in an object store.
            return torch.from_numpy(self._pixels[rows])
        return self._on_device[torch.tensor(rows, device=self._device)]


def fit(
    network: Network,
    data: ImageSet,
    pictures: Pictures,
    config: TrialConfig,
    normalisation: Normalisation,
    compute: Compute,
    on_epoch: OnEpoch | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Fine-tune the network, as it was built, in place and leave it with the weights of the best epoch.

    Best is the lowest validation loss; any decrease counts. Where `checkpoints` hold an epoch, training goes on after
    it, to the same end. Raises TrainingDivergedError.
    """
    checkpoints = checkpoints or NoCheckpoints()
    strategy, model = config.strategy, network.model
    rows_of = data.rows(config.split_digest, config.train_fraction)
    train_rows, validation_rows = rows_of["train"], rows_of["validation"]
    optimizer = _optimizer(network, config)
    labels = torch.tensor(data.labels, device=compute.device)
    buffers = {name for name, _ in model.named_buffers()}
    state = checkpoints.load() or NOTHING_YET
    state.restore(model, optimizer)
    history, best_loss, best_epoch = [*state.history], state.best_loss, state.best_epoch
    best_state, best_logits, ever_trained = {**state.best}, state.best_logits, {*state.ever_trained}
    resumed_after = [*state.resumed_after, len(history)] if history else []
    if history:
        # The last epoch may have been the last of all, and its share is yet to be told.
        _open(network, config, len(history) - 1)

    for epoch in range(len(history), strategy.epochs(config.epochs_cap)):
        if strategy.is_over(epoch - 1, best_epoch, config.epochs_cap):
            break

        # What trains, and how fast: derived from the epoch alone.
        _open(network, config, epoch)
        opened = set(trainable_names(network)) - ever_trained
        ever_trained |= opened
        # Until now these have their first values, which are also those of the best epoch so far.
        best_state |= _copies(model, opened)
        rates = learning_rates(strategy, epoch, config.epochs_cap)
        for group in optimizer.param_groups:
            group["lr"] = rates[group["name"]] * group["scale"]

        # Train.
        order, draws = _drawn(config, epoch, len(train_rows))
        losses, sizes = [], []
        clock = _Stopwatch(compute)
        for batch in batches(order, strategy.batch_size):
            rows = train_rows[batch]
            views = training_views(pictures[rows], draws.rows(batch), config.views, config.image_size, *normalisation)
            losses.append(_step(network, optimizer, views, labels[rows], compute, strategy))
            sizes.append(len(batch))
        clock.stop()

        # Validate; the one wait for the device is here.
        scores = _logits(network, pictures, validation_rows, config.image_size, normalisation, compute)
        fetched = torch.cat([torch.stack(losses), scores.flatten()]).cpu().numpy()
        step_losses, logits = fetched[: len(losses)], fetched[len(losses) :].reshape(scores.shape)
        measured = _measured(epoch, step_losses, sizes, logits, data.labels[validation_rows], clock.seconds())
        history.append(measured | {"percent_trainable": percent_trainable(network), "learning_rates": rates})

        # Keep the best, or stop.
        if (loss := measured["validation_loss"]) < best_loss:
            best_loss, best_epoch, best_logits = loss, epoch + 1, logits
            best_state = _copies(model, ever_trained | buffers)
        checkpoints.offer(
            partial(
                _epoch_state,
                network,
                optimizer,
                history=history,
                best_loss=best_loss,
                best_epoch=best_epoch,
                best=best_state,
                best_logits=best_logits,
                ever_trained=ever_trained,
                resumed_after=resumed_after,
            )
        )
        if on_epoch is not None:
            on_epoch(history[-1])

    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    model.load_state_dict(best_state, strict=False)
    return Fit(
        history=history,
        best_epoch=best_epoch,
        percent_trainable=history[-1]["percent_trainable"],
        trainable_parameters=trainable,
        validation_logits=best_logits,
        resumed_after=resumed_after,
    )


def predict(
    network: Network,
    pictures: Pictures,
    rows: npt.NDArray[np.int64],
    image_size: int,
    normalisation: Normalisation,
    compute: Compute,
) -> npt.NDArray[np.float32]:
    """Return the logits of the evaluation views of some rows, float32 (rows, classes)."""
    logits: npt.NDArray[np.float32] = _logits(network, pictures, rows, image_size, normalisation, compute).cpu().numpy()
    return logits


def batches(order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    """Return the order cut into batches; a last one of a single image joins the one before it.

    BatchNorm cannot train on a single value a channel, which is what one small image leaves in the last layers.
    """
    cuts = list(range(size, len(order), size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    return np.split(order, cuts)


def place(network: Network, compute: Compute) -> None:
    """Move the network to its device, in the layout in which convolutions are fastest there."""
    if _channels_last(network, compute):
        network.model.to(device=compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        network.model.to(compute.device)


def _channels_last(network: Network, compute: Compute) -> bool:
    """Whether to lay images out with their channels last.

    Convolutions prefer it on cards and in bf16. In fp32 on a processor without AVX-512 it costs a tenth to a third
    of the speed (ResNets at 16 and 112 pixels).
    """
    return network.convolutional and (compute.device.type != "cpu" or compute.precision == "bf16")


def _optimizer(network: Network, config: TrialConfig) -> torch.optim.AdamW:
    """Return one AdamW over every parameter, head and backbone apart, and its groups of layers where rates decay.

    A parameter that does not train has no gradient, and AdamW passes over it, weight decay included: its moments
    and its step count begin, at zero, in the epoch in which its block unfreezes.
    """
    parameters, decay = dict(network.model.named_parameters()), config.strategy.layer_decay
    groups: list[dict[str, Any]] = [{"name": "head", "scale": 1.0, "params": [parameters[n] for n in network.head]}]
    if decay is None:
        rest = [parameter for name, parameter in parameters.items() if name not in set(network.head)]
        groups.append({"name": "backbone", "scale": 1.0, "params": rest})
    else:
        for depth, names in enumerate(layer_groups(network, config.model), start=1):
            params = [parameters[name] for name in names]
            groups.append({"name": "backbone", "scale": decay**depth, "params": params})
    return torch.optim.AdamW(groups, weight_decay=config.strategy.weight_decay, fused=True)


def _step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    views: Tensor,
    labels: Tensor,
    compute: Compute,
    strategy: Strategy,
) -> Tensor:
    with compute.autocast():
        logits = network.model(_laid_out(views, network, compute))
    loss = nn.functional.cross_entropy(logits.float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if strategy.gradient_clip_norm is not None:
        nn.utils.clip_grad_norm_(network.model.parameters(), strategy.gradient_clip_norm)
    optimizer.step()
    return loss.detach()


@torch.inference_mode()
def _logits(
    network: Network,
    pictures: Pictures,
    rows: npt.NDArray[np.int64],
    image_size: int,
    normalisation: Normalisation,
    compute: Compute,
) -> Tensor:
    network.model.eval()
    parts = []
    for first in range(0, len(rows), EVALUATION_BATCH):
        views = evaluation_views(pictures[rows[first : first + EVALUATION_BATCH]], image_size, *normalisation)
        with compute.autocast():
            parts.append(network.model(_laid_out(views, network, compute)).float())
    return torch.cat(parts)


def _laid_out(views: Tensor, network: Network, compute: Compute) -> Tensor:
    return views.contiguous(memory_format=torch.channels_last) if _channels_last(network, compute) else views


def _copies(model: nn.Module, names: set[str]) -> dict[str, Tensor]:
    """Return copies of some of the model's parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items() if name in names}


def _epoch_state(
    network: Network, optimizer: torch.optim.Optimizer, *, ever_trained: set[str], **so_far: Any
) -> EpochState:
    """Return the state of training as it is now, its tensors uncopied."""
    changed = ever_trained | {name for name, _ in network.model.named_buffers()}
    return EpochState(
        model={name: value for name, value in network.model.state_dict().items() if name in changed},
        adamw=adamw_of(network.model, optimizer),
        ever_trained=ever_trained,
        **so_far,
    )


def _open(network: Network, config: TrialConfig, epoch: int) -> None:
    """Have that train which the strategy says of this epoch."""
    blocks = trainable_blocks(config.strategy, epoch, len(network.blocks), config.epochs_cap)
    set_trainable(network, blocks, config.frozen_norm, config.strategy.block_order)


def _drawn(config: TrialConfig, epoch: int, images: int) -> tuple[npt.NDArray[np.int64], ViewDraws]:
    """Return in what order and under which draws every configuration of this seed meets the images in this epoch."""
    order = stream(config.streams.order, "order", epoch).permutation(images)
    augmentation = stream(config.streams.augmentation, "augmentation", epoch)
    draws = draw_views(images, augmentation, config.views, config.resize, config.image_size)
    torch.manual_seed(torch_seed(config.streams.augmentation, "dropout", epoch))
    return order, draws


def _measured(
    epoch: int,
    losses: npt.NDArray[np.float32],
    sizes: list[int],
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    seconds: float,
) -> dict[str, Any]:
    """Return what an epoch's batches (their losses and sizes) and its validation logits say, for the history.

    Raises TrainingDivergedError.
    """
    _refuse_divergence(losses, epoch)
    validation_loss = cross_entropy(logits, labels)
    if not math.isfinite(validation_loss):
        raise TrainingDivergedError(f"the validation loss is {validation_loss} after epoch {epoch + 1}")
    return {
        "epoch": epoch + 1,
        "train_loss": float(np.average(losses, weights=sizes)),
        "validation_loss": validation_loss,
        "validation_accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "seconds": seconds,
        "images_per_second": sum(sizes) / seconds,
    }


def _refuse_divergence(losses: npt.NDArray[np.float32], epoch: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(losses))
    if len(wrong):
        raise TrainingDivergedError(
            f"the training loss is {losses[wrong[0]]} at epoch {epoch + 1}, step {wrong[0] + 1}"
        )


class _Stopwatch:
    """Seconds of device time between start and stop, read after the epoch's one wait."""

    def __init__(self, compute: Compute) -> None:
        self._events = None
        if compute.device.type == "cuda":
            self._events = [
                torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
                for _ in range(2)
            ]
            self._events[0].record()
        else:
            self._compute = compute
            self._seconds = -time.perf_counter()

    def stop(self) -> None:
        if self._events is not None:
            self._events[1].record()
        else:
            self._compute.synchronise()
            self._seconds += time.perf_counter()

    def seconds(self) -> float:
        if self._events is not None:
            return float(self._events[0].elapsed_time(self._events[1])) / 1e3
        return self._seconds
