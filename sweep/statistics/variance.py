"""Where the spread of a configuration's results comes from, each part with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.statistics.intervals import check_level, satterthwaite, two_way

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A variance component as a standard deviation, in the metric's unit."""

    sd: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The sources of chance in a (seeds, test images) matrix of one configuration."""

    seed: Component
    """Between models trained with different seeds, on an endless test set; under folds between those of one fold."""
    image: Component
    """Between test images, averaged over endless seeds; under folds, of one fold."""
    fold: Component | None
    """Between folds on endless test images, over endless seeds: what training images do; None without folds."""
    within_folds: Component | None
    """Between models of one fold that differ in the seed, on its own test images; None without folds."""
    residual: float
    """Standard deviation of what is left: one seed's model on one image."""
    test_set_share: float
    """Share of the seed means' variance that is only the test set's being finite (Jordan 2024), 0 to 1."""


def sd_interval(values: npt.ArrayLike, level: float = 0.95) -> Component | None:
    """Return the standard deviation of values (seeds,) with its χ² interval; None for fewer than two.

    s √((n−1)/χ²), assuming values that are about normal. Raises ValueError for a value that is no finite number.
    """
    check_level(level)
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("values holds one that is no finite number")
    if numbers.size < 2:
        return None
    # Of equal values rounding would leave a spread of 1e-17.
    variance = float(numbers.var(ddof=1)) if np.ptp(numbers) > 0 else 0.0
    return _chi_square(variance, numbers.size - 1, level)


def sources(y: npt.ArrayLike, level: float = 0.95, folds: npt.ArrayLike | None = None) -> Sources | None:
    """Return the variance components of y, (seeds, units), for two seeds or more; None for one.

    A unit is a test image or a group of them. σ²_seed = (MS_seed − MS_res)/N and σ²_image = (MS_image − MS_res)/R,
    negative ones set to zero, with modified-large-sample intervals (Ting, Burdick, Graybill, Jeyaratnam and Lu 1990).
    With `folds`, (units,) an integer each, see `_folded`. Raises ValueError as `two_way` does.
    """
    values = np.asarray(y, dtype=np.float64)
    if folds is not None and len(values) > 1:
        return _folded(values, np.unique(np.asarray(folds), return_inverse=True)[1], level)
    parts = two_way(y)
    if parts.ms_seed is None or parts.ms_residual is None:
        return None
    n_seeds, n_units = values.shape
    residual = (parts.ms_residual, (n_seeds - 1) * (n_units - 1))
    return Sources(
        seed=_component((parts.ms_seed, n_seeds - 1), residual, n_units, level),
        image=_component((parts.ms_image, n_units - 1), residual, n_seeds, level),
        fold=None,
        within_folds=None,
        residual=math.sqrt(parts.ms_residual),
        test_set_share=_share_of_test_set(parts.ms_seed, parts.ms_residual),
    )


def _folded(y: Floats, fold: npt.NDArray[np.int64], level: float) -> Sources:
    """Return the components of y, (seeds, units), whose units lie in folds: each seed and fold is a model of its own.

    All mean squares but the first are taken within folds, of J with n units each (on average):

        MS_fold    n R/(J−1) Σ_f (Y_.f − Y..)²          n R σ²_fold + n σ²_seed + R σ²_image + σ²_res
        MS_seed    n/(J(R−1)) Σ_fs (Y_sf − Y_.f)²                      n σ²_seed              + σ²_res
        MS_image   R/(N−J) Σ_i (Y_.i − Y_.f)²                                     R σ²_image + σ²_res

    so σ²_fold = (MS_fold − MS_seed − MS_image + MS_res)/(n R), what is taken off with Satterthwaite's df.
    """
    n_seeds, n_units = y.shape
    sizes = np.bincount(fold)
    n_folds, per_fold = sizes.size, n_units / sizes.size
    models = np.stack([np.bincount(fold, weights=row) / sizes for row in y])
    folds, units = models.mean(axis=0), y.mean(axis=0)
    df_fold, df_seed, df_image = n_folds - 1.0, n_folds * (n_seeds - 1.0), float(n_units - n_folds)
    df_residual = (n_seeds - 1) * df_image
    ms_fold = n_seeds * float(np.sum(sizes * (folds - y.mean()) ** 2)) / df_fold
    ms_seed = float(np.sum(sizes * (models - folds) ** 2)) / df_seed
    ms_image = n_seeds * float(np.sum((units - folds[fold]) ** 2)) / df_image
    ms_residual = float(np.sum((y - models[:, fold] - units + folds[fold]) ** 2)) / df_residual
    chance, df = satterthwaite(
        ms_seed, ms_image, ms_residual, n_seeds=n_seeds, n_units=n_units, df_image=df_image, df_seed=df_seed
    )
    residual = (ms_residual, df_residual)
    return Sources(
        seed=_component((ms_seed, df_seed), residual, per_fold, level),
        image=_component((ms_image, df_image), residual, n_seeds, level),
        fold=_component((ms_fold, df_fold), (chance, df or df_image), n_seeds * per_fold, level),
        within_folds=_chi_square(ms_seed / per_fold, df_seed, level),
        residual=math.sqrt(ms_residual),
        test_set_share=_share_of_test_set(ms_seed, ms_residual),
    )


