"""What would decide a difference: more seeds, more test images, or neither alone.

The variance of a difference of means over R seeds and N test images is σ²_seed/R + σ²_image/N + σ²_residual/(R N).
Seeds buy the first and the last term, test images the last two.
"""

import math
from dataclasses import dataclass

from sweep.statistics.families import CrossSquares, Floats


@dataclass(frozen=True, kw_only=True)
class Components:
    """Variance components of one contrast, in the metric's unit squared; negative estimates are zero."""

    seed: float
    image: float
    residual: float
    training: float = 0.0
    """Of the mean, from the folds' training images: neither seeds nor test images make it less."""

    def variance(self, n_seeds: float, n_images: float) -> float:
        """Return the variance of the contrast over so many seeds and test images."""
        return self.seed / n_seeds + self.image / n_images + self.residual / (n_seeds * n_images) + self.training


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What it would take to tell a difference of the size that was found from zero."""

    difference: float
    """What was found."""
    detectable: float
    """The smallest difference that could have been told from zero with what is there."""
    limit: float
    """The smallest that any number of seeds could tell on these test images."""
    seeds: int | None
    """Seeds needed on these test images; None where no number of them suffices."""
    images: int | None
    """Test images needed with these seeds; None where no number of them suffices."""


def components(squares: CrossSquares, contrast: Floats, standard_error: float) -> Components:
    """Return the variance components of a contrast (configurations,) with that standard error.

    σ²_residual = MS_res, σ²_image = (MS_image − MS_res)/R, σ²_seed = R (SE² − σ²_image/N − MS_res/(R N)), the method of
    moments of the two-way random model; negative ones are zero.
    Images and residual are those of the cross mean squares; seeds have what is left of the standard error's square,
    so that the components make up the variance that the family was judged by, at the seeds and images it had. Under
    folds seeds have σ²_seed = (MS_seed − MS_res)/N, images what they do within a fold, training images the rest.
    """
    n_seeds, n_units = squares.n_seeds, squares.n_units
    residual = float(contrast @ squares.residual @ contrast)
    image = max(0.0, (float(contrast @ squares.image.within @ contrast) - residual) / n_seeds)
    rest = max(0.0, standard_error**2 - image / n_units - residual / (n_seeds * n_units))
    if squares.image.between is None:
        return Components(seed=n_seeds * rest, image=image, residual=residual)
    seed = min(n_seeds * rest, max(0.0, float(contrast @ squares.seed @ contrast) - residual) / n_units)
    # Where seeds explain all the rest, rounding must not leave less than nothing.
    return Components(seed=seed, image=image, residual=residual, training=max(0.0, rest - seed / n_seeds))


def what_decides(difference: float, parts: Components, n_seeds: int, n_images: int, critical: float) -> Decision:
    """Return what would put |difference| at `critical` standard errors from zero.

    Solves critical √(σ²_seed/R + σ²_image/N + σ²_residual/(R N) + σ²_training) = |difference| for R at this N, and
    for N at this R.
    `critical` is the family's: its largest T at the level, about 2 for one comparison and 3.5 for a hundred. It is
    taken as fixed, though with more seeds it falls a little: the answer errs on the long side.
    """
    wanted = (difference / critical) ** 2 - parts.training
    per_seed = parts.seed + parts.residual / n_images
    per_image = parts.image + parts.residual / n_seeds
    return Decision(
        difference=difference,
        detectable=critical * math.sqrt(parts.variance(n_seeds, n_images)),
        limit=critical * math.sqrt(parts.image / n_images + parts.training),
        seeds=_needed(per_seed, wanted - parts.image / n_images),
        images=_needed(per_image, wanted - parts.seed / n_seeds),
    )


def _needed(per_one: float, left: float) -> int | None:
    """Return how many must share `per_one` so that it falls to `left`."""
    return max(1, math.ceil(per_one / left)) if left > 0 else None
