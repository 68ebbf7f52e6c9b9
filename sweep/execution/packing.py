"""How much of a machine each trial needs, and how many trials run at once."""

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from animefer_core.errors import InputError
from animefer_core.models import zoo

PROCESS_BYTES = 1_200_000_000
"""A worker process with its libraries loaded, before it holds a model."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How a machine is divided among trials."""

    trials_at_once: int
    threads: int
    """CPU threads of each trial."""
    gpu_share: float
    """GPUs of each trial; 0 on a machine that trains on its processor."""

    @property
    def shared_device(self) -> bool:
        """Whether a trial's timings are taken beside other trials on the same device."""
        return self.gpu_share < 1 and self.trials_at_once > 1


def divide_machine(
    models: Iterable[str],
    *,
    classes: int,
    image_size: int,
    batch_size: int,
    device: str,
    threads: int | None,
    gpu_share: float,
    cluster: bool = False,
) -> Capacity:
    """Return how many trials this machine runs at once, and with how many threads each.

    On a processor one thread a trial is fastest (two trials beside each other waste less than two threads within
    one), as far as memory allows. On GPUs as many trials as shares fit, counted card by card.
    Raises InputError for more threads than there are cores.
    """
    cores = available_cores()
    if cluster:
        # Its machines are counted by Ray; a small driver says nothing of them.
        cores = max(cores, threads or 1)
    if threads is not None and threads > cores:
        raise InputError(f"--threads {threads}: this machine has {cores} cores; give at most that many.")
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else int(device.startswith("cuda"))
    if gpus:
        at_once = max(1, gpus * int(1 / gpu_share))
        return Capacity(trials_at_once=at_once, threads=threads or max(1, cores // at_once), gpu_share=gpu_share)
    largest = max(estimated_bytes(model, classes, image_size, batch_size) for model in models)
    fitting = max(1, int(0.8 * available_memory() / (largest + PROCESS_BYTES)))
    at_once = max(1, min(cores // threads if threads else cores, fitting))
    return Capacity(trials_at_once=at_once, threads=threads or cores // at_once, gpu_share=0.0)


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


def available_cores() -> int:
    """Return the cores that this process may use; a scheduler's allocation may be smaller than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes that can be allocated, the limit of a container included."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next(
            line for line in meminfo.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable")
        )
        free = int(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return free if text == "max" else min(free, int(text))
