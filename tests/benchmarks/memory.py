"""Peak memory of trials, as estimated beforehand and as measured.

    uv run python -m tests.benchmarks.memory [--models resnet18,resnet50,vit_b_16,vit_s_16]
        [--strategies linear_probe,partial,full] [--image-size 224] [--epochs 2] [--precision auto] [--device auto]
        [--exact]

Trains each model by each strategy on noise, a step an epoch, each in a process of its own, and prints a line each.
Measured is, on a card, what torch allocated and what its allocator reserved for it, and what else of the card is in
use (contexts; the card should be idle); on a processor, by how much the process's resident memory grew at most. A
progressive strategy opens its blocks only in epochs that `--epochs` lets it reach. `--exact` has malloc (glibc's)
give every block back as it is freed, so that what is measured is the tensors alone.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import psutil

from animefer_core.config import Precision, Streams, TrialConfig, resize_for
from animefer_core.data.pixels import ImageSet
from animefer_core.training.strategies import KNOWN
from sweep.execution.memory import Need, estimate

CLASSES = ("Angry", "Happy", "Sad")
SPLIT = "5" * 64
MEASURE = "from tests.benchmarks.memory import Case, measure; measure(Case(**{case!r}))"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One trial whose memory is measured."""

    model: str
    strategy: str
    image_size: int
    epochs: int = 2
    """Of one step each. The second step meets what the first one left: gradients, moments, a best copy."""
    precision: Precision = "fp32"
    device: str = "cpu"

    @property
    def config(self) -> TrialConfig:
        """The trial."""
        return TrialConfig(
            model=self.model,
            strategy=KNOWN[self.strategy],
            streams=Streams(init=0, order=0, augmentation=0),
            split_digest=SPLIT,
            image_size=self.image_size,
            epochs_cap=self.epochs,
            precision=self.precision,
        )

    def images(self) -> ImageSet:
        """Return noise: a batch to train on, a batch to validate on, and a few images for the test."""
        side, train = resize_for(self.image_size), KNOWN[self.strategy].batch_size
        pixels = np.random.default_rng(0).integers(0, 256, (train + 64 + 8, 3, side, side), dtype=np.uint8)
        labels = np.arange(len(pixels), dtype=np.int64) % len(CLASSES)
        parts = np.split(np.arange(len(pixels)), [train, train + 64])
        rows = dict(zip(("train", "validation", "test"), parts, strict=True))
        return ImageSet(
            pixels=pixels, labels=labels, classes=CLASSES, splits={SPLIT: rows}, order=np.arange(len(pixels))
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a trial held at its peak, in bytes."""

    device: str
    precision: str
    """What was used."""
    tensors: int
    """Allocated on the card, the images included; on a processor, by how much the process grew."""
    process: int
    """Resident memory of the whole process on a processor; 0 on a card."""
    reserved: int
    """By torch's allocator on the card; 0 on a processor."""
    context: int
    """Of the card beyond that, other processes included; 0 on a processor."""
    pixels: int
    """Of the images' copy on the card; 0 on a processor."""


def measure(case: Case) -> None:
    """Train in this process and print a Measured as JSON."""
    import torch

    from animefer_core.training.device import choose_compute, reset_peak_memory
    from animefer_core.trial import run_trial

    compute = choose_compute(case.device, case.precision, case.image_size)
    # Libraries are loaded and kernels made by the first trial of a process: they belong to the process.
    first = Case(**asdict(case) | {"image_size": 32})
    run_trial(first.config, first.images(), device=case.device, extra_views=False)
    images, on_card = case.images(), compute.device.type == "cuda"
    _give_back()
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    reset_peak_memory(compute)
    # Not the peak so far: a container may forbid its reset.
    before = torch.cuda.memory_allocated() if on_card else psutil.Process().memory_info().rss
    record = run_trial(case.config, images, device=case.device, extra_views=False)
    peak = record.efficiency["peak_memory_bytes"]
    reserved = torch.cuda.max_memory_reserved() if on_card else 0
    free, whole = torch.cuda.mem_get_info() if on_card else (0, 0)
    measured = Measured(
        device=compute.device_name,
        precision=compute.precision,
        tensors=peak - before,
        process=0 if on_card else peak,
        reserved=reserved,
        context=whole - free - torch.cuda.memory_reserved() if on_card else 0,
        pixels=images.pixels.nbytes if on_card else 0,
    )
    print(json.dumps(asdict(measured)))


def _give_back() -> None:
    """Return to the system what the first trial has freed; the next one would begin within it, unseen."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def measured(case: Case, *, exact: bool = False) -> Measured:
    """Return what a trial held, trained in a process of its own; `exact`: without what malloc keeps for later."""
    command = [sys.executable, "-c", MEASURE.format(case=asdict(case))]
    environment = os.environ | ({"MALLOC_MMAP_THRESHOLD_": "131072"} if exact else {})
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return Measured(**json.loads(printed.splitlines()[-1]))


def estimated(case: Case, precision: str) -> Need:
    """Return what the trial is estimated to need in the precision that was used."""
    used = "bf16" if precision == "bf16" else "fp32"
    return estimate(
        case.model,
        KNOWN[case.strategy],
        classes=len(CLASSES),
        image_size=case.image_size,
        epochs_cap=case.epochs,
        precision=used,
    )


def line(case: Case, seen: Measured) -> str:
    """Return a line on one trial, in MB (10^6 bytes)."""
    need = estimated(case, seen.precision)
    tensors = need.allocated_on_card(seen.pixels) if seen.reserved else need.total
    text = (
        f"{case.model} {case.strategy} {case.image_size} px {seen.precision} on {seen.device}: "
        f"estimated {tensors / 1e6:.0f} MB, measured {seen.tensors / 1e6:.0f} MB, "
        f"measured/estimated {seen.tensors / tensors:.2f}"
    )
    if not seen.reserved:
        return (
            f"{text}; of the process estimated {need.on_processor / 1e6:.0f} MB, measured {seen.process / 1e6:.0f} MB, "
            f"measured/estimated {seen.process / need.on_processor:.2f}"
        )
    whole, held = need.on_card(seen.pixels), seen.reserved + seen.context
    return (
        f"{text}; of the card estimated {whole / 1e6:.0f} MB, measured {held / 1e6:.0f} MB "
        f"({seen.reserved / 1e6:.0f} reserved, {seen.reserved / seen.tensors:.2f} per allocated; "
        f"{seen.context / 1e6:.0f} context), measured/estimated {held / whole:.2f}"
    )


def main() -> None:
    """Measure every model by every strategy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="resnet18,resnet50,vit_b_16,vit_s_16")
    parser.add_argument("--strategies", default="linear_probe,partial,full")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--exact", action="store_true")
    options = parser.parse_args()
    common = {name: getattr(options, name) for name in ("image_size", "epochs", "precision", "device")}
    for model, strategy in product(options.models.split(","), options.strategies.split(",")):
        case = Case(model=model, strategy=strategy, **common)
        print(line(case, measured(case, exact=options.exact)), flush=True)


if __name__ == "__main__":
    main()
