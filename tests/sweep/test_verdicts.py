"""Verdicts from intervals and draws, against formulas written out and other people's implementations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from sweep.statistics import total_interval
from sweep.verdicts import (
    Bounds,
    Region,
    all_of,
    chance,
    chance_verdict,
    difference_values,
    log_ratio,
    mean_bounds,
    rank_correlation,
    resample,
    share_values,
    spreads,
    swap_verdict,
    swaps,
)

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 5, "supported"), (-5, -0.1, "contradicted"), (-1, 1, "undecided"), (math.nan, math.nan, "undecided")],
)
def test_a_direction_goes_by_the_side_of_the_interval(low, high, verdict):
    assert Region(low=0.0).verdict(Bounds(estimate=0, low=low, high=high)) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-1, 1, "supported"),
        (2.1, 3, "contradicted"),
        (-3, -2.1, "contradicted"),
        (1, 3, "undecided"),
        (-3, 3, "undecided"),
    ],
)
def test_an_equivalence_needs_the_whole_interval(low, high, verdict):
    assert Region(low=-2, high=2).verdict(Bounds(estimate=0, low=low, high=high)) == verdict


def test_a_sure_loss_contradicts_a_peak_from_inside_the_margin():
    peak = Region(low=-2, high=2, refuted_below=0.0)
    assert peak.verdict(Bounds(estimate=-1, low=-1.5, high=-0.5)) == "contradicted"
    assert peak.verdict(Bounds(estimate=-0.1, low=-0.5, high=0.3)) == "supported"


@given(st.lists(st.sampled_from(["supported", "contradicted", "undecided"]), min_size=1))
def test_a_claim_needs_all_its_parts(verdicts):
    found = all_of(verdicts)
    assert (found == "supported") == (set(verdicts) == {"supported"})
    assert (found == "contradicted") == ("contradicted" in verdicts)


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_bounds_are_the_total_interval(groups):
    y = RNG(1).normal(size=(4, 40))
    expected = total_interval(y, 0.9, groups)
    assert mean_bounds(y, 0.9, groups) == Bounds(estimate=expected.mean, low=expected.low, high=expected.high)


@pytest.mark.parametrize(("y", "groups"), [(np.ones((3, 9)), None), (np.eye(3)[:, :1], None), (np.eye(3), [7, 7, 7])])
def test_no_spread_or_a_single_unit_gives_no_limits(y, groups):
    found = mean_bounds(y, 0.95, groups)
    assert found.estimate == pytest.approx(y.mean())
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def two_parts():
    rng = RNG(2)
    seed = rng.normal(0, 0.3, (5, 1))
    return seed + rng.normal(1, 1, (5, 60)), seed + rng.normal(0, 2, (5, 90))


def test_difference_values_average_to_every_seeds_difference():
    a, b = two_parts()
    assert difference_values(a, b).mean(axis=1) == pytest.approx(a.mean(axis=1) - b.mean(axis=1))


def test_difference_values_have_the_variance_of_two_samples():
    """One seed, many images: s²/n + s²/m, Welch's."""
    a, b = (part[:1] for part in two_parts())
    found = total_interval(difference_values(a, b)).variance_of_mean
    assert found == pytest.approx(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size, rel=0.03)


def test_share_values_average_to_the_share():
    rng = RNG(3)
    whole = (rng.random((4, 50)) < 0.5).astype(float)
    part = whole * (rng.random((4, 50)) < 0.3)
    assert share_values(part, whole).mean() == pytest.approx(part.sum() / whole.sum())


def test_share_values_have_the_ratios_variance():
    """Against the jackknife over images."""
    rng = RNG(4)
    whole = rng.random((1, 200)) < 0.6
    part = whole & (rng.random((1, 200)) < 0.3)
    without = [np.delete(part, i).sum() / np.delete(whole, i).sum() for i in range(200)]
    jackknife = 199 * np.var(without)
    found = total_interval(share_values(part.astype(float), whole.astype(float))).variance_of_mean
    assert found == pytest.approx(jackknife, rel=0.02)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to have a share of"):
        share_values(np.zeros((2, 3)), np.zeros((2, 3)))


