import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg, stats

from sweep.statistics import cross_squares, pair_contrasts
from sweep.statistics.posterior import (
    CONTRASTS_AT_ONCE,
    DRAWS,
    VARIANCE_OF_MEDIAN,
    PosteriorVariances,
    seed_variances,
)
from tests.simulation.world import EIGHTFOLD, LARGE, SMALL, equal

Floats = npt.NDArray[np.float64]

# The prior as it was settled before any data: written out, so that a change of the code's is noticed.
WIDTHS = ((0.15, 4), (0.3, 2), (0.6, 1), (1.0, 1), (1.4, 1))
STRUCTURES = (0.4, 0.3, 0.3)
STRAY, BETWEEN_GROUPS = 0.003, 1.5

BY_MODEL = (np.repeat(np.arange(2), 4), np.tile(np.arange(4), 2))


def answers(seed: int, n_configurations: int = 8, n_seeds: int = 4, n_images: int = 60) -> Floats:
    """Configurations in fours, the first steady and the last not, means a little apart."""
    rng = np.random.default_rng(seed)
    steady = np.repeat([0.02, 0.5], n_configurations - n_configurations // 2)[:n_configurations, None, None]
    seeds = steady * rng.normal(size=(n_configurations, n_seeds, 1))
    images = rng.normal(size=(n_configurations, 1, n_images)) + 2 * rng.normal(size=n_images)
    apart = np.linspace(0, 1, n_configurations)[:, None, None]
    return apart + seeds + images + rng.normal(size=(n_configurations, n_seeds, n_images))


def observed_and_residual(y: Floats) -> tuple[Floats, Floats]:
    """Per configuration, the variance of seed means less the median configuration's, and the residual's share."""
    n_configurations, n_seeds, n_images = y.shape
    own = y.mean(axis=2) - y.mean(axis=(1, 2))[:, None]
    own = own - np.median(own, axis=0)
    observed = own.var(axis=1, ddof=1) / (1 + VARIANCE_OF_MEDIAN[n_configurations] - 2 / n_configurations)
    rest = y - y.mean(axis=1)[:, None] - y.mean(axis=2)[:, :, None] + y.mean(axis=(1, 2))[:, None, None]
    return observed, (rest**2).sum(axis=(1, 2)) / ((n_seeds - 1) * (n_images - 1)) / n_images


def likelihood(observed: float, variance: Floats, df: int) -> Floats:
    """Of a variance with df degrees of freedom, by scipy's density of χ²."""
    return stats.chi2.pdf(df * observed / variance, df) * df / variance


def shares(centre: float, points: Floats, width: float) -> Floats:
    half = (points[1] - points[0]) / 2
    share = np.array([np.subtract(*stats.norm.cdf([x + half, x - half], centre, width)) for x in points])
    return share / share.sum()


def enumerated(y: Floats, layout: tuple[Floats, Floats] | None) -> Floats:
    """Posterior mean of every w/mean(e), by adding up every structure, width and centre in turn."""
    observed, residual = observed_and_residual(y)
    n_configurations, unit = len(observed), residual.mean()
    steps = math.log(0.03) + 0.245 * np.arange(48)
    centres = math.log(0.03) + 0.318 * np.arange(30)
    # Within a step w is uniform in its logarithm; the likelihood is taken at the middle.
    value = np.exp(steps) * 2 * math.sinh(0.245 / 2) / 0.245
    structures = [(1.0, np.zeros(n_configurations, dtype=int), None)]
    if layout is not None:
        each = [
            (np.zeros(n_configurations, dtype=int), None),
            *((np.asarray(names), BETWEEN_GROUPS) for names in layout),
        ]
        structures = [(chance, *rest) for chance, rest in zip(STRUCTURES, each, strict=True)]
    chances, means = [], []
    for width, weight in WIDTHS:
        prior = np.array([(1 - STRAY) * shares(centre, steps, width) + STRAY / 48 for centre in centres])
        like = np.array(
            [
                likelihood(u / unit, e / unit + np.exp(steps), y.shape[1] - 1)
                for u, e in zip(observed, residual, strict=True)
            ]
        )
        evidence = np.einsum("cs,ks->kc", prior, like)
        mean = np.einsum("cs,ks,s->kc", prior, like, value) / evidence
        for chance, groups, between in structures:
            for common in range(30):
                near = np.eye(30)[common] if between is None else shares(centres[common], centres, between)
                total, found = chance * weight, np.empty(n_configurations)
                for group in np.unique(groups):
                    of_centre = near * np.prod(evidence[groups == group], axis=0)
                    total *= of_centre.sum()
                    found[groups == group] = mean[groups == group] @ of_centre / of_centre.sum()
                chances.append(total)
                means.append(found)
    return np.average(means, axis=0, weights=chances)


def sampled(y: Floats, rng: np.random.Generator, n_draws: int) -> Floats:
    """Posterior mean of every log v, without a layout, by weighting draws from the prior without any grid."""
    observed, residual = observed_and_residual(y)
    unit, df = residual.mean(), y.shape[1] - 1
    low, high = math.log(0.03) - 0.245 / 2, math.log(0.03) + 47.5 * 0.245
    weights = np.array([weight for _, weight in WIDTHS])
    width = rng.choice([width for width, _ in WIDTHS], n_draws, p=weights / weights.sum())[:, None]
    centre = rng.uniform(math.log(0.03) - 0.318 / 2, math.log(0.03) + 29.5 * 0.318, (n_draws, 1))
    log_w = stats.truncnorm.rvs((low - centre) / width, (high - centre) / width, size=(n_draws, 60), random_state=rng)
    log_w = np.where(rng.random(log_w.shape) < STRAY, rng.uniform(low, high, log_w.shape), centre + width * log_w)
    chance, means = np.ones(n_draws), []
    for u, e in zip(observed, residual, strict=True):
        v = e + unit * np.exp(log_w)
        like = likelihood(u, v, df)
        chance *= like.mean(axis=1)
        means.append(np.average(np.log(v), axis=1, weights=like))
    return np.average(means, axis=1, weights=chance)


def drawn_means(y: Floats, layout: tuple[Floats, Floats] | None, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """The posterior's draws again from the same stream: null means, v*, q*² and C."""
    squares, rng = cross_squares(y), np.random.default_rng(seed)
    _, n_seeds, n_images = y.shape
    v = seed_variances(squares, layout, rng, DRAWS)
    q = np.sqrt((n_images - 1) / rng.chisquare(n_images - 1, DRAWS))
    values, vectors = linalg.eigh((squares.image.within - squares.residual) / (n_seeds * n_images))
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
    own = np.sqrt(v / n_seeds) * rng.standard_normal(v.shape)
    return own + q[:, None] * (rng.standard_normal(v.shape) @ root.T), v, q**2, root @ root.T


def t_values(y: Floats, contrasts: Floats, seed: int) -> tuple[Floats, Floats, Floats]:
    """Difference, s and T* (draws, contrasts) of every contrast, one after the other."""
    null, v, q2, image = drawn_means(y, None, seed)
    means, s, t = y.mean(axis=(1, 2)), [], []
    for a in contrasts:
        s.append(math.exp(0.5 * np.mean(np.log(v @ a**2 / y.shape[1] + q2 * (a @ image @ a)))))
        t.append(null @ a / s[-1])
    return contrasts @ means, np.array(s), np.transpose(t)


@pytest.mark.parametrize("n_configurations", sorted(VARIANCE_OF_MEDIAN))
def test_variance_of_the_median_is_that_of_drawn_normals(n_configurations):
    medians = np.median(np.random.default_rng(1).normal(size=(200_000, n_configurations)), axis=1)
    assert medians.var() == pytest.approx(VARIANCE_OF_MEDIAN[n_configurations], rel=0.012)


@pytest.mark.parametrize("n_configurations", [17, 40])
def test_variance_of_the_median_of_many_is_about_that_of_drawn_normals(n_configurations):
    medians = np.median(np.random.default_rng(2).normal(size=(40_000, n_configurations)), axis=1)
    assert medians.var() == pytest.approx(math.pi / (2 * n_configurations + 2), rel=0.04)


@pytest.mark.parametrize(("layout", "n_seeds"), [(None, 4), (BY_MODEL, 4), (BY_MODEL, 2)])
def test_posterior_is_that_of_adding_up_every_case(layout, n_seeds):
    y = answers(3, n_seeds=n_seeds)
    _, residual = observed_and_residual(y)
    draws = seed_variances(cross_squares(y), layout, np.random.default_rng(0), 40_000)
    found = (draws - residual) / residual.mean()
    error = found.std(axis=0) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - enumerated(y, layout)) < 4 * error).all()


