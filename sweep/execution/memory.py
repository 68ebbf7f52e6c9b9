"""How much memory a trial needs at its peak, estimated."""

import functools
from typing import Any

import torch

from animefer_core.models import zoo

PROCESS_BYTES = 1_200_000_000
"""A worker process with its libraries loaded, before it holds a model."""


@functools.cache
def estimated_bytes(model: str, classes: int, image_size: int, batch_size: int) -> int:
    """Return an estimate of a full fine-tuning's memory: weights, gradients, two moments, best copy, activations.

    Activations are the tensors that autograd saves for one batch, counted on the meta device in fp32.
    """
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[id(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
        kept.append(tensor)
        return tensor

    kept: list[torch.Tensor] = []
    with torch.device("meta"):
        network = zoo.build(model, classes, image_size)
        images = torch.empty(batch_size, 3, image_size, image_size)
    network.model.train()
    unpack: Any = lambda tensor: tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(note, unpack):
        network.model(images)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.model.parameters())
    return 5 * weights + sum(saved.values())
