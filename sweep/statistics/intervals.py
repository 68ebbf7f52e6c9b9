"""How far a configuration's mean may be from the truth, and which sources of chance the interval knows of.

The raw material is a matrix y of shape (seeds, test images): 1 where that seed's model got that image right, or a
per-image value whose mean is the metric. Two sources of chance stand in it:

    seed_interval    the seeds alone: "trained again, on this same test set"
    total_interval   seeds and test images: "trained again, on new images of the same kind"

The training images are the same in every row, so neither interval knows of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.statistics.folds import folds_of_groups, image_squares

Floats = npt.NDArray[np.float64]

CALIBRATION_BINS = 15
SMALLEST_CALIBRATION_SET = 8
ROUNDING = 1e-24
"""Of the squared values: rounding leaves mean squares near 1e-32 of them where the true one is zero."""
ROUNDING_SHARE = 1e-9
"""Of a mean square: two that differ by less are equal."""


@dataclass(frozen=True, kw_only=True)
class SeedInterval:
    """Mean over seeds with Student's t interval: chance of the seeds alone, given this test set."""

    mean: float
    sd: float
    """Standard deviation over seeds, R − 1 in the denominator."""
    low: float
    high: float
    n_seeds: int


@dataclass(frozen=True, kw_only=True)
class TwoWay:
    """Variance components of the mean of a (seeds, units) matrix; a unit is a test image or a group of them."""

    mean: float
    ms_seed: float | None
    """N/(R−1) Σ_s (Y_s. − Y..)²; None with one seed."""
    ms_image: float
    """R/(N−1) Σ_i (Y_.i − Y..)²; with folds see `folds.ImageSquares`."""
    ms_residual: float | None
    """Residual mean square, (R−1)(N−1) degrees of freedom; None with one seed."""
    variance_of_mean: float
    df: float | None
    """Degrees of freedom of the variance; None where the variance is zero."""


@dataclass(frozen=True, kw_only=True)
class TotalInterval:
    """Mean over seeds and test images with an interval for new seeds and new images."""

    mean: float
    low: float
    high: float
    df: float | None
    """Degrees of freedom of the variance; None where the variance is zero."""
    variance_of_mean: float
    effective_n: float | None
    """Independent draws that the matrix is worth, for a proportion; None for a mean."""
    n_seeds: int
    """With one seed the interval covers the test images only."""
    n_images: int


def seed_interval(values: Sequence[float] | Floats, level: float = 0.95) -> SeedInterval | None:
    """Return Student's t interval of a metric's mean over seeds, or None for a single seed.

    `values` is (seeds,), one finite number a seed, taken as independent and about normal (Student 1908).
    m ± t_{R−1} s/√R. Raises ValueError for no seed, a value that is no finite number, or a level outside 0 to 1.
    """
    check_level(level)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError("values must be one finite number a seed, at least one")
    if numbers.size == 1:
        return None
    mean, sd = float(numbers.mean()), float(numbers.std(ddof=1))
    half = _t_quantile(numbers.size - 1, level) * sd / math.sqrt(numbers.size)
    return SeedInterval(mean=mean, sd=sd, low=mean - half, high=mean + half, n_seeds=int(numbers.size))


