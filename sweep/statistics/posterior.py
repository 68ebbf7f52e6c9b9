"""Many configurations: families judged by draws from the posterior of their seed variances.

Moderated variances take the fitted prior as known. With eight configurations or more it can be left unknown: the
seed variances' prior, and whether they are alike in all configurations, within a model or within a strategy, are
integrated over, and the largest T of a family has the distribution that the draws give it (step-down max-t after
Westfall and Young 1993). By simulation it keeps the family-wise error where moderated variances lose it, at the same
power.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.statistics.families import Bools, CrossSquares, Family, Floats, Layout

Ints = npt.NDArray[np.intp]

DRAWS = 10_000
CONTRASTS_AT_ONCE = 256

VARIANCE_OF_MEDIAN = {
    8: 0.1682,
    9: 0.1659,
    10: 0.1380,
    11: 0.1369,
    12: 0.1173,
    13: 0.1164,
    14: 0.1018,
    15: 0.1013,
    16: 0.0904,
}
"""Variance of the median of K independent standard normals; above 16, π/(2K + 2)."""

VARIANCE_STEP = 0.245
CENTRE_STEP = 0.318
LOWEST = 0.03
"""Of both grids, in units of the mean residual variance of a seed mean."""
HIGHEST_VARIANCE, HIGHEST_CENTRE = 3000.0, 300.0
WIDTHS = ((0.15, 4.0), (0.3, 2.0), (0.6, 1.0), (1.0, 1.0), (1.4, 1.0))
"""(τ, weight): how far the logarithms of the variances of one structure lie apart."""
STRAY = 0.003
"""ε: the chance that a configuration's variance follows no structure."""
BETWEEN_GROUPS = 1.5
"""How far the centres of models, or of strategies, lie apart."""
STRUCTURES = (0.4, 0.3, 0.3)
"""Prior chance that variances are alike in all configurations, within a model, within a strategy."""


class PosteriorVariances:
    """Draws of what the means of equally good configurations would be, and of the variances behind them."""

    def __init__(self, squares: CrossSquares, layout: Layout | None, rng: np.random.Generator) -> None:
        self.squares = squares
        n_seeds, n_units = squares.n_seeds, squares.n_units
        image = (squares.image.within - squares.residual) / (n_seeds * n_units)
        values, vectors = np.linalg.eigh(image)
        # The symmetric root: eigenvectors have no sign of their own, and draws must not depend on who computed them.
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        self._image = root @ root
        self._seed = seed_variances(squares, layout, rng, DRAWS) / n_seeds
        if squares.fold_means is not None:
            # What a fold's training images do to a configuration is there once a fold, as a seed's chance once a seed.
            self._seed += fold_variances(squares, squares.fold_means, layout, rng, DRAWS) / squares.fold_means.shape[1]
        self._stretch = np.sqrt(squares.image.df_within / rng.chisquare(squares.image.df_within, DRAWS))
        self._null = rng.standard_normal(self._seed.shape) * np.sqrt(self._seed)
        self._null += self._stretch[:, None] * (rng.standard_normal(self._seed.shape) @ root)
        self._rivals: dict[int, tuple[Floats, Floats, Floats]] = {}

    def family(self, contrasts: Floats, level: float = 0.95) -> Family:
        """Judge contrasts (contrasts, configurations) together, by step-down max-t on the draws."""
        difference = contrasts @ self.squares.means
        error = self._errors(contrasts)
        t = _ratio(np.abs(difference), error)
        own, p, p_adjusted = np.empty_like(t), np.empty_like(t), np.empty_like(t)
        largest = np.zeros(DRAWS)
        # From the smallest T on, so that the running maximum is over a contrast and all that are less striking.
        order = np.argsort(t, kind="stable")
        for rows in _chunks(order):
            drawn = np.abs(self._drawn(contrasts[rows], error[rows]))
            own[rows] = np.quantile(drawn, level, axis=0)
            p[rows] = _share(drawn >= t[rows])
            running = np.maximum.accumulate(np.column_stack([largest, drawn]), axis=1)[:, 1:]
            p_adjusted[rows] = _share(running >= t[rows])
            largest = running[:, -1]
        p_adjusted[order[::-1]] = np.maximum.accumulate(p_adjusted[order[::-1]])
        together = np.quantile(largest, level)
        return Family(
            difference=difference,
            standard_error=error,
            low=difference - own * error,
            high=difference + own * error,
            simultaneous_low=difference - together * error,
            simultaneous_high=difference + together * error,
            p=p,
            p_adjusted=p_adjusted,
            smallest_detectable=together * error,
        )

    def certainly(self, rival: int, error_rate: float) -> tuple[Bools, Bools]:
        """Return which configurations are certainly better than `rival`, and which certainly worse."""
        t, highest, lowest = self._against(rival)
        return t > np.quantile(highest, 1 - error_rate), -t > np.quantile(-lowest, 1 - error_rate)

    def _against(self, rival: int) -> tuple[Floats, Floats, Floats]:
        """Return T of every configuration against one, and the draws' highest and lowest."""
        if rival not in self._rivals:
            contrasts = np.eye(len(self.squares.means)) - np.eye(len(self.squares.means))[rival]
            error = self._errors(contrasts)
            drawn = self._drawn(contrasts, error)
            t = _ratio(contrasts @ self.squares.means, error)
            self._rivals[rival] = (t, drawn.max(axis=1), drawn.min(axis=1))
        return self._rivals[rival]

    def _errors(self, contrasts: Floats) -> Floats:
        """Return the geometric mean of every contrast's drawn standard errors, (contrasts,)."""
        image = np.einsum("ik,kl,il->i", contrasts, self._image, contrasts).clip(min=0.0)
        errors = np.empty(len(contrasts))
        for rows in _chunks(np.arange(len(contrasts))):
            variance = self._seed @ (contrasts[rows] ** 2).T + self._stretch[:, None] ** 2 * image[rows]
            with np.errstate(divide="ignore"):
                errors[rows] = np.exp(0.5 * np.log(variance).mean(axis=0))
        return errors

    def _drawn(self, contrasts: Floats, error: Floats) -> Floats:
        """Return T of every draw, (draws, contrasts), signed."""
        return _ratio(self._null @ contrasts.T, error)


