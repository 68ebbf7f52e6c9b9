"""From arrays to verdicts: where an interval lies against a claim, and how often resampling bears it out.

    an interval     inside what is claimed   wholly outside   across its border
    of draws        nearly all bear it out   nearly none do   the rest
                    supported                contradicted     undecided

Pure functions of arrays; what the arrays mean is told in claims.py.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from sweep.statistics import count_units, cross_squares, total_interval
from sweep.statistics.jackknife import image_blocks

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
DRAWS = 2000
SURE = 0.975
"""Share of the draws from which a claim is supported; contradicted where its contrary has it."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A number with its interval; NaN limits where nothing varies, or too little is there to make one of."""

    estimate: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where a claim says that a number lies, limits included."""

    low: float = -math.inf
    high: float = math.inf
    refuted_below: float = -math.inf
    """An interval wholly below this contradicts, though it may lie inside."""

    def verdict(self, found: Bounds) -> str:
        """Return the verdict that one interval gives; undecided without limits."""
        if found.high < max(self.low, self.refuted_below) or found.low > self.high:
            return CONTRADICTED
        return SUPPORTED if found.low >= self.low and found.high <= self.high else UNDECIDED

    @property
    def border(self) -> str:
        """Its finite limits, in words."""
        return " and ".join(f"{limit:.3g}" for limit in (self.low, self.high) if math.isfinite(limit))

    @property
    def words(self) -> str:
        """Where a number of the region lies, in words."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            peak = f" and not surely below {self.refuted_below:g}" if math.isfinite(self.refuted_below) else ""
            return f"between {self.low:.3g} and {self.high:.3g}{peak}"
        return f"above {self.low:.3g}" if math.isfinite(self.low) else f"below {self.high:.3g}"

    def slack(self, estimate: float) -> float:
        """Return how far inside the region a number lies; negative outside."""
        return min(estimate - self.low, self.high - estimate)


def all_of(verdicts: Iterable[str]) -> str:
    """Return the verdict on a claim that holds only if all of its parts do."""
    found = set(verdicts)
    if CONTRADICTED in found:
        return CONTRADICTED
    return UNDECIDED if UNDECIDED in found else SUPPORTED


def mean_bounds(
    y: Floats, level: float, groups: npt.ArrayLike | None = None, folds: npt.ArrayLike | None = None
) -> Bounds:
    """Return the mean of y, (seeds, images), with its total interval; no limits for one image or group."""
    if count_units(y.shape[1], groups) < 2:
        return Bounds(estimate=float(y.mean()))
    found = total_interval(np.asarray(y, dtype=np.float64), level, groups, folds)
    if found.variance_of_mean == 0:
        return Bounds(estimate=found.mean)
    return Bounds(estimate=found.mean, low=found.low, high=found.high)


def difference_values(a: Floats, b: Floats) -> Floats:
    """Return (seeds, images of a and of b) values whose mean is mean(a) − mean(b), for a total interval.

    `a` (seeds, n) and `b` (seeds, m) are of the same seeds and of different images. An image's value is the grand
    difference plus its influence on it (the infinitesimal jackknife), so that either part weighs as much as it should.
    """
    total = a.shape[1] + b.shape[1]
    away = [total / part.shape[1] * sign * (part - part.mean()) for part, sign in ((a, 1.0), (b, -1.0))]
    return np.asarray(a.mean() - b.mean() + np.concatenate(away, axis=1))


def share_values(part: Floats, whole: Floats) -> Floats:
    """Return (seeds, images) values whose mean is mean(part)/mean(whole): the ratio plus each image's influence on it.

    Both are (seeds, images). Raises ValueError where the whole is nothing.
    """
    if whole.mean() == 0:
        raise ValueError("there is nothing to have a share of")
    share = part.mean() / whole.mean()
    return np.asarray(share + (part - share * whole) / whole.mean())


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """How far the means of a layout's rows and of its columns lie apart, noise taken off."""

    rows: float
    columns: float
    """Variances of the true means, floored at the noise that was taken off."""
    shares: tuple[float, float, float]
    """Of the variance between cells, what rows, columns and their interaction have."""


