"""Few configurations: seed variances shrunk towards one another, families corrected by Holm's method."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from sweep.statistics.families import Bools, CrossSquares, Family, Floats
from sweep.statistics.intervals import satterthwaite

SMALLEST_SHARE_OF_MEDIAN = 1e-5


@dataclass(frozen=True, kw_only=True)
class Moderated:
    """Variances shrunk towards one another."""

    prior_df: float
    """Degrees of freedom that the prior is worth; infinite where the spread is no more than chance."""
    prior_variance: float
    variances: Floats


def moderate(variances: npt.ArrayLike, df: float) -> Moderated:
    """Shrink variances with `df` degrees of freedom each towards a common one (Smyth 2004, section 6.2).

    d₀ and s₀² solve the moments of log s²: its variance less ψ′(df/2) is ψ′(d₀/2), and its mean gives s₀². Where
    nothing is left for ψ′(d₀/2), d₀ is infinite and all take the pooled mean. Variances below 1e-5 of their median
    are raised to it first: a logarithm must not be ruled by rounding.
    """
    values = np.asarray(variances, dtype=np.float64)
    raised = np.maximum(values, SMALLEST_SHARE_OF_MEDIAN * np.median(values))
    pooled = Moderated(
        prior_df=math.inf, prior_variance=float(raised.mean()), variances=np.full_like(raised, raised.mean())
    )
    if values.size == 1:
        return Moderated(prior_df=0.0, prior_variance=float(values[0]), variances=values)
    if raised.min() <= 0:
        return pooled
    logs = np.log(raised)
    excess = logs.var(ddof=1) - special.polygamma(1, df / 2)
    if excess <= 0:
        return pooled
    half = _inverse_trigamma(float(excess))
    prior_variance = math.exp(
        logs.mean() - special.digamma(df / 2) + math.log(df / 2) + special.digamma(half) - math.log(half)
    )
    prior_df = 2 * half
    return Moderated(
        prior_df=prior_df,
        prior_variance=prior_variance,
        variances=(prior_df * prior_variance + df * raised) / (prior_df + df),
    )


def _inverse_trigamma(value: float) -> float:
    """Return x with ψ′(x) = value, to relative 1e-12; ψ′ lies between 1/x and 1/x + 1/x²."""
    # 1/x + 1/x² = value bounds x from above.
    above = (1 + math.sqrt(1 + 4 * value)) / (2 * value)
    return float(optimize.brentq(lambda x: special.polygamma(1, x) - value, 1 / value, above, rtol=1e-12, xtol=1e-300))


class ModeratedVariances:
    """Few configurations: their seed variances moderated, families corrected by Holm's (1979) method."""

    def __init__(self, squares: CrossSquares) -> None:
        self.squares = squares
        n_configurations, n_seeds = squares.seed_means.shape
        own = squares.seed_means
        if n_configurations > 1:
            # What all configurations of a seed have in common drops out of every difference.
            own = (own - own.mean(axis=0)) * math.sqrt(n_configurations / (n_configurations - 1))
        moderated = moderate(own.var(axis=1, ddof=1), n_seeds - 1)
        self._variances = moderated.variances
        self._df = moderated.prior_df + n_seeds - 1
        # Shrinking cannot know more than all configurations' seeds together do.
        self._most_df = float((n_seeds - 1) * max(1, n_configurations - 1))

    def family(self, contrasts: Floats, level: float = 0.95) -> Family:
        """Judge contrasts (contrasts, configurations), whose entries sum to zero, together."""
        difference = contrasts @ self.squares.means
        error, df = self._errors(contrasts)
        tail = (1 - level) / 2
        one, largest = special.stdtrit(df, 1 - tail), special.stdtrit(df, 1 - tail / max(1, len(contrasts)))
        p = 2 * stats.t.sf(_ratio(np.abs(difference), error), df)
        return Family(
            difference=difference,
            standard_error=error,
            low=difference - one * error,
            high=difference + one * error,
            simultaneous_low=difference - largest * error,
            simultaneous_high=difference + largest * error,
            p=p,
            p_adjusted=holm(p),
            smallest_detectable=largest * error,
        )

    def certainly(self, rival: int, error_rate: float) -> tuple[Bools, Bools]:
        """Return which configurations are certainly better than `rival`, and which certainly worse."""
        n_configurations = len(self.squares.means)
        others = [other for other in range(n_configurations) if other != rival]
        contrasts = np.eye(n_configurations)[others] - np.eye(n_configurations)[rival]
        error, df = self._errors(contrasts)
        t = _ratio(contrasts @ self.squares.means, error)
        better, worse = np.zeros(n_configurations, dtype=bool), np.zeros(n_configurations, dtype=bool)
        better[others] = holm(stats.t.sf(t, df)) < error_rate
        worse[others] = holm(stats.t.cdf(t, df)) < error_rate
        return better, worse

    def _errors(self, contrasts: Floats) -> tuple[Floats, Floats]:
        """Return every contrast's standard error and degrees of freedom; 1 where the error is zero."""
        squares = self.squares
        shares = contrasts**2 * self._variances
        total = shares.sum(axis=1)
        with np.errstate(invalid="ignore"):
            df_seed = np.fmin(self._df * total**2 / (shares**2).sum(axis=1), self._most_df)
        found = []
        for row, a in enumerate(contrasts):
            # Under folds the contrast's own mean square has few degrees of freedom, and all configurations' one may
            # not be its own: whichever gives the wider interval. Without folds the two are one.
            ways = [
                satterthwaite(
                    squares.n_units * total[row],
                    ms_image,
                    float(a @ squares.residual @ a),
                    n_seeds=squares.n_seeds,
                    n_units=squares.n_units,
                    df_image=df_image,
                    df_seed=df_seed[row],
                )
                for ms_image, df_image in (squares.image.of(a), squares.image.pooled(a))
            ]
            found.append(max(ways, key=_width))
        variance = np.array([each for each, _ in found]) / (squares.n_seeds * squares.n_units)
        return np.sqrt(variance), np.array([1.0 if df is None else df for _, df in found])


def _width(way: tuple[float, float | None]) -> float:
    """Return what the half-width of a 95 % interval is proportional to, from a variance and its degrees of freedom."""
    variance, df = way
    return 0.0 if df is None else float(special.stdtrit(df, 0.975)) * math.sqrt(variance)


def holm(p: npt.ArrayLike) -> Floats:
    """Return p-values adjusted by Holm's (1979) method: the family errs anywhere with at most the rejecting level."""
    values = np.asarray(p, dtype=np.float64)
    # Not by statsmodels' multipletests: it collects the whole process's garbage at every call, 50 ms and more.
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)).clip(max=1.0)
    return adjusted


def _ratio(difference: Floats, error: Floats) -> Floats:
    """Return difference / error, and zero where there is no variance at all: too little was seen to judge by."""
    return np.divide(difference, error, out=np.zeros(np.shape(difference)), where=error > 0)