def test_posterior_is_that_of_weighted_draws_from_the_prior():
    y = answers(4)
    draws = seed_variances(cross_squares(y), None, np.random.default_rng(0), 20_000)
    assert np.log(draws).mean(axis=0) == pytest.approx(sampled(y, np.random.default_rng(1), 30_000), abs=0.05)


def test_posterior_finds_steady_and_unsteady_models():
    y = answers(5, n_seeds=10)
    draws = np.log(seed_variances(cross_squares(y), BY_MODEL, np.random.default_rng(0), 2000)).mean(axis=0)
    assert draws[:4].max() < draws[4:].min()


def test_a_layout_draws_the_variances_of_models_further_apart():
    squares = cross_squares(answers(6, n_seeds=3))
    alone, by_model = (
        np.log(seed_variances(squares, layout, np.random.default_rng(0), 4000)).mean(axis=0)
        for layout in (None, BY_MODEL)
    )
    assert by_model[4:].mean() - by_model[:4].mean() > alone[4:].mean() - alone[:4].mean() + 0.2


@pytest.mark.parametrize("n_images", [1, 7])
def test_without_spread_no_variance_is_drawn(n_images):
    squares = cross_squares(np.full((8, 3, n_images + 1), 0.1))
    assert not seed_variances(squares, None, np.random.default_rng(0), 5).any()


