import math

import numpy as np
import pytest
from scipy import stats

from sweep.statistics import sd_interval, sources, two_way


def world(rng, seed_sd, n_seeds=5, n_images=200):
    return (
        seed_sd * rng.standard_normal((n_seeds, 1))
        + 0.4 * rng.standard_normal((1, n_images))
        + 0.3 * rng.standard_normal((n_seeds, n_images))
    )


def test_a_standard_deviation_has_the_chi_square_interval():
    values = [0.7467, 0.7622, 0.7511, 0.74, 0.7578]
    found = sd_interval(values)
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert found.low == pytest.approx(math.sqrt(4 * np.var(values, ddof=1) / stats.chi2.ppf(0.975, 4)))
    assert found.high == pytest.approx(math.sqrt(4 * np.var(values, ddof=1) / stats.chi2.ppf(0.025, 4)))


def test_one_seed_has_no_spread():
    assert sd_interval([0.7]) is None
    assert sources(np.ones((1, 9))) is None


@pytest.mark.parametrize("seed_sd", [0.0, 0.01, 0.05])
def test_intervals_of_components_cover(seed_sd):
    rng = np.random.default_rng(1)
    draws = [sources(world(rng, seed_sd)) for _ in range(600)]
    seeds = np.mean([found.seed.low <= seed_sd <= found.seed.high for found in draws])
    images = np.mean([found.image.low <= 0.4 <= found.image.high for found in draws])
    # Standard error of 600 draws at 95 %: 0.009.
    assert seeds >= 0.925
    assert 0.925 <= images <= 0.975


def of_a_difference(first, second, df_first, df_second, level):
    """Modified-large-sample limits of a difference of mean squares, by what they must be (Ting et al. 1990).

    Either limit is the difference ± the root of a quadratic form of the two squares. Its three coefficients are those
    by which it is exact where one square is nothing, a single variance's χ² limit, and zero where F is just on the
    edge of significance.
    """
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        alone = df_first / stats.chi2.ppf(1 - tail, df_first), -df_second / stats.chi2.ppf(tail, df_second)
        edge = stats.f.ppf(1 - tail, df_first, df_second)
        points = [(1, 0, alone[0]), (0, 1, alone[1]), (edge, 1, 0)]
        forms = [[a * a, a * b, b * b] for a, b, _ in points]
        squares = np.linalg.solve(forms, [(a - b - end) ** 2 for a, b, end in points])
        away = math.sqrt(max(0, squares @ [first**2, first * second, second**2]))
        ends.append(first - second + (away if tail > 0.5 else -away))
    return ends


@pytest.mark.parametrize("seed", range(20))
def test_components_have_the_modified_large_sample_interval(seed):
    rng = np.random.default_rng(seed)
    n_seeds, n_images, level = rng.integers(2, 9), rng.integers(10, 40), rng.uniform(0.6, 0.99)
    y = world(rng, rng.choice([0.05, 0.2, 1.0]), n_seeds, n_images)
    found, parts = sources(y, level), two_way(y)
    dfs = n_seeds - 1, n_images - 1
    for part, square, df, times in (
        (found.seed, parts.ms_seed, dfs[0], n_images),
        (found.image, parts.ms_image, dfs[1], n_seeds),
    ):
        limits = of_a_difference(square, parts.ms_residual, df, dfs[0] * dfs[1], level)
        expected = [math.sqrt(max(0, end) / times) for end in limits]
        assert (part.low, part.high) == pytest.approx(expected, abs=1e-6)


def test_the_test_sets_share_is_one_where_seeds_bring_nothing():
    rng = np.random.default_rng(2)
    shares = [sources(world(rng, 0.0, n_seeds=30)).test_set_share for _ in range(50)]
    assert np.mean(shares) > 0.85
    assert sources(world(rng, 1.0)).test_set_share < 0.01


def test_answers_without_any_spread_have_none():
    found = sources(np.ones((3, 8)))
    assert (found.seed.sd, found.image.sd, found.residual) == (0, 0, 0)
