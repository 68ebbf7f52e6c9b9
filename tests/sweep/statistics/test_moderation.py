import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, special, stats
from statsmodels.stats.multitest import multipletests

from sweep.statistics import compare_all, cross_squares, pair_contrasts, total_interval, two_way
from sweep.statistics.moderation import ModeratedVariances, holm, moderate

Floats = npt.NDArray[np.float64]


def crossed(seed: int, n_configurations: int, n_seeds: int = 4, n_images: int = 30, spread: float = 0.4) -> Floats:
    """Configurations whose seeds are ever less steady."""
    rng = np.random.default_rng(seed)
    steady = spread * 2.0 ** np.arange(n_configurations)[:, None, None]
    seeds = steady * rng.normal(size=(n_configurations, n_seeds, 1))
    images = rng.normal(size=(n_configurations, 1, n_images)) + 2 * rng.normal(size=n_images)
    return seeds + images + rng.normal(size=(n_configurations, n_seeds, n_images))


def moments(variances: Floats, df: float) -> tuple[float, float]:
    """Prior degrees of freedom and variance by an equation solver: variances are s₀² F(df, d₀)."""
    z = np.log(variances)

    def left(logs: Floats) -> tuple[float, float]:
        prior_df, prior_variance = np.exp(logs)
        mean = np.log(prior_variance * prior_df / df) + special.digamma(df / 2) - special.digamma(prior_df / 2)
        spread = special.polygamma(1, df / 2) + special.polygamma(1, prior_df / 2)
        return z.mean() - mean, z.var(ddof=1) - spread

    found = optimize.root(left, [1.0, float(z.mean())])
    assert left(found.x) == pytest.approx((0, 0), abs=1e-8)
    return math.exp(found.x[0]), math.exp(found.x[1])


def by_the_book(y: Floats, contrast: Floats) -> tuple[float, float, float]:
    """Difference, standard error and degrees of freedom of one contrast, from explicit differences."""
    n_configurations, n_seeds, n_images = y.shape
    seed_means = y.mean(axis=2)
    variances = [
        n_configurations / (n_configurations - 1) * np.var(row, ddof=1) for row in seed_means - seed_means.mean(axis=0)
    ]
    prior = moderate(variances, n_seeds - 1)
    parts = two_way(np.tensordot(contrast, y, axes=1))
    shares = [a**2 * v for a, v in zip(contrast, prior.variances, strict=True)]
    df_seed = (prior.prior_df + n_seeds - 1) * sum(shares) ** 2 / sum(share**2 for share in shares)
    df_seed = min(df_seed, (n_seeds - 1) * (n_configurations - 1))
    seed, image, residual = n_images * sum(shares), parts.ms_image, parts.ms_residual or 0.0
    total = seed + image - residual
    df = total**2 / (seed**2 / df_seed + image**2 / (n_images - 1) + residual**2 / ((n_seeds - 1) * (n_images - 1)))
    if total < max(seed, image):
        total, df = max((seed, df_seed), (image, n_images - 1.0))
    return parts.mean, math.sqrt(total / (n_seeds * n_images)), df


def test_holm_is_the_published_one():
    assert holm([0.001, 0.011, 0.02, 0.04, 0.2]) == pytest.approx([0.005, 0.044, 0.06, 0.08, 0.2])


def test_holm_is_the_closed_test_of_bonferroni():
    p = np.random.default_rng(1).random(6) ** 3
    hypotheses = range(6)
    expected = [
        max(
            min(1.0, len(subset) * p[list(subset)].min())
            for size in range(1, 7)
            for subset in itertools.combinations(hypotheses, size)
            if each in subset
        )
        for each in hypotheses
    ]
    assert holm(p) == pytest.approx(expected)


@pytest.mark.parametrize("size", [1, 2, 40])
def test_holm_is_statsmodels(size):
    p = np.random.default_rng(size).random(size).round(1) ** 4
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_of_nothing_is_nothing():
    assert holm([]).size == 0


def test_variances_no_further_apart_than_chance_take_their_mean_as_published():
    moderated = moderate([0.8, 1.1, 0.5, 2.4, 0.9, 1.6, 0.7, 3.1], 4)
    assert (moderated.prior_df, moderated.prior_variance) == (math.inf, pytest.approx(1.3875))
    assert moderated.variances == pytest.approx(np.full(8, 1.3875))