def test_a_variance_lies_anywhere_within_its_step():
    y = answers(7)
    _, residual = observed_and_residual(y)
    draws = seed_variances(cross_squares(y), None, np.random.default_rng(0), 2000)
    steps = np.log((draws - residual) / residual.mean() / 0.03) / 0.245
    assert stats.kstest((steps + 0.5).ravel() % 1, "uniform").pvalue > 0.001


def test_seeds_that_agree_have_the_smallest_variance_but_some():
    squares = cross_squares(np.repeat(answers(7, n_seeds=1), 10, axis=1))
    images = np.diagonal(squares.image.within).mean() / squares.n_units
    draws = seed_variances(squares, None, np.random.default_rng(0), 2000)
    assert draws.min() >= 1e-6 * images
    assert draws.mean() < 3e-6 * images


def test_variances_far_above_the_residuals_are_within_the_grid():
    rng = np.random.default_rng(7)
    y = rng.normal(size=(8, 20, 1)) + 1e-3 * rng.normal(size=(8, 20, 50))
    observed, residual = observed_and_residual(y)
    assert observed.min() > 1e5 * residual.max()
    draws = seed_variances(cross_squares(y), None, np.random.default_rng(0), 2000)
    assert np.log(draws).mean() == pytest.approx(np.log(observed).mean(), abs=0.2)


def test_variances_follow_the_scale():
    y = answers(7)
    small, large = (
        seed_variances(cross_squares(scale * y), BY_MODEL, np.random.default_rng(0), 100) for scale in (1, 1024)
    )
    assert large == pytest.approx(1024**2 * small)


@pytest.mark.parametrize("seed_sd", [SMALL, LARGE, EIGHTFOLD])
def test_a_collapsed_run_leaves_the_other_configurations_alone(seed_sd):
    y = equal(16, seed_sd).draw(np.random.default_rng(8), 5).astype(float)
    fallen = y.copy()
    fallen[0, 0] = 0
    others = pair_contrasts(16)[15:]
    before, after = (
        PosteriorVariances(cross_squares(each), None, np.random.default_rng(0)).family(others).standard_error
        for each in (y, fallen)
    )
    assert after == pytest.approx(before, rel=0.12)


def test_a_collapsed_run_widens_its_own_configurations_interval():
    y = equal(16, LARGE).draw(np.random.default_rng(9), 5).astype(float)
    y[0, 0] = 0
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(0)).family(pair_contrasts(16))
    assert family.standard_error[:15].min() > 2 * family.standard_error[15:].max()


def test_seeds_that_agree_leave_the_paired_t_test_over_images():
    y = np.repeat(answers(10, n_seeds=1, n_images=25), 3, axis=1)
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(0)).family(pair_contrasts(8))
    tests = [stats.ttest_rel(y[a, 0], y[b, 0]) for a, b in itertools.combinations(range(8), 2)]
    p = np.array([test.pvalue for test in tests])
    assert (np.abs(family.p - p) < 4 * np.sqrt(p * (1 - p) / DRAWS) + 1 / DRAWS).all()
    limits = np.transpose([test.confidence_interval() for test in tests])
    width = limits[1] - limits[0]
    assert (np.abs([family.low, family.high] - limits) < 0.03 * width).all()