def seed_variances(squares: CrossSquares, layout: Layout | None, rng: np.random.Generator, n_draws: int) -> Floats:
    """Return posterior draws (draws, configurations) of the variance of one seed's mean, image noise included.

    That noise, MS_res/N, is known; what a configuration adds to it is drawn by `excess_variances`.
    """
    observed = _observed(squares.seed_means)
    images = float(np.diagonal(squares.image.within).mean()) / squares.n_units
    noise = np.diagonal(squares.residual) / squares.n_units
    # Seeds that agree to the last image tell no noise; the posterior needs some.
    noise = np.maximum(noise, 1e-6 * max(images, float(observed.mean())))
    return noise + excess_variances(observed, noise, squares.n_seeds, layout, rng, n_draws)


def fold_variances(
    squares: CrossSquares, fold_means: Floats, layout: Layout | None, rng: np.random.Generator, n_draws: int
) -> Floats:
    """Return posterior draws (draws, configurations) of the variance that training images add to one fold's mean.

    `fold_means` is (configurations, folds). The noise that is not theirs is that of the fold's test images, as far
    as configurations do not share it: the diagonal of the image mean squares within folds after the configurations'
    mean is taken out.
    """
    n_configurations, n_folds = fold_means.shape
    own = np.eye(n_configurations) - 1 / n_configurations
    images = np.diagonal(own @ squares.image.within @ own) * n_configurations / (n_configurations - 1)
    noise = images * n_folds / (squares.n_seeds * squares.n_units)
    observed = _observed(fold_means)
    noise = np.maximum(noise, 1e-6 * max(float(noise.mean()), float(observed.mean())))
    return excess_variances(observed, noise, n_folds, layout, rng, n_draws)


def _observed(means: Floats) -> Floats:
    """Return u_k, (configurations,): the variance of means (configurations, repeats) less the repeats' common effect.

    That is the median over configurations, so that one collapsed run stays where it happened.
    """
    n_configurations = len(means)
    own = means - np.median(means, axis=0)
    median_variance = VARIANCE_OF_MEDIAN.get(n_configurations, math.pi / (2 * n_configurations + 2))
    return np.asarray(own.var(axis=1, ddof=1) / (1 + median_variance - 2 / n_configurations))