def spreads(y: Floats, groups: npt.ArrayLike | None = None) -> Spreads:
    """Return the spread between the rows' and between the columns' means of y, (rows, columns, seeds, images).

    The variance of I observed means has the expectation Σ(µ_i − µ)²/(I − 1) + tr(P Σ)/(I − 1): Σ is the cells'
    covariance over seeds and images, (MS_seed + MS_image − MS_res)/(R N), and P takes a table to its effects. The
    second term is noise and is taken off; a spread below it cannot be told from none and counts as that much, which
    makes neither side's lead greater. Raises ValueError as `cross_squares` does.
    """
    n_rows, n_columns = y.shape[:2]
    squares = cross_squares(y.reshape(n_rows * n_columns, *y.shape[2:]), groups)
    noise = (squares.seed + squares.image.within - squares.residual) / (squares.n_seeds * squares.n_units)
    centre_r, mean_r = np.eye(n_rows) - 1 / n_rows, np.full((n_rows, n_rows), 1 / n_rows)
    centre_c, mean_c = np.eye(n_columns) - 1 / n_columns, np.full((n_columns, n_columns), 1 / n_columns)
    sums, floors = [], []
    for projector in (np.kron(centre_r, mean_c), np.kron(mean_r, centre_c), np.kron(centre_r, centre_c)):
        floors.append(max(0.0, float(np.sum(projector * noise))))
        sums.append(max(0.0, float(squares.means @ projector @ squares.means) - floors[-1]))
    total = sum(sums)
    return Spreads(
        rows=max(sums[0], floors[0]) / (n_columns * (n_rows - 1)),
        columns=max(sums[1], floors[1]) / (n_rows * (n_columns - 1)),
        shares=(sums[0] / total, sums[1] / total, sums[2] / total) if total > 0 else (0.0, 0.0, 0.0),
    )


def log_ratio(y: Floats, level: float, groups: npt.ArrayLike | None = None) -> Bounds:
    """Return log(spread of the columns' means/spread of the rows' means) of y, (rows, columns, seeds, images).

    The interval is Student's t about the whole data's value. Its variance is the sum of two jackknifes' (Tukey 1958),
    one that deletes a seed and one that deletes a block of images, with Satterthwaite's degrees of freedom: chance of
    seeds and images, of which what both share is counted twice, on the safe side. No limits for fewer than three
    seeds, where a deletion leaves nothing to tell noise by, or where either spread is none.
    """
    n_seeds, blocks = y.shape[2], image_blocks(y.shape[3], groups)
    whole = _log_ratio(y, groups)
    if n_seeds < 3:
        return Bounds(estimate=whole)
    members = None if groups is None else np.asarray(groups)
    of_seeds = _jackknife([_log_ratio(np.delete(y, seed, axis=2), groups) for seed in range(n_seeds)])
    of_images = _jackknife(
        [
            _log_ratio(y[..., blocks != block], None if members is None else members[blocks != block])
            for block in range(blocks.max() + 1)
        ]
    )
    total = of_seeds + of_images
    if not total > 0:
        return Bounds(estimate=whole)
    df = total**2 / (of_seeds**2 / (n_seeds - 1) + of_images**2 / blocks.max())
    half = float(special.stdtrit(df, (1 + level) / 2)) * math.sqrt(total)
    return Bounds(estimate=whole, low=whole - half, high=whole + half)


def _jackknife(without: Sequence[float]) -> float:
    """Return the jackknife's variance of a number from what deletions leave of it."""
    return (len(without) - 1) * float(np.var(without))