def test_variances_far_apart_are_moderated_as_published():
    moderated = moderate([0.1, 4.0, 0.05, 8.0, 0.3, 2.5, 0.02, 6.0], 4)
    assert (moderated.prior_df, moderated.prior_variance) == pytest.approx((0.9996648232827728, 0.2164148951208356))
    expected = [
        0.12327673547564744,
        3.2434858997685976,
        0.08327405388214806,
        6.4437004272485465,
        0.2832874618496448,
        2.0434054519636167,
        0.059272444926048454,
        4.843593163508572,
    ]
    assert moderated.variances == pytest.approx(expected)


@pytest.mark.parametrize(("df", "spread"), [(1, 4.0), (2, 2.0), (2, 8.0), (4, 2.0), (4, 4.0), (19, 1.0), (19, 4.0)])
def test_prior_solves_the_moments_of_log_variances(df, spread):
    variances = np.exp(np.linspace(-spread, spread, 7)) / 3
    moderated = moderate(variances, df)
    assert (moderated.prior_df, moderated.prior_variance) == pytest.approx(moments(variances, df), rel=1e-6)


def test_prior_is_found_in_draws_from_it():
    rng = np.random.default_rng(2)
    truth = 6 * 0.5 / rng.chisquare(6, 40_000)
    moderated = moderate(truth * rng.chisquare(4, truth.size) / 4, 4)
    assert (moderated.prior_df, moderated.prior_variance) == pytest.approx((6, 0.5), rel=0.05)


def test_moderated_variances_are_closer_to_the_truth():
    rng = np.random.default_rng(3)
    truth = 6 * 0.5 / rng.chisquare(6, 2000)
    observed = truth * rng.chisquare(4, truth.size) / 4
    away = [np.mean(np.log(found / truth) ** 2) for found in (moderate(observed, 4).variances, observed)]
    assert away[0] < 0.5 * away[1]


def test_a_moderated_variance_lies_between_its_own_and_the_priors():
    own = np.exp(np.linspace(-4, 4, 9))
    moderated = moderate(own, 3)
    ends = np.sort([own, np.full(9, moderated.prior_variance)], axis=0)
    assert ((ends[0] <= moderated.variances) & (moderated.variances <= ends[1])).all()


def test_scale_of_variances_leaves_the_priors_df():
    own = np.exp(np.linspace(-3, 3, 6))
    small, large = moderate(own, 4), moderate(1e-12 * own, 4)
    assert large.prior_df == pytest.approx(small.prior_df)
    assert large.variances == pytest.approx(1e-12 * small.variances, rel=1e-9, abs=0)


def test_one_variance_is_left_alone():
    moderated = moderate([0.3], 4)
    assert (moderated.prior_df, moderated.variances.tolist()) == (0, [0.3])


def test_a_variance_of_rounding_is_raised():
    variances = np.array([1.0, 2.0, 0.5, 4.0, 1e-30])
    raised = np.array([1.0, 2.0, 0.5, 4.0, 1e-5])
    assert moderate(variances, 4).variances == pytest.approx(moderate(raised, 4).variances)


@pytest.mark.parametrize("variances", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.6]])
def test_variances_whose_median_is_zero_take_their_mean(variances):
    moderated = moderate(variances, 4)
    assert moderated.prior_df == math.inf
    assert moderated.variances == pytest.approx(np.full(3, np.mean(variances)))


@pytest.mark.parametrize("n_seeds", [2, 3, 10])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_two_configurations_are_compared_by_their_differences(n_seeds, level):
    y = crossed(4, 2, n_seeds)
    family, expected = compare_all(y, level), total_interval(y[0] - y[1], level)
    assert (family.low.item(), family.high.item()) == pytest.approx((expected.low, expected.high))
    t = expected.mean / math.sqrt(expected.variance_of_mean)
    assert family.p.item() == pytest.approx(2 * stats.t.sf(abs(t), expected.df))