def excess_variances(
    observed: Floats, noise: Floats, n_repeats: int, layout: Layout | None, rng: np.random.Generator, n_draws: int
) -> Floats:
    """Return posterior draws (draws, configurations) of what is in observed variances besides known noise.

    `observed` and `noise` are (configurations,). u_k is v_k χ²/(R−1) with v_k = e_k + w_k: e_k is the noise and w_k
    the configuration's own. The logarithm of w_k/mean(e) has the prior (1−ε) N(µ, τ²) + ε uniform, with µ common to
    all configurations, or to those of a model, or of a strategy; µ, τ and which of the three are unknown too. All of
    it is summed over grids.
    """
    unit = float(noise.mean())
    if unit == 0:
        return np.zeros((n_draws, len(observed)))
    observed = np.maximum(observed, 1e-3 * noise)
    structures = _structures(_Grid.over(observed / unit, noise / unit, n_repeats - 1), layout)
    chances = special.softmax([math.log(prior) + structure.log_evidence for prior, structure in structures])
    counts = rng.multinomial(n_draws, chances)
    drawn = np.concatenate([each.draw(rng, count) for (_, each), count in zip(structures, counts, strict=True)])
    return np.asarray(unit * np.exp(drawn), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Likelihood and prior of log(w/unit) on a grid, and of its centre µ on another."""

    steps: Floats
    """(steps,) values of log(w/unit)."""
    joint: Floats
    """(configurations, widths, centres, steps): prior chance of a step x likelihood of what was observed."""

    @classmethod
    def over(cls, observed: Floats, residual: Floats, df: int) -> "_Grid":
        """Lay the grids over variances (configurations,) that were observed with `df` degrees of freedom each."""
        highest = float(observed.max())
        steps = _even_steps(VARIANCE_STEP, max(HIGHEST_VARIANCE, 10 * highest))
        centres = _even_steps(CENTRE_STEP, max(HIGHEST_CENTRE, highest))
        variance = residual[:, None] + np.exp(steps)
        log_likelihood = -0.5 * df * (np.log(variance) + observed[:, None] / variance)
        likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
        prior = np.stack([_near(centres, steps, width) for width, _ in WIDTHS])
        return cls(steps=steps, joint=((1 - STRAY) * prior + STRAY / len(steps)) * likelihood[:, None, None, :])

    @property
    def evidence(self) -> Floats:
        """(configurations, widths, centres) log chance of what was observed."""
        return np.asarray(np.log(self.joint.sum(axis=-1)))


class _Structure:
    """Configurations in groups, each group's variances about a centre of its own, the centres about a common one."""

    def __init__(self, grid: _Grid, groups: Ints, between: Floats) -> None:
        self._grid = grid
        self._groups = groups
        with np.errstate(divide="ignore"):
            self._log_between = np.log(between)
        evidence = grid.evidence
        self._evidence = np.stack([evidence[groups == group].sum(axis=0) for group in range(groups.max() + 1)])
        of_group = special.logsumexp(self._log_between + self._evidence[:, :, None, :], axis=-1)
        widths = np.log([weight for _, weight in WIDTHS])
        self._log_chance = widths[:, None] + of_group.sum(axis=0)
        """(widths, common centres)"""
        self.log_evidence = float(special.logsumexp(self._log_chance))

    def draw(self, rng: np.random.Generator, n_draws: int) -> Floats:
        """Return draws (draws, configurations) of log(w/unit), uniform within a step."""
        cells = rng.choice(self._log_chance.size, n_draws, p=special.softmax(self._log_chance.ravel()))
        width, common = np.unravel_index(cells, self._log_chance.shape)
        drawn = np.empty((n_draws, len(self._groups)))
        for group, evidence in enumerate(self._evidence):
            centre = _pick(special.softmax(self._log_between[common] + evidence[width], axis=1), rng)
            for configuration in np.flatnonzero(self._groups == group):
                step = _pick(self._grid.joint[configuration, width, centre], rng)
                drawn[:, configuration] = self._grid.steps[step]
        return drawn + VARIANCE_STEP * (rng.random(drawn.shape) - 0.5)


def _structures(grid: _Grid, layout: Layout | None) -> list[tuple[float, _Structure]]:
    """Return the structures with their prior chances: one centre for all, one a model, one a strategy."""
    n_configurations, n_centres = grid.joint.shape[0], grid.joint.shape[2]
    common = _Structure(grid, np.zeros(n_configurations, dtype=np.intp), np.eye(n_centres))
    if layout is None:
        return [(1.0, common)]
    centres = CENTRE_STEP * np.arange(n_centres, dtype=np.float64)
    between = _near(centres, centres, BETWEEN_GROUPS)
    numbers = [np.unique(np.asarray(names), return_inverse=True)[1] for names in layout]
    return list(zip(STRUCTURES, [common, *(_Structure(grid, groups, between) for groups in numbers)], strict=True))


def _even_steps(step: float, highest: float) -> Floats:
    """Return a grid from log LOWEST to log `highest` at least."""
    n_steps = math.ceil(math.log(highest / LOWEST) / step) + 1
    return math.log(LOWEST) + step * np.arange(n_steps, dtype=np.float64)


def _near(centres: Floats, steps: Floats, width: float) -> Floats:
    """Return (centres, steps): the share of a normal distribution about each centre that falls to each step."""
    half = (steps[1] - steps[0]) / 2
    away = steps - centres[:, None]
    share = special.ndtr((away + half) / width) - special.ndtr((away - half) / width)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _pick(weights: Floats, rng: np.random.Generator) -> Ints:
    """Return a column for every row of (rows, columns), with a chance proportional to its weight."""
    cumulative = weights.cumsum(axis=1)
    return np.asarray((cumulative < rng.random(len(weights))[:, None] * cumulative[:, -1:]).sum(axis=1))


def _chunks(order: Ints) -> Iterator[Ints]:
    """Cut indices into pieces whose draws fit the memory."""
    for start in range(0, len(order), CONTRASTS_AT_ONCE):
        yield order[start : start + CONTRASTS_AT_ONCE]


def _share(at_least: Bools) -> Floats:
    """Return the p-value of draws (draws, contrasts) that are as striking: never zero (Phipson and Smyth 2010)."""
    return np.asarray((1 + at_least.sum(axis=0)) / (1 + len(at_least)), dtype=np.float64)


def _ratio(difference: Floats, error: Floats) -> Floats:
    """Return difference / error, and zero where there is no variance at all."""
    return np.divide(difference, error, out=np.zeros(np.broadcast(difference, error).shape), where=error > 0)