def two_way(y: npt.ArrayLike, folds: npt.ArrayLike | None = None) -> TwoWay:
    """Return the two-way variance components of a (seeds, units) matrix's mean.

    V = (MS_seed + MS_image − MS_res)/(R N), with Satterthwaite's (1946) degrees of freedom. V never falls below
    max(MS_seed, MS_image)/(R N), which is a negative component set to zero; there the degrees of freedom are those
    of the larger mean square. One seed: V = s²/N over units, N − 1 degrees of freedom. `folds` is (units,), an integer
    each, where the units were tested in folds. Raises ValueError for fewer than two units, or a single fold.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError("y must be (seeds, units) with at least one seed and two test images or groups")
    if not np.isfinite(values).all():
        raise ValueError("y holds a value that is no finite number")
    n_seeds, n_units = values.shape
    grand, units = values.mean(), values.mean(axis=0)
    nothing = ROUNDING * float(np.mean(values**2))
    ms_image, df_image = image_squares((units - grand)[None], folds, n_seeds).of(np.ones(1))
    ms_image = _cut(ms_image, nothing)
    if n_seeds == 1:
        return TwoWay(
            mean=float(grand),
            ms_seed=None,
            ms_image=ms_image,
            ms_residual=None,
            variance_of_mean=ms_image / n_units,
            df=df_image if ms_image > 0 else None,
        )
    seeds = values.mean(axis=1)
    residual = values - seeds[:, None] - units + grand
    ms_seed = _cut(n_units * np.sum((seeds - grand) ** 2) / (n_seeds - 1), nothing)
    ms_residual = _cut(np.sum(residual**2) / ((n_seeds - 1) * (n_units - 1)), nothing)
    total, df = satterthwaite(ms_seed, ms_image, ms_residual, n_seeds=n_seeds, n_units=n_units, df_image=df_image)
    return TwoWay(
        mean=float(grand),
        ms_seed=ms_seed,
        ms_image=ms_image,
        ms_residual=ms_residual,
        variance_of_mean=total / (n_seeds * n_units),
        df=df,
    )


def satterthwaite(
    ms_seed: float,
    ms_image: float,
    ms_residual: float,
    *,
    n_seeds: int,
    n_units: int,
    df_image: float,
    df_seed: float | None = None,
) -> tuple[float, float | None]:
    """Return R N times the variance of the mean, and its degrees of freedom (Satterthwaite 1946).

    The sum MS_seed + MS_image − MS_res, or the larger of the first two with its own degrees of freedom where the sum
    falls below it; the fewer where the two are equal. `df_image` are those of MS_image; `df_seed` of MS_seed, by
    default R − 1. No variance: (0, None).
    """
    df_seed = n_seeds - 1.0 if df_seed is None else df_seed
    total, largest = ms_seed + ms_image - ms_residual, max(ms_seed, ms_image)
    if largest == 0:
        return 0.0, None
    # Where the residual equals the smaller mean square, or the two are equal, rounding must not choose.
    if total <= largest * (1 + ROUNDING_SHARE):
        if abs(ms_seed - ms_image) <= ROUNDING_SHARE * largest:
            return largest, min(df_seed, df_image)
        return largest, df_seed if ms_seed > ms_image else df_image
    # As shares of the largest: squares of what nearly vanishes would be nothing at all.
    seed, image, rest, whole = (each / largest for each in (ms_seed, ms_image, ms_residual, total))
    spread = seed**2 / df_seed + image**2 / df_image + rest**2 / ((n_seeds - 1) * (n_units - 1))
    return total, whole**2 / spread


def total_interval(
    y: npt.ArrayLike, level: float = 0.95, groups: npt.ArrayLike | None = None, folds: npt.ArrayLike | None = None
) -> TotalInterval:
    """Return the interval of the mean for new seeds and new test images (new groups, where `groups` is given).

    `y` is (seeds, images): booleans or 0/1 integers are a proportion, floats a mean. `groups` is (images,), an
    integer a test image; images of one group are not independent and are counted as one unit. `folds` is (images,) an
    integer each, where every image was tested in one of several folds: the interval is then for new training images
    as well, as far as the folds tell.

    A mean: Student's t on `two_way`'s variance and degrees of freedom. A proportion: Korn and Graubard's (1998)
    interval, Clopper and Pearson's limits at an effective size n* = min(R N, p(1−p)/V (t_{N−1}/t_df)²), or N where p
    is 0 or 1, V is 0 or there is one seed; inside [0, 1] and never of width zero. With groups their number takes the
    place of N, save in the cap R N. One seed: test images only; covers 0.90 at two unstable seeds.
    Raises ValueError for values that are not finite, integers beside 0 and 1, fewer than two units, a single fold, or
    a group in several.
    """
    check_level(level)
    matrix = np.asarray(y)
    proportion = matrix.dtype.kind in "bui"
    values = matrix.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("y holds a value that is no finite number")
    if proportion and not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("y holds integers other than 0 and 1; give floats for a mean")
    units = values if groups is None else group_values(values, groups)
    parts = two_way(units, folds if folds is None or groups is None else folds_of_groups(folds, groups))
    n_seeds, n_images = values.shape
    effective = None
    if proportion:
        mean = float(values.mean())
        effective = _effective_size(mean, parts, units.shape, n_images, level)
        low, high = _clopper_pearson(mean, effective, level)
    else:
        mean = parts.mean
        half = _t_quantile(parts.df, level) * math.sqrt(parts.variance_of_mean) if parts.df else 0.0
        low, high = mean - half, mean + half
    return TotalInterval(
        mean=mean,
        low=low,
        high=high,
        df=parts.df,
        variance_of_mean=parts.variance_of_mean,
        effective_n=effective,
        n_seeds=n_seeds,
        n_images=n_images,
    )


def check_level(level: float) -> None:
    """Raise ValueError for a confidence level that is no fraction between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as 0.95 does; it is {level}")


