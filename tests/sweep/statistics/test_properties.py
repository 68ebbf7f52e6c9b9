"""What must hold for any matrix: moved, scaled, shuffled, grown, or holding one configuration twice."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from sweep.statistics import (
    Family,
    best_of,
    best_set,
    calibration_interval,
    class_f1_values,
    compare_all,
    f1_values,
    rank_intervals,
    ranks_of,
    sd_interval,
    seed_interval,
    sources,
    split_interval,
    total_interval,
    variance_model,
)
from sweep.statistics.posterior import DRAWS
from tests.simulation.world import EIGHTFOLD, LARGE, SMALL, World, equal

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Structure = dict[str, npt.NDArray[np.int64]]

quick = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
often = settings(max_examples=50, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
shifts, scales = st.floats(-100, 100), st.floats(1e-3, 1e3)
few = st.integers(2, 7)
# Eight or more draw, which takes a hundred times as long.
few_and_many = st.sampled_from((2, 3, 5, 7, 8, 9))

N_IMAGES = 40
GROUPS = np.random.default_rng(0).integers(0, 12, N_IMAGES)
STRUCTURES: dict[str, Structure] = {
    "images": {},
    "groups": {"groups": GROUPS},
    "folds": {"folds": np.arange(N_IMAGES) % 4},
    "groups in folds": {"groups": GROUPS, "folds": GROUPS % 3},
}
structures = st.sampled_from(sorted(STRUCTURES)).map(STRUCTURES.__getitem__)
without_folds = st.sampled_from(["images", "groups"]).map(STRUCTURES.__getitem__)


def answers(seed: int, n_configurations: int, n_seeds: int = 4, n_images: int = N_IMAGES) -> Bools:
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


def shuffle(y: npt.NDArray[Any], structure: Structure, seed: int) -> tuple[npt.NDArray[Any], Structure]:
    """Seeds and images, the last two axes, in another order; groups and folds go with their images."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(y.shape[-2]), rng.permutation(y.shape[-1])
    return y[..., rows, :][..., columns], {name: numbers[columns] for name, numbers in structure.items()}


def ranked(y: npt.NDArray[Any], structure: Structure) -> npt.NDArray[np.int64]:
    """(configurations, 3): whether it may be the best, its lowest and its highest rank, all of the same draws."""
    model = variance_model(y, **structure)
    return np.column_stack([best_of(model, len(y)), ranks_of(model, len(y))])


def pair_numbers(n_configurations: int) -> npt.NDArray[np.int64]:
    """(configurations, configurations): which row of a family compares the two."""
    numbers = np.zeros((n_configurations, n_configurations), dtype=np.int64)
    first, second = np.triu_indices(n_configurations, 1)
    numbers[first, second] = numbers[second, first] = np.arange(len(first))
    return numbers


@given(few_and_many, seeds, structures, shifts)
@quick
def test_a_shift_of_all_changes_no_comparison(n_configurations, seed, structure, shift):
    y = answers(seed, n_configurations).astype(float)
    assert_alike(compare_all(y + shift, **structure), compare_all(y, **structure))


@given(few_and_many, seeds, structures, st.floats(-3, 3))
@quick
def test_intervals_move_with_one_configurations_shift(n_configurations, seed, structure, shift):
    y = answers(seed, n_configurations).astype(float)
    before = compare_all(y, **structure)
    y[0] += shift
    after = compare_all(y, **structure)
    moved = np.where(np.arange(len(before.low)) < n_configurations - 1, shift, 0)
    for name in ("difference", "low", "high", "simultaneous_low", "simultaneous_high"):
        assert getattr(after, name) == pytest.approx(getattr(before, name) + moved, abs=1e-9)


@given(few_and_many, seeds, structures, scales)
@quick
def test_intervals_move_with_the_scale(n_configurations, seed, structure, scale):
    y = answers(seed, n_configurations).astype(float)
    before, after = compare_all(y, **structure), compare_all(scale * y, **structure)
    for name in ("difference", "standard_error", "low", "high", "simultaneous_low", "smallest_detectable"):
        assert getattr(after, name) == pytest.approx(scale * getattr(before, name), rel=1e-6, abs=1e-9 * scale)
    assert after.p_adjusted == pytest.approx(before.p_adjusted, rel=1e-6, abs=2 / DRAWS)


