"""Where the spread of a configuration's results comes from, each part with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.statistics.folds import image_squares
from sweep.statistics.intervals import check_level, two_way

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
    """Between models trained with different seeds, on an endless test set."""
    image: Component
    """Between test images, averaged over endless seeds; under folds, of one fold."""
    fold: Component | None
    """Between folds on endless test images: what their training images do; None without folds."""
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
    With `folds`, (units,) an integer each, MS_image is taken within them, and σ²_fold = (MS_fold − MS_image)/(R n),
    n units a fold. Raises ValueError as `two_way` does.
    """
    parts = two_way(y)
    if parts.ms_seed is None or parts.ms_residual is None:
        return None
    values = np.asarray(y, dtype=np.float64)
    n_seeds, n_units = values.shape
    residual = (parts.ms_residual, (n_seeds - 1) * (n_units - 1))
    units = values.mean(axis=0)
    squares = image_squares((units - units.mean())[None], folds, n_seeds)
    image = (float(squares.within[0, 0]), squares.df_within)
    fold = None
    if squares.between is not None:
        per_fold = n_units / (squares.df_between + 1)
        fold = _component((float(squares.between[0, 0]), squares.df_between), image, n_seeds * per_fold, level)
    return Sources(
        seed=_component((parts.ms_seed, n_seeds - 1), residual, n_units, level),
        image=_component(image, residual, n_seeds, level),
        fold=fold,
        residual=math.sqrt(parts.ms_residual),
        test_set_share=min(1.0, parts.ms_residual / parts.ms_seed) if parts.ms_seed > 0 else 1.0,
    )


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
