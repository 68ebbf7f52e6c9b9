"""Which configurations may be the best, and between which ranks each may stand."""

import numpy as np
import numpy.typing as npt

from sweep.statistics.comparisons import variance_model
from sweep.statistics.families import Bools, Layout, VarianceModel

Ints = npt.NDArray[np.int64]


def best_set(
    y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    layout: Layout | None = None,
    rng: np.random.Generator | None = None,
    level: float = 0.95,
    folds: npt.ArrayLike | None = None,
) -> Bools:
    """Return which configurations may be the best, (configurations,); the true best is among them at `level`.

    Configuration c leaves where max_j (m_j − m_c)/s_jc exceeds what the draws of `posterior` give it at `level`; with
    fewer than 8, where some one-sided p of `moderation`, corrected by Holm's method, is below 1 − level (Hsu 1981).
    `y` is (configurations, seeds, images), larger being better; the other arguments, and what is assumed, are those of
    `compare_all`.
    Raises ValueError for a single seed, fewer than two images or groups, or a layout of another length.
    """
    return best_of(variance_model(y, groups, layout, rng, folds), np.shape(y)[0], level)


def rank_intervals(
    y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    layout: Layout | None = None,
    rng: np.random.Generator | None = None,
    level: float = 0.95,
    folds: npt.ArrayLike | None = None,
) -> Ints:
    """Return the lowest and highest rank that each configuration may hold, (configurations, 2); 1 is the best.

    1 + how many are certainly better, K − how many certainly worse, as in `ranks_of`: a configuration's interval holds
    its true rank at `level`. Arguments, assumptions and errors are those of `best_set`.
    """
    return ranks_of(variance_model(y, groups, layout, rng, folds), np.shape(y)[0], level)


def best_of(model: VarianceModel, n_configurations: int, level: float = 0.95) -> Bools:
    """Return the confidence set of the best: those than which no other is certainly better (Hsu 1981)."""
    stays = [not model.certainly(each, 1 - level)[0].any() for each in range(n_configurations)]
    return np.array(stays, dtype=bool)


def ranks_of(model: VarianceModel, n_configurations: int, level: float = 0.95) -> Ints:
    """Return every configuration's rank interval: 1 + how many are certainly better, K − how many certainly worse.

    Either count errs with at most half of what `level` leaves, simultaneously over the others (Mohamad, Goeman and
    van Zwet 2022).
    """
    rows = []
    for each in range(n_configurations):
        better, worse = model.certainly(each, (1 - level) / 2)
        rows.append((1 + better.sum(), n_configurations - worse.sum()))
    return np.array(rows, dtype=np.int64).reshape(n_configurations, 2)
