"""How much memory a trial needs at its peak, told beforehand from its model and strategy.

    before a step      parameters, the last step's gradients, AdamW's moments, the best epoch's copy
    within a step      the same, and what the forward pass leaves for the backward pass
    evaluation         the same, and the few feature maps of 64 images that live at once
    a better epoch     the same, and a second best copy, until the first one goes

Only what trains has gradients, moments and a place in the best copy, so each strategy needs a memory of its own.
Training opens blocks and never closes one: a strategy's last epoch is its hungriest. That epoch's step is taken here on
tensors without contents, as the loop takes it, and what lives at once is counted operation by operation.

All figures are *estimated*. On a processor the tensors' bytes are met to a few percent; what an allocator keeps for
later and what kernels take for themselves is in no tensor, and `PROCESSOR_OVERHEAD` and `CARD_OVERHEAD` stand for it.
`tests/benchmarks/memory.py` sets both beside what a device held.
"""

import contextlib
import functools
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from animefer_core.config import Views, resize_for
from animefer_core.data.augment import draw_views, training_views
from animefer_core.models import zoo
from animefer_core.training.freezing import set_trainable
from animefer_core.training.loop import EVALUATION_BATCH
from animefer_core.training.strategies import Strategy, trainable_blocks

PROCESS_BYTES = 1_200_000_000
"""A worker process with its libraries loaded, before it holds a model."""
PROCESSOR_OVERHEAD = 1.5
"""Resident memory per byte of what comes and goes within an epoch: malloc keeps freed blocks of up to 32 MB, and gives
back only larger ones. Processes grew by 1.1 to 1.8 times their tensors, the most where these were few."""
CONTEXT_BYTES = 500_000_000
"""What CUDA and its libraries hold of a card for a process, before its first tensor."""
CARD_OVERHEAD = 1.2
"""Memory that a process reserves on a card, per byte of its tensors: blocks in use are rounded up, free ones are not
where they are wanted, and convolutions are given workspaces. No card has been measured yet."""

Used = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A trial's memory at its peak, in bytes, estimated. All but `views` live beside each other."""

    parameters: int
    """Weights and buffers of the network, in fp32."""
    gradients: int
    """Of what trains in the last epoch. They stay until the next step's loss is known."""
    moments: int
    """AdamW's two, of what trains in the last epoch."""
    best_copy: int
    """What has trained, and all buffers, as at the best epoch."""
    activations: int
    """Most that lives at once beside the above: the batch, what autograd saved of it and the backward pass's own, or
    the evaluation's feature maps where these are larger."""
    views: int
    """Most that lives at once while a card makes a batch's training views. A processor makes them in small pieces."""

    @property
    def kept(self) -> int:
        """Bytes that stay from step to step."""
        return self.parameters + self.gradients + self.moments + self.best_copy

    @property
    def passing(self) -> int:
        """Bytes at most of what comes and goes within an epoch: a step, the evaluation, or the second best copy."""
        return max(self.activations, self.best_copy)

    @property
    def total(self) -> int:
        """Bytes of all tensors at the peak, on a processor."""
        return self.kept + self.passing

    @property
    def on_processor(self) -> int:
        """Bytes of a process that trains on a processor, the pixels in the object store apart."""
        return PROCESS_BYTES + self.kept + int(PROCESSOR_OVERHEAD * self.passing)

    def allocated_on_card(self, pixels: int) -> int:
        """Bytes of all tensors at the peak, on a card, which has a copy of the decoded images, of so many bytes."""
        return self.kept + max(self.passing, self.views) + pixels

    def on_card(self, pixels: int) -> int:
        """Bytes of a card that a process takes away from others."""
        return CONTEXT_BYTES + int(CARD_OVERHEAD * self.allocated_on_card(pixels))


