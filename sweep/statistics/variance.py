"""Where the spread of a configuration's results comes from, each part with an interval."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.statistics.intervals import check_level, two_way


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
    """Between test images, averaged over endless seeds."""
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
    df, sd = numbers.size - 1, float(numbers.std(ddof=1))
    tail = (1 - level) / 2
    return Component(
        sd=sd, low=sd * math.sqrt(df / stats.chi2.isf(tail, df)), high=sd * math.sqrt(df / stats.chi2.ppf(tail, df))
    )


def sources(y: npt.ArrayLike, level: float = 0.95) -> Sources | None:
    """Return the variance components of y, (seeds, units), for two seeds or more; None for one.

    A unit is a test image or a group of them. σ²_seed = (MS_seed − MS_res)/N and σ²_image = (MS_image − MS_res)/R,
    negative ones set to zero, with modified-large-sample intervals (Ting, Burdick, Graybill, Jeyaratnam and Lu 1990).
    """
    parts = two_way(y)
    if parts.ms_seed is None or parts.ms_residual is None:
        return None
    n_seeds, n_units = np.shape(y)
    df_seed, df_unit = n_seeds - 1, n_units - 1
    residual = (parts.ms_residual, df_seed * df_unit)
    return Sources(
        seed=_component((parts.ms_seed, df_seed), residual, n_units, level),
        image=_component((parts.ms_image, df_unit), residual, n_seeds, level),
        residual=math.sqrt(parts.ms_residual),
        test_set_share=min(1.0, parts.ms_residual / parts.ms_seed) if parts.ms_seed > 0 else 1.0,
    )


def _component(larger: tuple[float, int], smaller: tuple[float, int], times: int, level: float) -> Component:
    """Return √((MS₁ − MS₂)/times) with its interval; each mean square comes with its degrees of freedom."""
    (first, df_first), (second, df_second) = larger, smaller
    tail = (1 - level) / 2
    df = np.array([df_first, df_second])
    # F with endless second degrees of freedom is χ² over its own.
    g, h = 1 - df / stats.chi2.isf(tail, df), df / stats.chi2.ppf(tail, df) - 1
    above, below = stats.f.isf(tail, df_first, df_second), stats.f.ppf(tail, df_first, df_second)
    g_both = ((above - 1) ** 2 - g[0] ** 2 * above**2 - h[1] ** 2) / above
    h_both = ((1 - below) ** 2 - h[0] ** 2 * below**2 - g[1] ** 2) / below
    down = g[0] ** 2 * first**2 + h[1] ** 2 * second**2 + g_both * first * second
    up = h[0] ** 2 * first**2 + g[1] ** 2 * second**2 + h_both * first * second
    difference = first - second
    low, high = difference - math.sqrt(max(0.0, down)), difference + math.sqrt(max(0.0, up))
    sd, least, most = (math.sqrt(max(0.0, each) / times) for each in (difference, low, high))
    return Component(sd=sd, low=least, high=most)