def test_two_configurations_at_the_floor_are_compared_by_their_differences():
    y = np.zeros((2, 3, 8))
    y[0] = [[1, 0, 1, 1, 0, 1, 1, 0], [0, 1, 1, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0, 1, 1]]
    family, expected = compare_all(y), total_interval(y[0] - y[1])
    assert (family.low.item(), family.high.item()) == pytest.approx((expected.low, expected.high))


def test_two_configurations_are_compared_by_groups():
    y, groups = crossed(5, 2), np.repeat(np.arange(8), (1, 9, 2, 5, 1, 1, 8, 3))
    family, expected = compare_all(y, groups=groups), total_interval(y[0] - y[1], groups=groups)
    assert (family.low.item(), family.high.item()) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n_configurations", [3, 4, 7])
@pytest.mark.parametrize(("n_seeds", "spread"), [(2, 0.4), (3, 0.01), (5, 0.4)])
def test_a_family_of_pairs_follows_the_book(n_configurations, n_seeds, spread):
    y = crossed(6, n_configurations, n_seeds, spread=spread)
    family = compare_all(y, 0.9)
    difference, error, df = np.transpose([by_the_book(y, a) for a in pair_contrasts(n_configurations)])
    p = 2 * stats.t.sf(np.abs(difference / error), df)
    own, together = stats.t.ppf(0.95, df), stats.t.ppf(1 - 0.05 / len(df), df)
    assert family.difference == pytest.approx(difference)
    assert family.standard_error == pytest.approx(error)
    assert family.low == pytest.approx(difference - own * error)
    assert family.high == pytest.approx(difference + own * error)
    assert family.p == pytest.approx(p)
    assert family.p_adjusted == pytest.approx(multipletests(p, method="holm")[1])
    assert family.simultaneous_low == pytest.approx(difference - together * error)
    assert family.simultaneous_high == pytest.approx(difference + together * error)
    assert family.smallest_detectable == pytest.approx(together * error)


@pytest.mark.parametrize("contrast", [(0.5, 0.5, -0.5, -0.5), (1, -1, -1, 1), (0.75, -0.25, -0.25, -0.25)])
def test_an_effect_follows_the_book(contrast):
    y, a = crossed(7, 4), np.array(contrast, dtype=float)
    family = ModeratedVariances(cross_squares(y)).family(a[None])
    difference, error, df = by_the_book(y, a)
    half = stats.t.ppf(0.975, df) * error
    assert (family.low.item(), family.high.item()) == pytest.approx((difference - half, difference + half))


def test_what_all_configurations_of_a_seed_share_changes_no_comparison():
    y = crossed(8, 4)
    common = 5 * np.random.default_rng(8).normal(size=(1, 4, 1))
    together, apart = compare_all(y + common), compare_all(y)
    assert np.array([*vars(together).values()]) == pytest.approx(np.array([*vars(apart).values()]))


def test_a_family_of_one_contrast_is_not_corrected():
    family = ModeratedVariances(cross_squares(crossed(9, 4))).family(pair_contrasts(4)[:1])
    assert (family.p_adjusted, family.simultaneous_high) == (pytest.approx(family.p), pytest.approx(family.high))


def test_a_family_of_no_contrasts_is_empty():
    family = ModeratedVariances(cross_squares(crossed(9, 4))).family(np.zeros((0, 4)))
    assert {values.size for values in vars(family).values()} == {0}


@pytest.mark.parametrize("rival", range(5))
def test_certainly_better_and_worse_are_one_sided_and_corrected(rival):
    y = crossed(10, 5, spread=0.1) + 0.3 * np.arange(5)[:, None, None]
    others = [other for other in range(5) if other != rival]
    book = [by_the_book(y, np.eye(5)[other] - np.eye(5)[rival]) for other in others]
    model = ModeratedVariances(cross_squares(y))
    for sign, side in ((1, 0), (-1, 1)):
        p = [stats.t.sf(sign * difference / error, df) for difference, error, df in book]
        adjusted = multipletests(p, method="holm")[1]
        for error_rate in np.geomspace(1e-4, 0.5, 40):
            found = model.certainly(rival, error_rate)[side]
            assert found[others].tolist() == (adjusted < error_rate).tolist()
            assert not found[rival]
