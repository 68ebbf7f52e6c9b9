"""What is judged together, and from which sums: the forms that all comparisons share.

The raw material is y of shape (configurations, seeds, test images): the same seeds and the same images for all, so
that every difference is paired.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sweep.statistics.folds import ImageSquares, fold_means, folds_of_groups, image_squares
from sweep.statistics.intervals import ROUNDING, group_values

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Layout = tuple[npt.ArrayLike, npt.ArrayLike]
"""(model, strategy) of every configuration: two integer arrays (configurations,)."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Contrasts that are judged together, one entry each; all arrays are (contrasts,)."""

    difference: Floats
    """Σ_k a_k m_k over the configurations' means; of a pair a − b."""
    standard_error: Floats
    """Square root of the variance over seeds and test images."""
    low: Floats
    """Total interval of that one contrast, as if no other had been looked at."""
    high: Floats
    simultaneous_low: Floats
    """Total intervals that all hold at once with the level's probability."""
    simultaneous_high: Floats
    p: Floats
    """Two-sided, of that one contrast."""
    p_adjusted: Floats
    """For the family: rejecting where it is below 1 − level errs anywhere with at most that probability."""
    smallest_detectable: Floats
    """The smallest difference that the family's largest T would have shown."""


@dataclass(frozen=True, kw_only=True)
class CrossSquares:
    """Cross mean squares of all configurations: those of a contrast a are a′Ma, so no pair is ever formed."""

    means: Floats
    """(configurations,)"""
    seed_means: Floats
    """(configurations, seeds), each less its configuration's mean."""
    seed: Floats
    """(configurations, configurations): N/(R−1) Σ_s (Y_ks. − Y_k..)(Y_ls. − Y_l..)."""
    image: ImageSquares
    """The same of the image means."""
    residual: Floats
    """The same of the residuals, over (R−1)(N−1)."""
    n_seeds: int
    n_units: int
    """Test images, or groups of them."""
    fold_means: Floats | None
    """(configurations, folds), each less its configuration's mean; None without folds."""


class VarianceModel(Protocol):
    """What the seeds' and images' variances of a whole sweep say about any family of contrasts."""

    squares: CrossSquares

    def family(self, contrasts: Floats, level: float = 0.95) -> Family:
        """Judge contrasts (contrasts, configurations) together."""

    def certainly(self, rival: int, error_rate: float) -> tuple[Bools, Bools]:
        """Return which configurations are certainly better than `rival`, and which certainly worse.

        Two arrays (configurations,); each errs anywhere with at most `error_rate`.
        """


def cross_squares(
    y: npt.ArrayLike, groups: npt.ArrayLike | None = None, folds: npt.ArrayLike | None = None
) -> CrossSquares:
    """Return the cross mean squares of y, (configurations, seeds, images); groups take the images' place.

    The two-way analysis of variance without replication, of all pairs of configurations at once: for a contrast a,
    a′Ma is the mean square of Σ_k a_k y_k. Seeds and images are taken as drawn independently of one another.
    Raises ValueError for another shape, a single seed, fewer than two images or groups, a value that is no finite
    number, a single fold, or a group in several.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 3 or values.shape[0] < 1:
        raise ValueError("y must be (configurations, seeds, images)")
    if values.shape[1] < 2:
        raise ValueError("y holds one seed: nothing tells the seeds' chance from a difference; give two or more")
    if not np.isfinite(values).all():
        raise ValueError("y holds a value that is no finite number")
    if groups is not None:
        folds = None if folds is None else folds_of_groups(folds, groups)
        values = np.stack([group_values(each, groups) for each in values])
    n_configurations, n_seeds, n_units = values.shape
    if n_units < 2:
        raise ValueError("y must have two test images or groups of them at least")
    means = values.mean(axis=(1, 2))
    seeds, images = values.mean(axis=2) - means[:, None], values.mean(axis=1) - means[:, None]
    # Rounding leaves mean squares where the true ones are zero.
    nothing = math.sqrt(ROUNDING * float(np.einsum("ksi,ksi->", values, values)) / values.size)
    residual = np.zeros((n_configurations, n_configurations))
    for seed in range(n_seeds):
        # Seed by seed: the residuals of all seeds at once are as large as y.
        rest = values[:, seed] - (means + seeds[:, seed])[:, None] - images
        rest[np.abs(rest) <= nothing] = 0.0
        residual += rest @ rest.T
    seeds, images = (np.where(np.abs(part) > nothing, part, 0.0) for part in (seeds, images))
    return CrossSquares(
        means=means,
        seed_means=seeds,
        seed=n_units / (n_seeds - 1) * seeds @ seeds.T,
        image=image_squares(images, folds, n_seeds),
        residual=residual / ((n_seeds - 1) * (n_units - 1)),
        n_seeds=n_seeds,
        n_units=n_units,
        fold_means=None if folds is None else fold_means(images, folds)[0],
    )


def pair_contrasts(n_configurations: int) -> Floats:
    """Return a − b for all pairs in `itertools.combinations` order: (pairs, configurations), one 1 and one −1 a row."""
    pairs = list(itertools.combinations(range(n_configurations), 2))
    contrasts = np.zeros((len(pairs), n_configurations))
    for row, (a, b) in zip(contrasts, pairs, strict=True):
        row[a], row[b] = 1.0, -1.0
    return contrasts