def _share_of_test_set(ms_seed: float, ms_residual: float) -> float:
    return min(1.0, ms_residual / ms_seed) if ms_seed > 0 else 1.0


def spread_between(values: npt.ArrayLike, level: float = 0.95) -> tuple[Component, Component]:
    """Return the spread of values (rows, repeats) between rows beyond what repeats explain, and that within a row.

    One-way random effects: σ²_between = (MS_between − MS_within)/R with a modified-large-sample interval as in
    `sources`, σ_within with its χ² interval. Raises ValueError for fewer than two rows or repeats.
    """
    check_level(level)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or min(numbers.shape) < 2 or not np.isfinite(numbers).all():
        raise ValueError("values must be (rows, repeats) of finite numbers, two of each at least")
    n_rows, n_repeats = numbers.shape
    within = (float(numbers.var(axis=1, ddof=1).mean()), n_rows * (n_repeats - 1))
    between = (n_repeats * float(numbers.mean(axis=1).var(ddof=1)), n_rows - 1)
    return _component(between, within, n_repeats, level), _chi_square(*within, level)


def summed(parts: Sequence[tuple[float, float]], level: float = 0.95) -> Component:
    """Return the root of a sum of independent variances, each a (standard deviation, degrees of freedom).

    Modified-large-sample limits (Graybill and Wang 1980): S − √Σ(G_i s_i²)² and S + √Σ(H_i s_i²)², of which each alone
    would be χ²'s. Raises ValueError for none.
    """
    check_level(level)
    if not parts:
        raise ValueError("there is nothing to sum")
    squares, df = np.square([sd for sd, _ in parts]), np.array([df for _, df in parts])
    g, h = _margins(df, level)
    total = float(squares.sum())
    low, high = total - math.sqrt(np.sum((g * squares) ** 2)), total + math.sqrt(np.sum((h * squares) ** 2))
    return Component(sd=math.sqrt(total), low=math.sqrt(max(0.0, low)), high=math.sqrt(high))


def _margins(df: Floats, level: float) -> tuple[Floats, Floats]:
    """Return by which share of itself a mean square's χ² limits lie below and above it; (parts,) each."""
    tail = (1 - level) / 2
    return 1 - df / stats.chi2.isf(tail, df), df / stats.chi2.ppf(tail, df) - 1


def _chi_square(mean_square: float, df: float, level: float) -> Component:
    g, h = _margins(np.array([df]), level)
    sd, low, high = (math.sqrt(mean_square * factor) for factor in (1.0, 1 - g[0], 1 + h[0]))
    return Component(sd=sd, low=low, high=high)


def _component(larger: tuple[float, float], smaller: tuple[float, float], times: float, level: float) -> Component:
    """Return √((MS₁ − MS₂)/times) with its interval; each mean square comes with its degrees of freedom."""
    (first, df_first), (second, df_second) = larger, smaller
    tail = (1 - level) / 2
    df = np.array([df_first, df_second], dtype=np.float64)
    # F with endless second degrees of freedom is χ² over its own.
    g, h = _margins(df, level)
    above, below = stats.f.isf(tail, df_first, df_second), stats.f.ppf(tail, df_first, df_second)
    g_both = ((above - 1) ** 2 - g[0] ** 2 * above**2 - h[1] ** 2) / above
    h_both = ((1 - below) ** 2 - h[0] ** 2 * below**2 - g[1] ** 2) / below
    down = g[0] ** 2 * first**2 + h[1] ** 2 * second**2 + g_both * first * second
    up = h[0] ** 2 * first**2 + g[1] ** 2 * second**2 + h_both * first * second
    difference = first - second
    low, high = difference - math.sqrt(max(0.0, down)), difference + math.sqrt(max(0.0, up))
    sd, least, most = (math.sqrt(max(0.0, each) / times) for each in (difference, low, high))
    return Component(sd=sd, low=least, high=most)