def layout(rows, columns, noise, seed=0, n_seeds=5, n_images=300):
    """Return (rows, columns, seeds, images) values: effects of both, and noise of images and of single answers."""
    rng = RNG(seed)
    cells = np.add.outer(rows, columns)
    images = rng.normal(0, noise, (len(rows), len(columns), 1, n_images))
    return cells[:, :, None, None] + images + rng.normal(0, noise, (len(rows), len(columns), n_seeds, n_images))


def test_spreads_without_noise_are_the_variances_of_the_means():
    rows, columns = np.array([0.0, 1.0, 2.0]), np.array([0.0, 10.0])
    found = spreads(np.broadcast_to(np.add.outer(rows, columns)[:, :, None, None], (3, 2, 4, 5)).copy())
    assert (found.rows, found.columns) == pytest.approx((rows.var(ddof=1), columns.var(ddof=1)))
    assert found.shares == pytest.approx((2 * 2 / 154, 150 / 154, 0))


def test_spreads_are_not_swollen_by_noise():
    """Over many data sets the spread of the rows has the mean of the true one, where that of their means has not."""
    rows, columns = np.array([0.0, 0.6, 1.2]), np.zeros(4)
    drawn = [layout(rows, columns, 3.0, seed, n_images=50) for seed in range(1000)]
    found = np.array([spreads(y).rows for y in drawn])
    plain = np.array([y.mean(axis=(1, 2, 3)).var(ddof=1) for y in drawn])
    error = plain.std() / math.sqrt(len(drawn))
    assert plain.mean() > rows.var(ddof=1) + 4 * error
    assert abs(found.mean() - rows.var(ddof=1)) < 4 * error


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_log_ratio_is_about_that_of_the_true_spreads(factor):
    effects = np.array([-1.0, 0.0, 0.5, 1.0])
    found = log_ratio(layout(effects, factor * effects, 0.5), 0.95)
    assert found.estimate == pytest.approx(2 * math.log(factor), abs=0.15)
    assert found.low < found.estimate < found.high


def test_turning_the_layout_turns_the_ratio():
    y = layout(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5]), 1.0)
    one, other = log_ratio(y, 0.95), log_ratio(y.swapaxes(0, 1), 0.95)
    assert (one.estimate, one.low) == pytest.approx((-other.estimate, -other.high))


def test_the_jackknife_is_students_t_on_the_deletions_of_seeds_and_of_tens_of_images():
    y = layout(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5]), 1.0)
    seeds = [log_ratio(np.delete(y, seed, axis=2), 0.95).estimate for seed in range(5)]
    images = [log_ratio(np.delete(y, range(first, first + 10), axis=3), 0.95).estimate for first in range(0, 300, 10)]
    of_seeds, of_images = 4 * np.var(seeds), 29 * np.var(images)
    df = (of_seeds + of_images) ** 2 / (of_seeds**2 / 4 + of_images**2 / 29)
    found = log_ratio(y, 0.95)
    half = stats.t.ppf(0.975, df) * math.sqrt(of_seeds + of_images)
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half))


def test_a_group_of_images_is_deleted_whole():
    y = np.repeat(layout(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5]), 1.0, n_images=60), 5, axis=3)
    by_group, by_image = log_ratio(y, 0.95, np.arange(300) // 5), log_ratio(y, 0.95)
    assert by_group.high - by_group.low > by_image.high - by_image.low


def test_two_seeds_have_no_jackknife():
    found = log_ratio(layout(np.arange(3.0), np.arange(2.0), 1.0, n_seeds=2), 0.95)
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low)


def test_draws_are_fixed_by_their_generator():
    one, other = (resample(5, 30, None, RNG(0)).images for _ in range(2))
    assert np.array_equal(one, other)


def test_seeds_and_images_are_drawn_with_replacement_and_apart():
    found = resample(4, 30, None, RNG(0), 500)
    assert found.seeds.sum(axis=1) == pytest.approx(np.ones(500))
    assert (found.images.sum(axis=1) == 30).all()
    assert abs(np.corrcoef(found.seeds[:, 0], found.images[:, 0])[0, 1]) < 0.2