@functools.cache
def estimate(
    model: str,
    strategy: Strategy,
    *,
    classes: int,
    image_size: int,
    epochs_cap: int | None = None,
    precision: Used,
) -> Need:
    """Return what a trial of this model and strategy needs, its epochs capped; nothing is allocated or drawn.

    `image_size` is in pixels; `precision` is what is used, not "auto". Raises InputError for what `zoo.build` refuses.
    """
    with torch.device("meta"):
        network = zoo.build(model, classes, image_size)
    last = strategy.epochs(epochs_cap) - 1
    blocks = trainable_blocks(strategy, last, len(network.blocks), epochs_cap)
    with FakeTensorMode():
        _make_hollow(network.model)
        set_trainable(network, blocks, "eval", strategy.block_order)
        step = _step_bytes(network, strategy.batch_size, image_size, precision)
        evaluation = _evaluation_bytes(network, strategy.batch_size, image_size, precision)
    trained = _bytes(parameter for parameter in network.model.parameters() if parameter.requires_grad)
    buffers = _bytes(network.model.buffers())
    return Need(
        parameters=_bytes(network.model.parameters()) + buffers,
        gradients=trained,
        moments=2 * trained,
        best_copy=trained + buffers,
        activations=max(step - trained, evaluation),
        views=_views_bytes(strategy.batch_size, image_size),
    )


def _make_hollow(model: nn.Module) -> None:
    """Give a model on the meta device tensors that claim to be on a processor and hold nothing.

    Autocast passes over the meta device, and attention is not there what it is on a processor or a card.
    """

    def hollow(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

    model._apply(hollow)  # type: ignore[no-untyped-call]


def _step_bytes(network: zoo.Network, batch_size: int, image_size: int, precision: Used) -> int:
    """Return the most bytes that live at once in a training step, the gradients of the one before included."""
    with _Live(network.model) as live:
        for parameter in network.model.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        views = torch.empty(batch_size, 3, image_size, image_size)
        with _autocast(precision):
            logits = network.model(_laid_out(views, network))
        loss = logits.float().sum()
        network.model.zero_grad(set_to_none=True)
        loss.backward()
    most: int = live.most
    return most


def _evaluation_bytes(network: zoo.Network, batch_size: int, image_size: int, precision: Used) -> int:
    """Return the most bytes that live at once while images are evaluated, beside the last training batch's."""
    network.model.eval()
    with torch.no_grad(), _without_fused_layers(), _Live(network.model) as live:
        # The loop still holds the last training batch.
        kept = torch.empty(batch_size, 3, image_size, image_size)
        views = torch.empty(EVALUATION_BATCH, 3, image_size, image_size)
        with _autocast(precision):
            network.model(_laid_out(views, network))
        del kept
    most: int = live.most
    return most


def _views_bytes(batch_size: int, image_size: int) -> int:
    """Return the most bytes that live at once while the training views of a batch are made in one piece."""
    side, views = resize_for(image_size), Views()
    draws = draw_views(batch_size, np.random.default_rng(0), views, side, image_size)
    with _Live() as live:
        pixels = torch.empty(batch_size, 3, side, side, dtype=torch.uint8, device="meta")
        training_views(pixels, draws, views, image_size, zoo.IMAGENET_MEAN, zoo.IMAGENET_STD)
    most: int = live.most
    return most


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, each storage once, from its making to its end."""

    def __init__(self, model: nn.Module | None = None) -> None:
        """A model's own tensors are not counted."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self._now: int = 0
        own = [] if model is None else [*model.parameters(), *model.buffers()]
        self._known = {tensor.untyped_storage()._cdata for tensor in own}

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        # Views and in-place operations return a storage that is known.
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self._now += storage.nbytes()
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, address: int, size: int) -> None:
        # Another storage may come to lie where this one was.
        self._known.discard(address)
        self._now -= size


def _laid_out(views: Tensor, network: zoo.Network) -> Tensor:
    """Return the batch as the loop lays it out for convolutions: a second one."""
    return views.contiguous(memory_format=torch.channels_last) if network.convolutional else views


def _autocast(precision: Used) -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def _without_fused_layers() -> Iterator[None]:
    """Have torch's transformer layers run operation by operation: the fused ones take no tensors without contents."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _bytes(tensors: Iterator[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
