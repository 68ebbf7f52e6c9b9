"""What must hold for any matrix: moved, scaled, shuffled, grown, or holding one configuration twice."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from sweep.statistics import Family, best_set, compare_all, rank_intervals
from sweep.statistics.posterior import DRAWS
from tests.simulation.world import EIGHTFOLD, LARGE, SMALL, World, equal

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

quick = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)
few_and_many = pytest.mark.parametrize("n_configurations", [2, 5, 9])


def answers(seed: int, n_configurations: int, n_seeds: int = 4, n_images: int = 40) -> Bools:
    """Configurations a point apart, whose seeds are not equally steady."""
    world = World(
        accuracies=np.linspace(0.7, 0.7 + 0.01 * n_configurations, n_configurations),
        seed_sd=np.resize(EIGHTFOLD, n_configurations),
        n_images=n_images,
    )
    return world.draw(np.random.default_rng(seed), n_seeds)


def assert_alike(found: Family, expected: Family) -> None:
    """All figures within rounding; a drawn p within two draws, which rounding may carry over the edge."""
    for name, values in vars(expected).items():
        allowance = 2 / DRAWS if name.startswith("p") else 1e-9
        assert getattr(found, name) == pytest.approx(values, rel=1e-6, abs=allowance), name


def pair_numbers(n_configurations: int) -> npt.NDArray[np.int64]:
    """(configurations, configurations): which row of a family compares the two."""
    numbers = np.zeros((n_configurations, n_configurations), dtype=np.int64)
    first, second = np.triu_indices(n_configurations, 1)
    numbers[first, second] = numbers[second, first] = np.arange(len(first))
    return numbers


@few_and_many
@given(seeds, st.floats(-100, 100))
@quick
def test_a_shift_of_all_changes_no_comparison(n_configurations, seed, shift):
    y = answers(seed, n_configurations).astype(float)
    assert_alike(compare_all(y + shift), compare_all(y))


@few_and_many
@given(seeds, st.floats(-3, 3))
@quick
def test_intervals_move_with_one_configurations_shift(n_configurations, seed, shift):
    y = answers(seed, n_configurations).astype(float)
    before = compare_all(y)
    y[0] += shift
    after = compare_all(y)
    moved = np.where(np.arange(len(before.low)) < n_configurations - 1, shift, 0)
    for name in ("difference", "low", "high", "simultaneous_low", "simultaneous_high"):
        assert getattr(after, name) == pytest.approx(getattr(before, name) + moved, abs=1e-9)


@few_and_many
@given(seeds, st.floats(1e-3, 1e3))
@quick
def test_intervals_move_with_the_scale(n_configurations, seed, scale):
    y = answers(seed, n_configurations).astype(float)
    before, after = compare_all(y), compare_all(scale * y)
    for name in ("difference", "standard_error", "low", "high", "simultaneous_low", "smallest_detectable"):
        assert getattr(after, name) == pytest.approx(scale * getattr(before, name), rel=1e-6, abs=1e-9 * scale)
    assert after.p_adjusted == pytest.approx(before.p_adjusted, rel=1e-6, abs=2 / DRAWS)


@few_and_many
@given(seeds)
@quick
def test_wrong_answers_compare_like_right_ones_turned_round(n_configurations, seed):
    y = answers(seed, n_configurations)
    right, wrong = compare_all(y), compare_all(~y)
    assert wrong.low == pytest.approx(-right.high)
    assert wrong.high == pytest.approx(-right.low)
    assert wrong.p_adjusted == pytest.approx(right.p_adjusted, abs=2 / DRAWS)


@few_and_many
@given(seeds)
@quick
def test_order_of_seeds_and_images_does_not_matter(n_configurations, seed):
    rng, y = np.random.default_rng(seed), answers(seed, n_configurations)
    shuffled = y[:, rng.permutation(y.shape[1])][:, :, rng.permutation(y.shape[2])]
    assert_alike(compare_all(shuffled), compare_all(y))


@few_and_many
@given(seeds)
@quick
def test_groups_move_with_their_images(n_configurations, seed):
    rng, y = np.random.default_rng(seed), answers(seed, n_configurations)
    groups, order = rng.integers(0, 12, y.shape[2]), rng.permutation(y.shape[2])
    assert_alike(compare_all(y[:, :, order], groups=groups[order]), compare_all(y, groups=groups))


@pytest.mark.parametrize("n_configurations", [2, 5])
@given(seeds)
@quick
def test_order_of_few_configurations_does_not_matter(n_configurations, seed):
    order, y = np.random.default_rng(seed).permutation(n_configurations), answers(seed, n_configurations)
    before, after = compare_all(y), compare_all(y[order])
    first, second = np.triu_indices(n_configurations, 1)
    rows = pair_numbers(n_configurations)[order[first], order[second]]
    turned = order[first] > order[second]
    assert after.low == pytest.approx(np.where(turned, -before.high[rows], before.low[rows]), abs=1e-12)
    assert after.p_adjusted == pytest.approx(before.p_adjusted[rows])
    assert np.array_equal(best_set(y[order]), best_set(y)[order])
    assert np.array_equal(rank_intervals(y[order]), rank_intervals(y)[order])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layout", [None, (np.arange(9) // 3, np.arange(9) % 3)])
def test_order_of_many_configurations_changes_p_by_the_draws_chance(seed, layout):
    y, order = answers(seed, 9, n_images=150), np.random.default_rng(seed).permutation(9)
    before = compare_all(y, layout=layout)
    after = compare_all(y[order], layout=None if layout is None else tuple(names[order] for names in layout))
    rows = pair_numbers(9)[order[np.triu_indices(9, 1)[0]], order[np.triu_indices(9, 1)[1]]]
    for found, expected in ((after.p, before.p[rows]), (after.p_adjusted, before.p_adjusted[rows])):
        error = np.sqrt(2 * expected * (1 - expected) / DRAWS)
        assert (np.abs(found - expected) <= 3 * error + 2 / DRAWS).all()


@pytest.mark.parametrize("n_configurations", [2, 5])
@given(seeds, st.integers(2, 5))
@quick
def test_images_repeated_as_others_never_widen_the_error(n_configurations, seed, times):
    y = answers(seed, n_configurations)
    more, less = compare_all(np.tile(y, (1, 1, times))), compare_all(y)
    assert (more.standard_error <= less.standard_error * (1 + 1e-9)).all()


@given(seeds, st.integers(2, 5))
@quick
def test_seeds_repeated_as_others_never_widen_the_error_of_two(seed, times):
    y = answers(seed, 2)
    more, less = compare_all(np.tile(y, (1, times, 1))), compare_all(y)
    assert (more.standard_error <= less.standard_error * (1 + 1e-9)).all()


@few_and_many
@pytest.mark.parametrize(("spread", "n_seeds", "n_images"), [(LARGE, 12, 60), (SMALL, 3, 600)])
def test_intervals_shrink_with_more_seeds_and_images(n_configurations, spread, n_seeds, n_images):
    def width(n_seeds: int, n_images: int) -> float:
        world, rng = equal(n_configurations, spread, n_images), np.random.default_rng(1)
        families = [compare_all(world.draw(rng, n_seeds)) for _ in range(36 // n_configurations)]
        return float(np.mean([family.high - family.low for family in families]))

    assert width(n_seeds, n_images) < width(3, 60)


@few_and_many
@given(seeds)
@quick
def test_a_configuration_against_itself_is_never_different(n_configurations, seed):
    y = answers(seed, n_configurations)
    y[-1] = y[0]
    family, pair = compare_all(y), n_configurations - 2
    assert (family.difference[pair], family.p[pair], family.p_adjusted[pair]) == (0, 1, 1)
    assert family.low[pair] <= 0 <= family.high[pair]


@few_and_many
@given(seeds)
@quick
def test_a_configuration_twice_stands_twice_in_the_ranking(n_configurations, seed):
    y = answers(seed, n_configurations)
    y[-1] = y[0]
    ranks, best = rank_intervals(y), best_set(y)
    assert max(ranks[0, 0], ranks[-1, 0]) < min(ranks[0, 1], ranks[-1, 1])
    if n_configurations == 2:
        assert best.all()


@few_and_many
@given(seeds)
@quick
def test_adjusted_p_are_never_below_raw_ones(n_configurations, seed):
    family = compare_all(answers(seed, n_configurations))
    assert (family.p_adjusted >= family.p).all()
    assert (family.p_adjusted <= 1).all()


@pytest.mark.parametrize("n_configurations", [2, 5])
@given(seeds)
@quick
def test_adjusted_p_of_few_keep_the_order_of_raw_ones(n_configurations, seed):
    family = compare_all(answers(seed, n_configurations))
    assert (np.diff(family.p_adjusted[np.argsort(family.p)]) >= 0).all()


@given(seeds)
@quick
def test_adjusted_p_of_many_keep_the_order_of_t(seed):
    family = compare_all(answers(seed, 9))
    t = np.abs(family.difference) / family.standard_error
    assert (np.diff(family.p_adjusted[np.argsort(-t)]) >= 0).all()


@few_and_many
@given(seeds, st.floats(0.5, 0.99))
@quick
def test_simultaneous_intervals_contain_the_single_ones(n_configurations, seed, level):
    family = compare_all(answers(seed, n_configurations), level)
    assert (family.simultaneous_low <= family.low).all()
    assert (family.simultaneous_high >= family.high).all()


@few_and_many
@given(seeds, st.floats(0.5, 0.99))
@quick
def test_an_interval_without_zero_is_a_small_p(n_configurations, seed, level):
    family = compare_all(answers(seed, n_configurations), level)
    outside = (family.low > 0) | (family.high < 0)
    assert (family.p[outside] <= 1 - level + 2 / DRAWS).all()
    assert (family.p[~outside] >= 1 - level - 2 / DRAWS).all()


@few_and_many
@given(seeds)
@quick
def test_the_highest_mean_may_always_be_the_best(n_configurations, seed):
    y = answers(seed, n_configurations)
    assert best_set(y)[y.mean(axis=(1, 2)).argmax()]


@few_and_many
@given(seeds)
@quick
def test_rank_intervals_hold_the_observed_rank(n_configurations, seed):
    y = answers(seed, n_configurations)
    observed = stats.rankdata(-y.sum(axis=(1, 2)), method="min")
    low, high = rank_intervals(y).T
    assert ((low >= 1) & (low <= observed) & (observed <= high) & (high <= n_configurations)).all()


@few_and_many
@given(seeds)
@quick
def test_the_best_are_those_of_first_rank_at_twice_the_error(n_configurations, seed):
    y = answers(seed, n_configurations)
    first = rank_intervals(y, level=0.9)[:, 0] == 1
    assert np.array_equal(best_set(y, level=0.95), first)


@few_and_many
@given(seeds)
@quick
def test_every_figure_is_a_number(n_configurations, seed):
    rng = np.random.default_rng(seed)
    y = rng.random((n_configurations, 3, 10)) < rng.choice([0.0, 0.02, 0.5, 1.0], (n_configurations, 1, 1))
    family = compare_all(y)
    assert not any(math.isnan(value) for values in vars(family).values() for value in values)
    assert ((family.p >= 0) & (family.p <= 1)).all()
