"""A world whose truth is known: matrices of right and wrong answers, drawn with every source of chance on its own dial.

An answer is right where a latent value is positive:

    µ of the configuration + difficulty of the image + image × configuration + seed + noise

The standard deviations are 2 for difficulty, 1 for image × configuration and 0.8 for noise; the seeds' is the dial.
µ is set so that the chance of a right answer on a new image, by a model trained with a new seed, is the accuracy asked
for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

IMAGE_SD, INTERACTION_SD, NOISE_SD = 2.0, 1.0, 0.8
REST = IMAGE_SD**2 + INTERACTION_SD**2 + NOISE_SD**2

SMALL, LARGE = 0.1, 0.3
EIGHTFOLD = (0.05, 0.1, 0.2, 0.4)
"""Standard deviations of the seeds, in fours of configurations."""

STUDY = (62.22, 75.11, 74.67, 74.89, 61.78, 74.22, 73.78, 73.56, 64.67, 70.67, 74.44, 80.89, 61.33, 66.22, 76.22, 66.67)
"""Test accuracies in percent that the study reports: four models in turn, in the order of STUDY_LAYOUT."""
STUDY_LAYOUT = (np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4))


@dataclass(frozen=True, kw_only=True)
class World:
    """Configurations with known accuracies on new images."""

    accuracies: Floats
    """(configurations,) fractions."""
    seed_sd: Floats
    """(configurations,) of the latent value."""
    n_images: int
    common_seed_sd: float = 0.0
    """Of what all configurations of a seed share."""
    collapsed_to: float | None = None
    """Accuracy of the first seed of the first configuration, if that run goes wrong."""
    group_sizes: tuple[int, ...] = ()
    """Images of one group share difficulty and interaction; empty: every image by itself."""
    n_folds: int = 0
    """Every image is tested in one of so many folds, each with models of its own; 0: one test set."""
    fold_sd: tuple[float, ...] = (0.0,)
    """Of what a fold's training images do to each configuration, in turn."""

    def draw(self, rng: np.random.Generator, n_seeds: int) -> npt.NDArray[np.bool_]:
        """Return right or wrong, (configurations, seeds, images)."""
        n_configurations, n_images = len(self.accuracies), self.n_images
        owner = self.groups if self.group_sizes else np.arange(n_images)
        n_units = int(owner.max()) + 1
        difficulty = IMAGE_SD * rng.standard_normal(n_units)
        interaction = INTERACTION_SD * rng.standard_normal((n_configurations, n_units))
        seeds = self.seed_sd[:, None] * rng.standard_normal((n_configurations, n_seeds))
        seeds = seeds + self.common_seed_sd * rng.standard_normal(n_seeds)
        if self.n_folds:
            return self._draw_in_folds(rng, n_seeds, difficulty + interaction)
        fixed = self._centres()[:, None] + (difficulty + interaction)[:, owner]
        right = _noisy(fixed[:, None, :] + seeds[:, :, None], rng)
        if self.collapsed_to is not None:
            right[0, 0] = rng.random(n_images) < self.collapsed_to
        return right

    def draw_signals(self, rng: np.random.Generator, n_seeds: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return latent values without the noise, and right or wrong, (seeds, images): of the first configuration."""
        images = math.hypot(IMAGE_SD, INTERACTION_SD) * rng.standard_normal(self.n_images)
        seeds = self.seed_sd[0] * rng.standard_normal((n_seeds, 1))
        signals = self._centres()[0] + images + seeds
        return signals, _noisy(signals, rng)

    def signal_quantiles(self, n: int) -> Floats:
        """Return n equally likely values of what a new seed's signal of a new image may be."""
        spread = math.sqrt(IMAGE_SD**2 + INTERACTION_SD**2 + self.seed_sd[0] ** 2)
        return np.asarray(self._centres()[0] + spread * special.ndtri((np.arange(n) + 0.5) / n))

    def _draw_in_folds(self, rng: np.random.Generator, n_seeds: int, images: Floats) -> npt.NDArray[np.bool_]:
        """Return right or wrong where each fold has training images, and runs, of its own."""
        shape = (len(self.accuracies), n_seeds, self.n_folds)
        runs = self.seed_sd[:, None, None] * rng.standard_normal(shape)
        runs = runs + self._fold_sd[:, None, None] * rng.standard_normal((shape[0], 1, self.n_folds))
        return _noisy(self._centres()[:, None, None] + images[:, None, :] + runs[..., self.folds], rng)

    @property
    def folds(self) -> npt.NDArray[np.int64] | None:
        """(images,) number of each image's fold, or None for one test set."""
        return np.arange(self.n_images, dtype=np.int64) % self.n_folds if self.n_folds else None

    @property
    def groups(self) -> npt.NDArray[np.intp]:
        """(images,) number of each image's group; groups have the sizes in turn, the last one what is left."""
        sizes = np.resize(self.group_sizes, self.n_images)
        return np.repeat(np.arange(self.n_images), sizes)[: self.n_images]

    @property
    def _fold_sd(self) -> Floats:
        return np.resize(np.asarray(self.fold_sd, dtype=np.float64), len(self.accuracies))

    def _centres(self) -> Floats:
        spread = np.sqrt(REST + self.seed_sd**2 + self.common_seed_sd**2 + self._fold_sd**2)
        return np.asarray(special.ndtri(self.accuracies) * spread)


def _noisy(signals: Floats, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return right where a signal and its noise are positive."""
    return np.asarray(signals + NOISE_SD * rng.standard_normal(signals.shape) > 0)


def equal(
    n_configurations: int, seed_sd: float | Sequence[float], n_images: int = 450, accuracy: float = 0.75
) -> World:
    """Return a world in which no configuration is better than another."""
    return World(
        accuracies=np.full(n_configurations, accuracy),
        seed_sd=np.resize(np.asarray(seed_sd, dtype=np.float64), n_configurations),
        n_images=n_images,
    )


def study(seed_sd: float | Sequence[float], n_images: int = 450) -> World:
    """Return a world with the accuracies that the study reports."""
    return World(
        accuracies=np.array(STUDY) / 100,
        seed_sd=np.resize(np.asarray(seed_sd, dtype=np.float64), len(STUDY)),
        n_images=n_images,
    )