@given(few_and_many, seeds, structures)
@quick
def test_wrong_answers_compare_like_right_ones_turned_round(n_configurations, seed, structure):
    y = answers(seed, n_configurations)
    right, wrong = compare_all(y, **structure), compare_all(~y, **structure)
    assert wrong.low == pytest.approx(-right.high)
    assert wrong.high == pytest.approx(-right.low)
    assert wrong.p_adjusted == pytest.approx(right.p_adjusted, abs=2 / DRAWS)


@given(few_and_many, seeds, structures)
@quick
def test_order_of_seeds_and_images_changes_no_comparison(n_configurations, seed, structure):
    y = answers(seed, n_configurations)
    shuffled, moved = shuffle(y, structure, seed)
    assert_alike(compare_all(shuffled, **moved), compare_all(y, **structure))


@given(few_and_many, seeds, structures)
@quick
def test_order_of_seeds_and_images_changes_no_rank(n_configurations, seed, structure):
    y = answers(seed, n_configurations)
    shuffled, moved = shuffle(y, structure, seed)
    assert np.array_equal(ranked(shuffled, moved), ranked(y, structure))


@given(few_and_many, seeds, structures, shifts, scales)
@quick
def test_shift_and_scale_change_no_rank(n_configurations, seed, structure, shift, scale):
    y = answers(seed, n_configurations)
    assert np.array_equal(ranked(shift + scale * y, structure), ranked(y, structure))


@given(few, seeds, structures)
@often
def test_ranks_by_errors_are_ranks_turned_round(n_configurations, seed, structure):
    y = answers(seed, n_configurations)
    turned = n_configurations + 1 - rank_intervals(~y, **structure)[:, ::-1]
    assert np.array_equal(turned, rank_intervals(y, **structure))


@given(few_and_many, seeds, structures, st.floats(0, 0.2))
@quick
def test_a_gain_costs_a_configuration_no_rank(n_configurations, seed, structure, gain):
    y = answers(seed, n_configurations).astype(float)
    best, *ranks = ranked(y, structure)[0]
    y[0] += gain
    still_best, *moved = ranked(y, structure)[0]
    assert still_best >= best
    assert (np.array(moved) <= ranks).all()


@given(few, seeds, structures)
@often
def test_order_of_few_configurations_does_not_matter(n_configurations, seed, structure):
    order, y = np.random.default_rng(seed).permutation(n_configurations), answers(seed, n_configurations)
    before, after = compare_all(y, **structure), compare_all(y[order], **structure)
    first, second = np.triu_indices(n_configurations, 1)
    rows = pair_numbers(n_configurations)[order[first], order[second]]
    turned = order[first] > order[second]
    assert after.low == pytest.approx(np.where(turned, -before.high[rows], before.low[rows]), abs=1e-12)
    assert after.p_adjusted == pytest.approx(before.p_adjusted[rows])
    assert np.array_equal(best_set(y[order], **structure), best_set(y, **structure)[order])
    assert np.array_equal(rank_intervals(y[order], **structure), rank_intervals(y, **structure)[order])


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


@given(few, seeds, st.integers(2, 5))
@often
def test_images_repeated_as_others_never_widen_the_error(n_configurations, seed, times):
    y = answers(seed, n_configurations)
    more, less = compare_all(np.tile(y, (1, 1, times))), compare_all(y)
    assert (more.standard_error <= less.standard_error * (1 + 1e-9)).all()


@given(seeds, st.integers(2, 5))
@often
def test_seeds_repeated_as_others_never_widen_the_error_of_two(seed, times):
    y = answers(seed, 2)
    more, less = compare_all(np.tile(y, (1, times, 1))), compare_all(y)
    assert (more.standard_error <= less.standard_error * (1 + 1e-9)).all()


