"""A few small images and the config of a trial on them, for tests that train."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from animefer_core.config import Streams, TrialConfig, resize_for
from animefer_core.data.pixels import ImageSet
from animefer_core.training.strategies import KNOWN

CLASSES = ("Angry", "Happy", "Sad")
SPLIT = "5" * 64


@pytest.fixture(scope="session")
def make_images() -> Callable[..., ImageSet]:
    """Return a maker of noisy images whose classes differ in colour; the parts take turns in the rows."""

    def make(train: int = 12, validation: int = 7, test: int = 8, image_size: int = 32) -> ImageSet:
        rng = np.random.default_rng(0)
        parts = rng.permuted(["train"] * train + ["validation"] * validation + ["test"] * test)
        labels = np.arange(len(parts), dtype=np.int64) % len(CLASSES)
        side = resize_for(image_size)
        pixels = rng.integers(0, 156, (len(parts), 3, side, side), dtype=np.uint8)
        pixels[np.arange(len(parts)), labels] += 60
        rows = {part: np.flatnonzero(parts == part) for part in ("train", "validation", "test")}
        order = rng.permutation(len(parts))
        return ImageSet(pixels=pixels, labels=labels, classes=CLASSES, splits={SPLIT: rows}, order=order)

    return make


@pytest.fixture(scope="session")
def make_config() -> Callable[..., TrialConfig]:
    """Return a maker of configs: a strategy by name, one seed, batches of 8, 32 pixels, two epochs, fp32."""

    def make(
        model: str = "resnet18", strategy: str = "full", seed: int = 42, batch_size: int = 8, **changes: Any
    ) -> TrialConfig:
        config = TrialConfig(
            model=model,
            strategy=dataclasses.replace(KNOWN[strategy], batch_size=batch_size),
            streams=Streams(init=seed, order=seed, augmentation=seed),
            split_digest=SPLIT,
            image_size=32,
            epochs_cap=2,
            precision="fp32",
        )
        return dataclasses.replace(config, **changes)

    return make
