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


@dataclass(frozen=True, kw_only=True)
class ImageSquares:
    """Cross mean squares of test images, (configurations, configurations), with their degrees of freedom."""

    within: Floats
    """R/(N−1) Σ_i Y_ki Y_li of the units' means less their configuration's; with J folds within them, over N − J."""
    df_within: float
    between: Floats | None
    """R/(J−1) Σ_f n_f Y_kf Y_lf of the folds' means; None without folds."""
    df_between: float

    def of(self, contrast: Floats) -> tuple[float, float]:
        """Return a contrast's (configurations,) mean square and its degrees of freedom.

        That between the folds where it is the larger: what their training images do then shows. Where the two are
        equal, the fewer degrees of freedom.
        """
        within = float(contrast @ self.within @ contrast)
        if self.between is None:
            return within, self.df_within
        between = float(contrast @ self.between @ contrast)
        return (between, self.df_between) if between >= within else (within, self.df_within)

    def pooled(self, contrast: Floats) -> tuple[float, float]:
        """Return a contrast's mean square within folds, raised as far as all configurations together are between them.

        The ratio is that of the traces after what all share is taken out, with (J−1)(K−1) degrees of freedom; no
        less than 1.
        """
        within = float(contrast @ self.within @ contrast)
        if self.between is None:
            return within, self.df_within
        n_configurations = len(self.within)
        own = np.eye(n_configurations) - (1 / n_configurations if n_configurations > 1 else 0.0)
        inner, outer = float(np.sum(own * self.within)), float(np.sum(own * self.between))
        if outer <= inner:
            return within, self.df_within
        df = min(self.df_between * max(1, n_configurations - 1), self.df_within)
        return (within * outer / inner if inner > 0 else float(contrast @ self.between @ contrast)), df


def image_squares(images: Floats, folds: npt.ArrayLike | None, n_seeds: int) -> ImageSquares:
    """Return the mean squares of test images from each unit's mean over seeds, less its configuration's mean.

    `images` is (configurations, units), `folds` (units,) an integer each, for units that were tested in folds.
    Raises ValueError for folds of another length, or a single one.
    """
    n_units = images.shape[1]
    if folds is None:
        squares = n_seeds / (n_units - 1) * images @ images.T
        return ImageSquares(within=squares, df_within=n_units - 1.0, between=None, df_between=math.nan)
    means, sizes, number = fold_means(images, folds)
    apart = images - means[:, number]
    return ImageSquares(
        within=n_seeds / (n_units - sizes.size) * apart @ apart.T,
        df_within=float(n_units - sizes.size),
        between=n_seeds / (sizes.size - 1) * (means * sizes) @ means.T,
        df_between=sizes.size - 1.0,
    )


def fold_means(images: Floats, folds: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return every fold's mean (configurations, folds), its number of units, and the place of each unit's fold.

    Raises ValueError for folds of another length, or a single one.
    """
    names, number = np.unique(np.asarray(folds), return_inverse=True)
    if number.shape != images.shape[1:] or not 1 < names.size < images.shape[1]:
        raise ValueError("folds must hold one integer a test image or group, of two folds or more")
    sizes = np.bincount(number)
    return np.stack([np.bincount(number, weights=row) / sizes for row in images]), sizes, number


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