def test_single_p_and_interval_are_those_of_the_pairs_own_draws():
    y, contrasts = answers(11), pair_contrasts(8)
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).family(contrasts, 0.9)
    difference, s, t = t_values(y, contrasts, 5)
    assert family.standard_error == pytest.approx(s)
    for pair in range(28):
        at_least = sum(abs(drawn) >= abs(difference[pair]) / s[pair] for drawn in t[:, pair])
        assert family.p[pair] == (1 + at_least) / (DRAWS + 1)
        half = s[pair] * np.quantile(np.abs(t[:, pair]), 0.9)
        assert (family.low[pair], family.high[pair]) == pytest.approx(
            (difference[pair] - half, difference[pair] + half)
        )


@pytest.mark.parametrize("n_pairs", [1, 5, 28])
def test_adjusted_p_steps_down_from_the_largest_t(n_pairs):
    y, contrasts = answers(12), pair_contrasts(8)[:n_pairs]
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).family(contrasts)
    difference, s, t = t_values(y, contrasts, 5)
    observed, left, expected, last = np.abs(difference) / s, list(range(n_pairs)), np.empty(n_pairs), 0.0
    while left:
        largest = max(left, key=lambda pair: observed[pair])
        at_least = np.sum(np.abs(t[:, left]).max(axis=1) >= observed[largest])
        last = expected[largest] = max(last, (1 + at_least) / (DRAWS + 1))
        left.remove(largest)
    assert family.p_adjusted == pytest.approx(expected, abs=0, rel=1e-12)


def test_simultaneous_intervals_hold_the_largest_t_of_all():
    y, contrasts = answers(13), pair_contrasts(8)
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).family(contrasts, 0.9)
    difference, s, t = t_values(y, contrasts, 5)
    half = s * np.quantile(np.abs(t).max(axis=1), 0.9)
    assert family.simultaneous_low == pytest.approx(difference - half)
    assert family.simultaneous_high == pytest.approx(difference + half)
    assert family.smallest_detectable == pytest.approx(half)


def test_more_contrasts_than_fit_at_once_are_one_family():
    y = answers(14, n_configurations=24)
    contrasts = pair_contrasts(24)
    assert len(contrasts) > CONTRASTS_AT_ONCE
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).family(contrasts)
    difference, s, t = t_values(y, contrasts, 5)
    order = np.argsort(-np.abs(difference) / s)
    largest = np.maximum.accumulate(np.abs(t)[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + (largest >= (np.abs(difference) / s)[order]).sum(axis=0)) / (DRAWS + 1)
    assert family.p_adjusted[order] == pytest.approx(np.maximum.accumulate(p))


def test_an_effect_takes_a_pairs_place():
    y, a = answers(15), np.array([[1, 1, 1, 1, -1, -1, -1, -1]]) / 4
    family = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).family(a)
    difference, s, t = t_values(y, a, 5)
    half = s * np.quantile(np.abs(t), 0.95)
    assert (family.low, family.high) == (pytest.approx(difference - half), pytest.approx(difference + half))


def test_a_family_of_no_contrasts_is_empty():
    family = PosteriorVariances(cross_squares(answers(16)), None, np.random.default_rng(5)).family(np.zeros((0, 8)))
    assert {values.size for values in vars(family).values()} == {0}


@pytest.mark.parametrize("rival", [0, 4, 7])
def test_certainly_better_and_worse_exceed_the_largest_of_all_others(rival):
    y = answers(17) + 0.3 * np.arange(8)[:, None, None]
    better, worse = PosteriorVariances(cross_squares(y), None, np.random.default_rng(5)).certainly(rival, 0.05)
    others = [other for other in range(8) if other != rival]
    difference, s, t = t_values(y, np.eye(8)[others] - np.eye(8)[rival], 5)
    assert better[others].tolist() == (difference / s > np.quantile(t.max(axis=1), 0.95)).tolist()
    assert worse[others].tolist() == (-difference / s > np.quantile((-t).max(axis=1), 0.95)).tolist()
    assert (better | worse).any()
    assert not (better | worse)[rival]