def test_images_of_a_group_are_drawn_together():
    groups = np.array([3, 3, 8, 8, 8, 1])
    images = resample(2, 6, groups, RNG(0), 50).images
    assert (images[:, 0] == images[:, 1]).all()
    assert (images[:, 2:5] == images[:, [2]]).all()


def test_bootstrapped_means_spread_as_seeds_and_images_do():
    """Of independent effects of seed and image: σ²_seed/R + σ²_image/N."""
    rng = RNG(5)
    seed, image = rng.normal(0, 1, (20, 1)), rng.normal(0, 4, (1, 300))
    drawn = resample(20, 300, None, RNG(0), 4000).means((seed + image)[None])
    assert drawn.var() == pytest.approx(seed.var() / 20 + image.var() / 300, rel=0.1)


def test_means_within_a_class_are_those_of_its_images():
    y = RNG(6).random((2, 3, 40))
    within = np.arange(40) < 10
    draws = resample(3, 40, None, RNG(0), 20)
    expected = [
        [draws.seeds[b] @ (y[k][:, :10] @ draws.images[b, :10]) / draws.images[b, :10].sum() for k in range(2)]
        for b in range(20)
    ]
    assert draws.means(y, within) == pytest.approx(np.array(expected))


def test_f1_of_a_draw_is_scikit_learns():
    rng = RNG(7)
    labels, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, (2, 4, 60))
    draws = resample(4, 60, None, RNG(0), 5)
    expected = [
        [
            draws.seeds[b]
            @ [f1_score(labels, row, labels=[1], average="macro", sample_weight=draws.images[b]) for row in rows]
            for rows in predicted
        ]
        for b in range(5)
    ]
    assert draws.f1(predicted, labels, 1) == pytest.approx(np.array(expected))


def of_draws(*shares):
    """Return (1000 draws, parts), each true in a share of the draws; the draws of the first come first."""
    return np.arange(1000)[:, None] < 1000 * np.array(shares)


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.975, "supported"), (0.974, "undecided"), (0.013, "undecided"), (0.012, "contradicted")],
)
def test_a_chance_decides_at_its_limits(share, verdict):
    """Two parts share the error of a contradiction: 0.0125 each."""
    holds = of_draws(1.0, share)
    assert chance(holds) == share
    assert chance_verdict(holds, ~holds) == verdict


def test_ties_decide_nothing():
    never = of_draws(0.0, 0.0)
    assert chance_verdict(never, never) == "undecided"
    assert swap_verdict(never, never) == "undecided"


def test_objections_that_hold_in_turn_contradict_nothing():
    """Of 80 parts some fails in every draw, and each holds in nearly all."""
    fails = np.arange(1000)[:, None] % 80 == np.arange(80)
    assert fails.any(axis=1).all()
    assert chance_verdict(~fails, fails) == "undecided"


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.988, "supported"), (0.987, "undecided"), (0.5, "undecided"), (0.02, "contradicted")]
)
def test_a_swap_is_one_pairs(share, verdict):
    swapped = of_draws(0.0, share)
    assert swap_verdict(~swapped, swapped) == verdict


def test_pairs_that_swap_in_turn_are_no_change_of_order():
    swapped = np.column_stack([of_draws(0.5), ~of_draws(0.5)])
    assert swap_verdict(~swapped, swapped) == "undecided"


def test_swaps_are_of_pairs_and_ties_are_neither():
    same, swapped = swaps(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0, 3.0]]))
    assert same.tolist() == [[True, True, False]]
    assert swapped.tolist() == [[False, False, False]]
    assert swaps(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]))[1].tolist() == [[True]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=8))
def test_rank_correlation_is_spearmans(pairs):
    a, b = np.array(pairs, dtype=float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(rank_correlation(a[None], b[None])).all()
    else:
        assert rank_correlation(a[None], b[None])[0] == pytest.approx(stats.spearmanr(a, b).statistic)