@pytest.mark.parametrize("n_configurations", [2, 5, 9])
@pytest.mark.parametrize(("spread", "n_seeds", "n_images"), [(LARGE, 12, 60), (SMALL, 3, 600)])
def test_intervals_shrink_with_more_seeds_and_images(n_configurations, spread, n_seeds, n_images):
    def width(n_seeds: int, n_images: int) -> float:
        world, rng = equal(n_configurations, spread, n_images), np.random.default_rng(1)
        families = [compare_all(world.draw(rng, n_seeds)) for _ in range(36 // n_configurations)]
        return float(np.mean([family.high - family.low for family in families]))

    assert width(n_seeds, n_images) < width(3, 60)


@given(few_and_many, seeds, structures)
@quick
def test_a_configuration_against_itself_is_never_different(n_configurations, seed, structure):
    y = answers(seed, n_configurations)
    y[-1] = y[0]
    family, pair = compare_all(y, **structure), n_configurations - 2
    assert (family.difference[pair], family.p[pair], family.p_adjusted[pair]) == (0, 1, 1)
    assert family.low[pair] <= 0 <= family.high[pair]


@given(few_and_many, seeds)
@quick
def test_a_configuration_twice_stands_twice_in_the_ranking(n_configurations, seed):
    y = answers(seed, n_configurations)
    y[-1] = y[0]
    ranks, best = rank_intervals(y), best_set(y)
    assert max(ranks[0, 0], ranks[-1, 0]) < min(ranks[0, 1], ranks[-1, 1])
    if n_configurations == 2:
        assert best.all()


@given(few_and_many, seeds, structures)
@quick
def test_adjusted_p_are_never_below_raw_ones(n_configurations, seed, structure):
    family = compare_all(answers(seed, n_configurations), **structure)
    assert (family.p_adjusted >= family.p).all()
    assert (family.p_adjusted <= 1).all()


@given(few, seeds, structures)
@often
def test_adjusted_p_of_few_keep_the_order_of_raw_ones(n_configurations, seed, structure):
    family = compare_all(answers(seed, n_configurations), **structure)
    assert (np.diff(family.p_adjusted[np.argsort(family.p)]) >= 0).all()


@given(st.integers(8, 10), seeds, structures)
@settings(parent=quick, max_examples=6)
def test_adjusted_p_of_many_keep_the_order_of_t(n_configurations, seed, structure):
    family = compare_all(answers(seed, n_configurations), **structure)
    t = np.abs(family.difference) / family.standard_error
    assert (np.diff(family.p_adjusted[np.argsort(-t)]) >= 0).all()


@given(few_and_many, seeds, st.floats(0.5, 0.99))
@quick
def test_simultaneous_intervals_contain_the_single_ones(n_configurations, seed, level):
    family = compare_all(answers(seed, n_configurations), level)
    assert (family.simultaneous_low <= family.low).all()
    assert (family.simultaneous_high >= family.high).all()


@given(few_and_many, seeds, st.floats(0.5, 0.99))
@quick
def test_an_interval_without_zero_is_a_small_p(n_configurations, seed, level):
    family = compare_all(answers(seed, n_configurations), level)
    outside = (family.low > 0) | (family.high < 0)
    assert (family.p[outside] <= 1 - level + 2 / DRAWS).all()
    assert (family.p[~outside] >= 1 - level - 2 / DRAWS).all()


@given(few_and_many, seeds)
@quick
def test_the_highest_mean_may_always_be_the_best(n_configurations, seed):
    y = answers(seed, n_configurations)
    assert best_set(y)[y.mean(axis=(1, 2)).argmax()]


@given(few_and_many, seeds)
@quick
def test_rank_intervals_hold_the_observed_rank(n_configurations, seed):
    y = answers(seed, n_configurations)
    observed = stats.rankdata(-y.sum(axis=(1, 2)), method="min")
    low, high = rank_intervals(y).T
    assert ((low >= 1) & (low <= observed) & (observed <= high) & (high <= n_configurations)).all()


@given(few_and_many, seeds)
@quick
def test_the_best_are_those_of_first_rank_at_twice_the_error(n_configurations, seed):
    y = answers(seed, n_configurations)
    first = rank_intervals(y, level=0.9)[:, 0] == 1
    assert np.array_equal(best_set(y, level=0.95), first)


@given(few_and_many, seeds)
@quick
def test_every_figure_is_a_number(n_configurations, seed):
    rng = np.random.default_rng(seed)
    y = rng.random((n_configurations, 3, 10)) < rng.choice([0.0, 0.02, 0.5, 1.0], (n_configurations, 1, 1))
    family = compare_all(y)
    assert not any(math.isnan(value) for values in vars(family).values() for value in values)
    assert ((family.p >= 0) & (family.p <= 1)).all()


# One configuration: its intervals, and what its per-image values may be.


def matrix(seed: int, n_seeds: int | None = None) -> Bools:
    """Answers of one configuration; seeds and images matter more in some than in others."""
    rng = np.random.default_rng(seed)
    n_seeds = int(rng.integers(2, 7)) if n_seeds is None else n_seeds
    images, models = rng.choice([0.0, 1.0, 2.0]), rng.choice([0.0, 0.2, 1.0])
    latent = images * rng.normal(size=N_IMAGES) + models * rng.normal(size=(n_seeds, 1))
    return np.asarray(latent + rng.normal(size=(n_seeds, N_IMAGES)) > -0.5)


def said(seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Predicted and true classes, of three of which one is rare."""
    rng, right = np.random.default_rng(seed), matrix(seed)
    labels = rng.choice(3, N_IMAGES, p=(0.6, 0.3, 0.1))
    labels[:3] = range(3)
    return np.where(right, labels, rng.integers(0, 3, right.shape)), labels


def limits(interval: Any) -> tuple[float, float]:
    return interval.low, interval.high


def width(interval: Any) -> float:
    return float(interval.high - interval.low)


VALUES: dict[str, Callable[[int], npt.NDArray[Any]]] = {
    "proportion": matrix,
    "mean": lambda seed: matrix(seed) + np.random.default_rng(seed).normal(size=N_IMAGES),
    "macro F1": lambda seed: f1_values(*said(seed), 3),
    "weighted F1": lambda seed: f1_values(*said(seed), 3, "weighted"),
    "F1 of a class": lambda seed: class_f1_values(*said(seed), 2),
}
every_kind = pytest.mark.parametrize("kind", VALUES)
numbers = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=2, max_size=9)


@given(numbers, shifts, scales)
@often
def test_an_interval_over_seeds_or_splits_moves_with_shift_and_scale(values, shift, scale):
    moved = shift + scale * np.array(values)
    for of in (seed_interval, lambda each: split_interval(each, 0.2)):
        low, high = limits(of(values))
        assert limits(of(moved)) == pytest.approx((shift + scale * low, shift + scale * high), abs=1e-9 * scale + 1e-9)


@given(numbers, st.randoms(use_true_random=False))
@often
def test_order_changes_no_interval_over_seeds_or_splits(values, random):
    shuffled = random.sample(values, len(values))
    for of in (seed_interval, sd_interval, lambda each: split_interval(each, 0.2)):
        assert limits(of(shuffled)) == pytest.approx(limits(of(values)), abs=1e-12)


@given(numbers, st.integers(2, 5))
@often
def test_seeds_or_splits_repeated_as_others_never_widen_their_interval(values, times):
    for of in (seed_interval, sd_interval, lambda each: split_interval(each, 0.2)):
        assert width(of(values * times)) <= width(of(values)) + 1e-12


@given(numbers, st.floats(0, 1), st.floats(0, 1))
@often
def test_the_more_splits_overlap_the_wider_their_interval(values, share, more):
    assert width(split_interval(values, share + more)) >= width(split_interval(values, share))


@given(numbers, shifts, scales)
@often
def test_a_spread_moves_with_the_scale_alone(values, shift, scale):
    found, expected = sd_interval(shift + scale * np.array(values)), sd_interval(values)
    assert limits(found) == pytest.approx((scale * expected.low, scale * expected.high), abs=1e-9 * scale + 1e-9)


@given(seeds, structures, shifts, st.floats(-10, 10).filter(lambda scale: abs(scale) > 1e-3))
@often
def test_a_means_interval_moves_with_shift_and_scale(seed, structure, shift, scale):
    y = VALUES["mean"](seed)
    ends = [shift + scale * end for end in limits(total_interval(y, **structure))]
    assert limits(total_interval(shift + scale * y, **structure)) == pytest.approx(sorted(ends))


@given(seeds, structures)
@often
def test_a_proportion_of_errors_has_the_interval_turned_round(seed, structure):
    y = matrix(seed)
    low, high = limits(total_interval(y, **structure))
    assert limits(total_interval(~y, **structure)) == pytest.approx((1 - high, 1 - low))


@every_kind
@given(seeds, structures)
@often
def test_order_of_seeds_and_images_changes_no_total_interval(kind, seed, structure):
    y = VALUES[kind](seed)
    shuffled, moved = shuffle(y, structure, seed)
    assert vars(total_interval(shuffled, **moved)) == pytest.approx(vars(total_interval(y, **structure)))


@every_kind
@given(seeds, structures, st.integers(2, 5))
@often
def test_seeds_repeated_as_others_never_raise_a_means_variance(kind, seed, structure, times):
    y = VALUES[kind](seed)
    more, less = total_interval(np.tile(y, (times, 1)), **structure), total_interval(y, **structure)
    assert more.variance_of_mean <= less.variance_of_mean * (1 + 1e-9)


@every_kind
@given(seeds, without_folds, st.integers(2, 5))
@often
def test_seeds_repeated_as_others_never_widen_a_total_interval(kind, seed, structure, times):
    y = VALUES[kind](seed)
    more, less = total_interval(np.tile(y, (times, 1)), **structure), total_interval(y, **structure)
    assert width(more) <= width(less) * (1 + 1e-9)


@every_kind
@given(seeds, without_folds, st.integers(2, 5))
@often
def test_images_repeated_as_others_never_raise_a_means_variance(kind, seed, structure, times):
    """Its interval may widen: where the images' share shrinks, the seeds' fewer degrees of freedom count for more."""
    y = VALUES[kind](seed)
    apart = {name: np.concatenate([each + 100 * copy for copy in range(times)]) for name, each in structure.items()}
    more, less = total_interval(np.tile(y, (1, times)), **apart), total_interval(y, **structure)
    assert more.variance_of_mean <= less.variance_of_mean * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["proportion", "mean"])
@given(seeds, without_folds, st.integers(2, 5))
@often
def test_images_repeated_as_others_never_widen_the_interval_of_one_seed(kind, seed, structure, times):
    y = VALUES[kind](seed)[:1]
    apart = {name: np.concatenate([each + 100 * copy for copy in range(times)]) for name, each in structure.items()}
    assert width(total_interval(np.tile(y, (1, times)), **apart)) <= width(total_interval(y, **structure)) + 1e-12


@given(st.integers(2, 6), st.integers(2, 30), seeds)
@often
def test_where_the_only_hit_lies_does_not_matter(n_seeds, n_images, place):
    here, there = np.zeros((2, n_seeds, n_images), dtype=bool)
    here[0, 0] = there.flat[place % there.size] = True
    for kind in (bool, float):
        one, other = total_interval(here.astype(kind)), total_interval(there.astype(kind))
        assert vars(other) == pytest.approx(vars(one))


@given(seeds)
@often
def test_f1_does_not_know_the_numbers_of_classes(seed):
    predicted, labels = said(seed)
    number = np.random.default_rng(seed).permutation(3)
    for average in ("macro", "weighted"):
        renamed = f1_values(number[predicted], number[labels], 3, average)
        assert renamed == pytest.approx(f1_values(predicted, labels, 3, average))


def sure(seed: int) -> tuple[Floats, Bools]:
    """Confidences that are all different, so that no order of images decides, and answers."""
    rng, right = np.random.default_rng(seed), matrix(seed)
    return rng.permuted(np.tile((np.arange(N_IMAGES) + 0.5) / N_IMAGES, (len(right), 1)), axis=1), right


@given(seeds, without_folds)
@often
def test_order_of_seeds_and_images_changes_no_calibration(seed, structure):
    confidence, right = sure(seed)
    (shuffled, moved), (turned, _) = shuffle(confidence, structure, seed), shuffle(right, structure, seed)
    found = calibration_interval(shuffled, turned, **moved)
    assert vars(found) == pytest.approx(vars(calibration_interval(confidence, right, **structure)), abs=1e-7)


@given(seeds, without_folds, st.integers(2, 5))
@often
def test_seeds_repeated_as_others_never_widen_calibrations_interval(seed, structure, times):
    confidence, right = sure(seed)
    more = calibration_interval(np.tile(confidence, (times, 1)), np.tile(right, (times, 1)), **structure)
    less = calibration_interval(confidence, right, **structure)
    assert less.low <= more.low + 1e-9
    assert more.high <= less.high + 1e-9


@given(seeds, without_folds)
@often
def test_errors_doubted_calibrate_like_hits_trusted(seed, structure):
    confidence, right = sure(seed)
    turned = calibration_interval(1 - confidence, ~right, **structure)
    expected = calibration_interval(confidence, right, **structure)
    assert limits(turned) == pytest.approx(limits(expected), abs=1e-7)


def spreads(y: npt.NDArray[Any]) -> list[float]:
    found = sources(y)
    assert found is not None
    return [*vars(found.seed).values(), *vars(found.image).values(), found.residual]


@given(seeds, shifts, scales)
@often
def test_sources_of_spread_move_with_the_scale_alone(seed, shift, scale):
    y = VALUES["mean"](seed)
    assert spreads(shift + scale * y) == pytest.approx([scale * sd for sd in spreads(y)], rel=1e-4, abs=1e-4 * scale)


@given(seeds)
@often
def test_order_of_seeds_and_images_changes_no_source_of_spread(seed):
    y = matrix(seed)
    assert spreads(shuffle(y, {}, seed)[0]) == pytest.approx(spreads(y), abs=1e-7)


@given(seeds)
@often
def test_seeds_and_images_are_sources_alike(seed):
    found, turned = sources(matrix(seed)), sources(matrix(seed).T)
    assert vars(turned.seed) == pytest.approx(vars(found.image), abs=1e-7)
    assert vars(turned.image) == pytest.approx(vars(found.seed), abs=1e-7)
