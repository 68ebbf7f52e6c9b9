"""How fast a network trains on this hardware, measured in seconds rather than hours."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from animefer_core.config import RANDOM_WEIGHTS, TrialConfig
from animefer_core.data.pixels import ImageSet
from animefer_core.training.strategies import Strategy, trainable_blocks
from animefer_core.trial import validate

SPLIT = "calibration"
EPOCHS = 3
"""Of one or two steps each; the first is not counted."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds a training image, one trial alone on its device."""

    head: float
    """Where the head trains alone: little more than the forward pass."""
    everything: float
    """Where all parameters train."""

    def seconds(
        self, strategy: Strategy, cap: int | None, blocks: int, *, training: int, validation: int, test: int
    ) -> float:
        """Return the seconds of a trial that trains all its epochs, of which early stopping may spare many.

        `blocks` is how many the network has; training, validation and test are numbers of images met. An epoch's pace
        is between the two by the share of the blocks that train in it; images that are only looked at cost a forward
        pass.
        """
        total = test * self.head
        for epoch in range(strategy.epochs(cap)):
            opened = trainable_blocks(strategy, epoch, blocks, cap)
            share = 1.0 if opened == "all" else opened / max(1, blocks)
            total += training * (self.head + share * (self.everything - self.head)) + validation * self.head
        return total


def measure(config: TrialConfig, classes: int, device: str = "auto") -> Pace:
    """Train the model of a trial for a few steps on noise, under its precision and threads, and return its pace.

    On a processor a step has 8 images, which tell as much as 32 in a quarter of the time.
    Raises what `run_trial` does.
    """
    on_card = device != "cpu" and torch.cuda.is_available()
    batch = config.strategy.batch_size if on_card else min(8, config.strategy.batch_size)
    images = _noise(config, classes, 2 * batch if on_card else batch)
    seconds: list[float] = []
    trained: tuple[Literal[0, "all"], ...] = (0, "all")
    for blocks in trained:
        strategy = Strategy(name=SPLIT, blocks=blocks, max_epochs=EPOCHS, patience=EPOCHS, batch_size=batch)
        trial = replace(
            config,
            strategy=strategy,
            split_digest=SPLIT,
            weights_digest=RANDOM_WEIGHTS,
            epochs_cap=None,
            train_fraction=1.0,
        )
        history = validate(trial, images, device=device).history
        seconds.append(min(entry["seconds"] for entry in history[1:]) / len(images.splits[SPLIT]["train"]))
    return Pace(head=seconds[0], everything=max(seconds))


def _noise(config: TrialConfig, classes: int, training: int) -> ImageSet:
    count, side = training + 2, config.resize
    rows = np.arange(count)
    return ImageSet(
        pixels=np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8),
        labels=rows % classes,
        classes=tuple(f"class {number}" for number in range(classes)),
        splits={SPLIT: {"train": rows[:training], "validation": rows[training:]}},
        order=rows,
    )