def count_units(n_images: int, groups: npt.ArrayLike | None) -> int:
    """Return how many independent units the test images are: themselves, or the groups (images,) that they form."""
    return n_images if groups is None else len(np.unique(np.asarray(groups)))


def group_values(y: npt.ArrayLike, groups: npt.ArrayLike) -> Floats:
    """Return the (seeds, groups) matrix Z_sg = Y.. + (G/N) Σ_{i in g} (Y_si − Y..), whose mean is that of y.

    `y` is (seeds, images), `groups` (images,) integers; exact for groups of unequal size.
    """
    values, members = np.asarray(y, dtype=np.float64), np.asarray(groups)
    if members.shape != values.shape[1:]:
        raise ValueError("groups must hold one integer a test image")
    names, number = np.unique(members, return_inverse=True)
    grand = values.mean()
    sums = np.stack([np.bincount(number, weights=row - grand, minlength=names.size) for row in values])
    return np.asarray(grand + names.size / values.shape[1] * sums, dtype=np.float64)


def f1_values(
    predicted: npt.ArrayLike, labels: npt.ArrayLike, n_classes: int, average: Literal["macro", "weighted"] = "macro"
) -> Floats:
    """Return a (seeds, images) matrix whose mean over images is each seed's F1, for `total_interval`.

    `predicted` is (seeds, images) and `labels` (images,) class numbers. First-order expansion of
    F = Σ_c a_c F_c, F_c = 2 TP_c/(P_c + Q_c), in the images' weights: a_c = 1/C over the C classes with a test image
    (macro; a class without one is left out for every seed alike) or P_c/N (weighted, whose a_c vary with the images
    too). The value of an image is F plus N times its influence (Hampel 1974, the infinitesimal jackknife).
    """
    guesses, truth = np.asarray(predicted), np.asarray(labels)
    n_images = truth.size
    supports = np.bincount(truth, minlength=n_classes).astype(np.float64)
    share = supports / n_images if average == "weighted" else (supports > 0) / np.count_nonzero(supports)
    rows = []
    for guess in guesses:
        hit = guess == truth
        both = supports + np.bincount(guess, minlength=n_classes)
        both[both == 0] = 1.0
        f1 = 2 * np.bincount(truth[hit], minlength=n_classes) / both
        whole, slope = share @ f1, share * n_images / both
        row = whole + 2 * hit * slope[truth] - (slope * f1)[truth] - (slope * f1)[guess]
        rows.append(row + f1[truth] - whole if average == "weighted" else row)
    return np.asarray(rows, dtype=np.float64)


def class_f1_values(predicted: npt.ArrayLike, labels: npt.ArrayLike, one: int) -> Floats:
    """Return a (seeds, images) matrix whose mean over images is each seed's F1 of the class `one`.

    As `f1_values`: F + N (2 tp − F (p + q))/(P + Q), P and Q counting the images that are of the class and those that
    were said to be. Raises ValueError for a class without a test image.
    """
    said, true = np.asarray(predicted) == one, np.asarray(labels) == one
    if not true.any():
        raise ValueError("the class has no test image")
    both = said.sum(axis=1, keepdims=True) + true.sum()
    f1 = 2 * (said & true).sum(axis=1, keepdims=True) / both
    return np.asarray(f1 + true.size / both * (2 * (said & true) - f1 * (said.astype(np.float64) + true)))


def log_probabilities(logits: npt.ArrayLike) -> Floats:
    """Return the log-softmax over the last axis, in double precision."""
    return np.asarray(special.log_softmax(np.asarray(logits, dtype=np.float64), axis=-1), dtype=np.float64)


