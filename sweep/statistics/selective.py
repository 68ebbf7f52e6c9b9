"""Risk and coverage: how wrong a model is on the images that it is surest of."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sweep.statistics.intervals import TotalInterval, total_interval
from sweep.statistics.jackknife import image_blocks

Floats = npt.NDArray[np.float64]


def risk_by_coverage(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> Floats:
    """Return the share of wrong answers among the k surest images, k = 1 to N, along the last axis.

    `confidence` and `correct` are (..., images); ties stay in their order. Raises
    ValueError for a confidence that is no finite number.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    if not np.isfinite(sure).all():
        raise ValueError("confidence holds a value that is no finite number")
    order = np.argsort(-sure, axis=-1, kind="stable")
    wrong = 1.0 - np.take_along_axis(np.asarray(correct, dtype=np.float64), order, axis=-1)
    return np.asarray(wrong.cumsum(axis=-1) / np.arange(1, wrong.shape[-1] + 1))


def aurc(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> Floats:
    """Return the area under the risk-coverage curve, the mean risk over the N coverages (Geifman and El-Yaniv 2017)."""
    return np.asarray(risk_by_coverage(confidence, correct).mean(axis=-1))


def _without_each(sure: Floats, right: Floats, blocks: npt.NDArray[np.int64], n_blocks: int) -> Floats:
    """Return one seed's AURC without each block of images, (blocks,): sorted once, as leaving out keeps the order."""
    order = np.argsort(-sure, kind="stable")
    wrong, block_of = 1.0 - right[order], blocks[order]
    areas = np.empty(n_blocks)
    for block in range(n_blocks):
        kept = wrong[block_of != block]
        areas[block] = (kept.cumsum() / np.arange(1, kept.size + 1)).mean()
    return areas


def aurc_interval(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, level: float = 0.95, groups: npt.ArrayLike | None = None
) -> TotalInterval:
    """Return the mean AURC over seeds with its total interval; `confidence` and `correct` are (seeds, images).

    Pseudo-values of the delete-one-block jackknife (`image_blocks`) take the place of images, a row a seed. Assumes
    that images, or groups, are drawn independently; blocks follow their order. Raises ValueError for fewer than two
    images or groups.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    blocks = image_blocks(sure.shape[1], groups)
    n_blocks = int(blocks.max()) + 1
    whole = aurc(sure, right)
    without = np.stack([_without_each(*row, blocks, n_blocks) for row in zip(sure, right, strict=True)])
    pseudo = n_blocks * whole[:, None] - (n_blocks - 1) * without
    total = total_interval(pseudo - pseudo.mean(axis=1, keepdims=True) + whole[:, None], level)
    # A risk lies between 0 and 1; cutting to that loses no coverage.
    return replace(total, low=max(0.0, total.low), high=min(1.0, total.high))