def _log_ratio(y: Floats, groups: npt.ArrayLike | None) -> float:
    found = spreads(y, groups)
    return math.log(found.columns / found.rows) if min(found.rows, found.columns) > 0 else math.nan


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """How much each seed and each test image weighs in every draw of the two-way bootstrap."""

    seeds: Floats
    """(draws, seeds), each row adding up to 1."""
    images: Floats
    """(draws, images), times that an image was drawn."""

    def means(self, y: Floats, within: Bools | None = None) -> Floats:
        """Return the draws' means of y, (configurations, seeds, images), over the images `within`: (draws, …).

        NaN in a draw that has none of them.
        """
        weights = self.images if within is None else self.images * within
        with np.errstate(invalid="ignore"):
            return self.over_seeds(_times(weights, y) / weights.sum(axis=1)[:, None, None])

    def over_seeds(self, values: Floats) -> Floats:
        """Return means over the drawn seeds of values, (draws or 1, configurations, seeds): (draws, configurations)."""
        return np.asarray((values * self.seeds[:, None, :]).sum(axis=-1))

    def f1(self, predicted: Ints, labels: Ints, number: int) -> Floats:
        """Return a class's F1, a mean over seeds, in every draw: (draws, configurations); 0 where it has no image.

        `predicted` is (configurations, seeds, images), `labels` (images,).
        """
        called, true = predicted == number, labels == number
        hits = _times(self.images, called & true)
        both = _times(self.images, called) + (self.images @ true)[:, None, None]
        return self.over_seeds(np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0))


def resample(
    n_seeds: int, n_images: int, groups: npt.ArrayLike | None, rng: np.random.Generator, n_draws: int = DRAWS
) -> Resampled:
    """Return draws of seeds and, apart from them, of images (whole groups, where given), both with replacement."""
    number = np.arange(n_images) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(number.max()) + 1
    return Resampled(
        seeds=rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws) / n_seeds,
        images=rng.multinomial(n_units, np.full(n_units, 1 / n_units), n_draws)[:, number].astype(np.float64),
    )


def _times(weights: Floats, y: npt.NDArray[np.generic]) -> Floats:
    """Return Σ_i weights[draw, i] y[…, i], (draws, …)."""
    flat = y.reshape(-1, y.shape[-1]).astype(np.float64)
    return np.asarray((weights @ flat.T).reshape(len(weights), *y.shape[:-1]))


def chance(holds: Bools) -> float:
    """Return the share of the draws in which all parts hold; `holds` is (draws, parts)."""
    return float(holds.all(axis=1).mean())


def chance_verdict(holds: Bools, fails: Bools) -> str:
    """Return the verdict on a claim that needs all of its parts, from draws in which each holds, or its contrary does.

    Both are (draws, parts). Supported where all hold in `SURE` of the draws. Contradicted where one and the same part
    fails in so many that only `1 - SURE`, shared by the parts, do not: that some part fails, noise alone brings about
    where there are many. A tie is neither.
    """
    if chance(holds) >= SURE:
        return SUPPORTED
    return CONTRADICTED if _one_surely(fails) else UNDECIDED


def sure_of_one(parts: int) -> float:
    """Return the share of the draws that decides for one of so many parts: they share what `SURE` leaves open."""
    return 1 - (1 - SURE) / parts


def _one_surely(true: Bools) -> bool:
    """Return whether one column of (draws, parts) is true in nearly all draws, whichever of them was looked at."""
    draws, parts = true.shape
    return bool(true.sum(axis=0).max() >= draws * sure_of_one(parts) - 1e-9)


def swap_verdict(same: Bools, swapped: Bools) -> str:
    """Return the verdict on a change of order, from draws in which pairs keep theirs, or swap: (draws, pairs) each.

    Supported where one and the same pair swaps in all draws but `1 - SURE`, shared by the pairs: that some pair does,
    noise alone brings about. Contradicted where all keep their order in `SURE` of them.
    """
    if _one_surely(swapped):
        return SUPPORTED
    return CONTRADICTED if chance(same) >= SURE else UNDECIDED


def rank_correlation(a: Floats, b: Floats) -> Floats:
    """Return Spearman's correlation of the rows of a and b, (draws, items); NaN where a row is all ties."""
    ranks = [stats.rankdata(each, axis=1) for each in (a, b)]
    x, y = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def swaps(a: Floats, b: Floats) -> tuple[Bools, Bools]:
    """Return, for every pair of items, whether a and b, (draws, items), put it in the same order, and in opposite ones.

    Two arrays (draws, pairs); a tie is neither.
    """
    one, other = np.triu_indices(a.shape[1], 1)
    product = (a[:, one] - a[:, other]) * (b[:, one] - b[:, other])
    return product > 0, product < 0
