import math

import numpy as np
import pytest
from scipy import stats

from sweep.statistics import sd_interval, sources, spread_between, summed, two_way


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


def test_equal_values_have_no_spread_at_all():
    assert sd_interval([0.1 + 0.2] * 3).sd == 0.0


def in_folds(rng, fold_sd, n_seeds=4, n_folds=5, per_fold=60):
    folds = np.repeat(np.arange(n_folds), per_fold)
    return world(rng, 0.02, n_seeds, folds.size) + fold_sd * rng.standard_normal(n_folds)[folds], folds


@pytest.mark.parametrize("fold_sd", [0.0, 0.05, 0.2])
def test_intervals_of_the_folds_component_cover(fold_sd):
    rng = np.random.default_rng(2)
    draws = [sources(y, folds=folds).fold for y, folds in (in_folds(rng, fold_sd) for _ in range(600))]
    # Standard error of 600 draws at 95 %: 0.009.
    assert np.mean([found.low <= fold_sd <= found.high for found in draws]) >= 0.925


def test_images_are_taken_within_folds():
    rng = np.random.default_rng(3)
    draws = [sources(y, folds=folds).image for y, folds in (in_folds(rng, 0.3) for _ in range(300))]
    # Standard error of 300 draws at 95 %: 0.013.
    assert np.mean([found.low <= 0.4 <= found.high for found in draws]) >= 0.92


def test_without_folds_they_have_no_component():
    assert sources(world(np.random.default_rng(0), 0.1)).fold is None


@pytest.mark.parametrize(("between_sd", "n_rows", "n_repeats"), [(0.0, 3, 3), (0.02, 5, 3), (0.1, 4, 5)])
def test_spread_between_and_within_covers(between_sd, n_rows, n_repeats):
    rng = np.random.default_rng(4)
    inside = np.zeros(2)
    for _ in range(1000):
        y = between_sd * rng.standard_normal((n_rows, 1)) + 0.03 * rng.standard_normal((n_rows, n_repeats))
        between, within = spread_between(y)
        inside += between.low <= between_sd <= between.high, within.low <= 0.03 <= within.high
    # Standard error of 1,000 draws at 95 %: 0.007.
    assert inside[0] >= 930
    assert 930 <= inside[1] <= 970


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.zeros((3, 1)), np.zeros(3), np.full((2, 2), np.nan)])
def test_spread_needs_two_rows_and_two_repeats(values):
    with pytest.raises(ValueError, match="two of each at least"):
        spread_between(values)


@pytest.mark.parametrize(("sds", "df"), [((0.02, 0.03), (4, 4)), ((0.001, 0.03), (2, 2)), ((0.05, 0.01), (9, 2))])
def test_the_interval_of_a_sum_covers(sds, df):
    rng = np.random.default_rng(5)
    true, inside = math.hypot(*sds), 0
    for _ in range(2000):
        parts = [(sd * math.sqrt(rng.chisquare(n) / n), n) for sd, n in zip(sds, df, strict=True)]
        found = summed(parts)
        inside += found.low <= true <= found.high
    # Graybill and Wang's limits err a little on the safe side; standard error of 2,000 draws: 0.005.
    assert 0.94 <= inside / 2000 <= 0.985


def test_a_sum_of_one_is_its_chi_square_interval():
    values = [0.7, 0.72, 0.75]
    expected = sd_interval(values)
    assert vars(summed([(expected.sd, 2)])) == pytest.approx(vars(expected))


def test_there_is_no_sum_of_nothing():
    with pytest.raises(ValueError, match="nothing to sum"):
        summed([])


def models_of_folds(rng, fold_sd, seed_sd, n_seeds=3, n_folds=5, per_fold=100):
    """Every seed and fold a model of its own, as training under folds makes them."""
    folds = np.repeat(np.arange(n_folds), per_fold)
    models = fold_sd * rng.standard_normal((1, n_folds)) + seed_sd * rng.standard_normal((n_seeds, n_folds))
    return world(rng, 0.0, n_seeds, folds.size) + models[:, folds], folds


@pytest.mark.parametrize(
    ("fold_sd", "seed_sd", "n_folds"), [(0.0, 0.06, 5), (0.0, 0.06, 3), (0.08, 0.04, 5), (0.15, 0.0, 3)]
)
def test_seeds_of_a_fold_are_told_from_its_training_images(fold_sd, seed_sd, n_folds):
    rng = np.random.default_rng(6)
    draws = [
        sources(y, folds=folds)
        for y, folds in (models_of_folds(rng, fold_sd, seed_sd, n_folds=n_folds) for _ in range(600))
    ]
    # Standard error of 600 draws at 95 %: 0.009.
    assert np.mean([found.fold.low <= fold_sd <= found.fold.high for found in draws]) >= 0.925
    assert np.mean([found.seed.low <= seed_sd <= found.seed.high for found in draws]) >= 0.925
    unbiased = np.mean([found.seed.sd**2 for found in draws]) ** 0.5
    assert unbiased == pytest.approx(seed_sd, abs=0.016)