def loss_values(log_p: Floats, labels: npt.ArrayLike) -> Floats:
    """Return every image's cross-entropy in nats, (seeds, images), from (seeds, images, classes) log-probabilities."""
    return np.asarray(-np.take_along_axis(log_p, np.asarray(labels)[None, :, None], axis=-1)[..., 0])


def brier_values(log_p: Floats, labels: npt.ArrayLike) -> Floats:
    """Return every image's Brier score Σ_c (p_c − 1[c is true])² (Brier 1950; 0 to 2), (seeds, images)."""
    truth = np.eye(log_p.shape[-1])[np.asarray(labels)]
    return np.asarray(np.sum((np.exp(log_p) - truth) ** 2, axis=-1))


def equal_mass_bins(confidence: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return each image's bin by its confidence, (seeds, images) numbers from 0, seed by seed.

    min(15, N // 4) bins of equal mass, the image of rank r in bin r·b // N, ties in their order. Raises ValueError
    below 8 images.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    n_images = sure.shape[1]
    if n_images < SMALLEST_CALIBRATION_SET:
        raise ValueError(f"calibration needs at least {SMALLEST_CALIBRATION_SET} test images")
    n_bins = min(CALIBRATION_BINS, n_images // 4)
    bins = np.empty(sure.shape, dtype=np.intp)
    np.put_along_axis(bins, np.argsort(sure, axis=1, kind="stable"), np.arange(n_images) * n_bins // n_images, axis=1)
    return bins


def calibration_values(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> Floats:
    """Return a (seeds, images) matrix whose mean is the debiased squared calibration error of each seed.

    `confidence` (top probability) and `correct` are (seeds, images). In each of a seed's `equal_mass_bins`
    d = confidence − correct has mean m, variance s² and n images, and m² − s²/n is the debiased square (Kumar, Liang
    and Ma 2019); an image's value adds its influence 2 m (d − m). Raises ValueError below 8 images.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    gap = sure - np.asarray(correct, dtype=np.float64)
    of_images = equal_mass_bins(sure)
    counts = np.bincount(of_images[0])
    values = np.empty_like(gap)
    for row, (bins, d) in enumerate(zip(of_images, gap, strict=True)):
        mean = np.bincount(bins, weights=d) / counts
        away = d - mean[bins]
        variance = np.bincount(bins, weights=away**2) / (counts - 1)
        values[row] = 2 * mean[bins] * away + (mean**2 - variance / counts)[bins]
    return values


def calibration_interval(
    confidence: npt.ArrayLike,
    correct: npt.ArrayLike,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
    folds: npt.ArrayLike | None = None,
) -> TotalInterval:
    """Return the debiased root-mean-square calibration error with its total interval (Kumar, Liang and Ma 2019).

    `confidence` and `correct` are (seeds, images), `groups` and `folds` (images,) integers: `total_interval` on
    `calibration_values`, with its assumptions; mean and limits are cut at 0 and their roots taken. The variance stays
    that of the squared error. Raises ValueError below 8 images.
    """
    squared = total_interval(calibration_values(confidence, correct), level, groups, folds)
    return TotalInterval(
        mean=math.sqrt(max(0.0, squared.mean)),
        low=math.sqrt(max(0.0, squared.low)),
        high=math.sqrt(max(0.0, squared.high)),
        df=squared.df,
        variance_of_mean=squared.variance_of_mean,
        effective_n=None,
        n_seeds=squared.n_seeds,
        n_images=squared.n_images,
    )


def _cut(mean_square: Any, nothing: float) -> float:
    return float(mean_square) if mean_square > nothing else 0.0


def _t_quantile(df: float | None, level: float) -> float:
    return float(special.stdtrit(df, (1 + level) / 2))


def _effective_size(mean: float, parts: TwoWay, shape: tuple[int, ...], n_images: int, level: float) -> float:
    n_seeds, n_units = shape
    if n_seeds == 1 or mean in (0.0, 1.0) or parts.variance_of_mean == 0:
        return float(n_units)
    ratio = _t_quantile(n_units - 1, level) / _t_quantile(parts.df, level)
    return min(float(n_seeds * n_images), mean * (1 - mean) / parts.variance_of_mean * ratio**2)


def _clopper_pearson(mean: float, n: float, level: float) -> tuple[float, float]:
    hits, tail = n * mean, (1 - level) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if mean > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - tail)) if mean < 1 else 1.0
    return low, high
