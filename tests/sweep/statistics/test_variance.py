import math

import numpy as np
import pytest
from scipy import stats

from sweep.statistics import sd_interval, sources


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


def test_the_test_sets_share_is_one_where_seeds_bring_nothing():
    rng = np.random.default_rng(2)
    shares = [sources(world(rng, 0.0, n_seeds=30)).test_set_share for _ in range(50)]
    assert np.mean(shares) > 0.85
    assert sources(world(rng, 1.0)).test_set_share < 0.01


def test_answers_without_any_spread_have_none():
    found = sources(np.ones((3, 8)))
    assert (found.seed.sd, found.image.sd, found.residual) == (0, 0, 0)
