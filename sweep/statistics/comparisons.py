"""Which differences between configurations are real, when many are looked at together.

A family is a set of contrasts of configurations, named before looking; its adjusted p-values and simultaneous
intervals answer for all of them together. The variances behind them are those of the whole sweep:

    fewer than 8 configurations   moderated variances and Holm's correction (moderation.py)
    8 or more                     draws from the variances' posterior, and their largest T (posterior.py)
"""

import numpy as np
import numpy.typing as npt

from sweep.statistics.families import Family, Layout, VarianceModel, cross_squares, pair_contrasts
from sweep.statistics.moderation import ModeratedVariances
from sweep.statistics.posterior import PosteriorVariances

FEWEST_FOR_POSTERIOR = 8


def compare_all(
    y: npt.ArrayLike,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
    layout: Layout | None = None,
    rng: np.random.Generator | None = None,
    folds: npt.ArrayLike | None = None,
) -> Family:
    """Compare all pairs of configurations; entries are in `itertools.combinations` order.

    A pair's difference of means has the variance of `two_way` on the differences of the same seeds and images, its
    seed part estimated from all configurations together: shrunk towards one another (Smyth 2004) with Holm's (1979)
    correction for fewer than 8, integrated over its posterior with step-down max-t (Westfall and Young 1993) from 8
    on. Assumes that seeds are drawn independently, that test images (or groups) are, and that means over them are
    about normal.

    `y` is (configurations, seeds, images), `groups` (images,) integers. `layout`, a pair of integer arrays (model,
    strategy) with one entry a configuration, lets variances be alike within a model or a strategy. `rng` draws; a
    fixed seed where it is None. `folds` is (images,) an integer each, where images were tested in folds: see `folds`.
    Raises ValueError for a single seed, fewer than two images or groups, or a layout of another length.
    """
    model = variance_model(y, groups, layout, rng, folds)
    return model.family(pair_contrasts(np.shape(y)[0]), level)


def variance_model(
    y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    layout: Layout | None = None,
    rng: np.random.Generator | None = None,
    folds: npt.ArrayLike | None = None,
) -> VarianceModel:
    """Return the variances of a sweep, fitted on all its configurations, for any family of contrasts of them.

    Arguments, assumptions and errors are those of `compare_all`; `moderation` and `posterior` hold the formulas.
    """
    squares = cross_squares(y, groups, folds)
    if layout is not None and [np.shape(names) for names in layout] != 2 * [squares.means.shape]:
        raise ValueError("layout must be a pair (model, strategy) of integer arrays, one entry a configuration")
    if len(squares.means) < FEWEST_FOR_POSTERIOR:
        return ModeratedVariances(squares)
    return PosteriorVariances(squares, layout, np.random.default_rng(0) if rng is None else rng)
