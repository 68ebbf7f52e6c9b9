"""Test images that were met in folds, or on several random splits: how far the training images move a result.

Under J folds every image is tested once a seed, by a model that the other folds' images trained. The images of one
fold share that training set, so that chance of the training images shows between the folds.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SplitInterval:
    """Mean over random splits with an interval for new training and test images."""

    mean: float
    low: float
    high: float
    n_splits: int


def image_squares(images: Floats, folds: npt.ArrayLike | None, n_seeds: int) -> tuple[Floats, float]:
    """Return the cross mean squares of test images (configurations, configurations), and their degrees of freedom.

    `images` is (configurations, units): each unit's mean over seeds, less its configuration's mean; `folds` (units,)
    an integer each. Without folds R/(N−1) Σ_i Y_ki Y_li with N − 1 degrees of freedom. With J folds the sum is taken
    within them (N − J); where the folds' own mean square, R/(J−1) Σ_f n_f Y_kf Y_lf, is larger, all entries are raised
    by the ratio of the two, which is that of their traces after what all configurations share is taken out, and the
    degrees of freedom are (J−1)(K−1), of one configuration J − 1. One ratio for all keeps the matrix a covariance.
    Raises ValueError for folds of another length, or a single one.
    """
    n_configurations, n_units = images.shape
    if folds is None:
        return n_seeds / (n_units - 1) * images @ images.T, n_units - 1.0
    names, number = np.unique(np.asarray(folds), return_inverse=True)
    if number.shape != (n_units,) or not 1 < names.size < n_units:
        raise ValueError("folds must hold one integer a test image or group, of two folds or more")
    sizes = np.bincount(number)
    means = np.stack([np.bincount(number, weights=row) / sizes for row in images])
    apart = images - means[:, number]
    within = n_seeds / (n_units - names.size) * apart @ apart.T
    between = n_seeds / (names.size - 1) * (means * sizes) @ means.T
    own = np.eye(n_configurations) - (1 / n_configurations if n_configurations > 1 else 0.0)
    inner, outer = float(np.sum(own * within)), float(np.sum(own * between))
    if outer <= inner:
        return within, float(n_units - names.size)
    df = float(min((names.size - 1) * max(1, n_configurations - 1), n_units - names.size))
    return (within * (outer / inner), df) if inner > 0 else (between, df)


def folds_of_groups(folds: npt.ArrayLike, groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the fold of every group, in the order of the groups' sorted numbers; both arguments are (images,).

    Raises ValueError where a group's images are in several folds: it is then no unit of chance.
    """
    members, parts = np.asarray(groups), np.asarray(folds)
    _, first, number = np.unique(members, return_index=True, return_inverse=True)
    if (parts[first][number] != parts).any():
        raise ValueError("a group of images lies in several folds")
    return np.asarray(parts[first], dtype=np.int64)


def split_interval(values: npt.ArrayLike, test_share: float, level: float = 0.95) -> SplitInterval:
    """Return the interval of a mean over random splits of the same images (Nadeau and Bengio 2003).

    `values` is (splits,), one finite number a split, of a metric or a difference; `test_share` is n_test/n_train.
    The splits' training sets overlap, so s² (1/J + n_test/n_train) takes the place of s²/J; Student's t with J − 1
    degrees of freedom. Raises ValueError for fewer than two splits or a value that is no finite number.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < 2 or not np.isfinite(numbers).all():
        raise ValueError("values must be one finite number a split, at least two")
    mean = float(numbers.mean())
    half = float(special.stdtrit(numbers.size - 1, (1 + level) / 2)) * math.sqrt(
        float(numbers.var(ddof=1)) * (1 / numbers.size + test_share)
    )
    return SplitInterval(mean=mean, low=mean - half, high=mean + half, n_splits=int(numbers.size))
