import numpy as np
import pytest
from scipy import stats

from sweep.statistics import best_set, compare_all, rank_intervals, seed_interval, split_interval, total_interval
from sweep.statistics.families import cross_squares
from sweep.statistics.folds import folds_of_groups, image_squares

FOLDS = np.arange(60) % 5
RNG = np.random.default_rng(3)
Y = RNG.random((4, 3, 60)) < 0.7
APART = Y + 0.3 * RNG.standard_normal((4, 1, 5))[:, :, FOLDS]
"""Folds that differ, by configuration."""


def test_images_within_and_between_folds_are_those_of_an_analysis_of_variance():
    images = APART[0].mean(axis=0)
    squares = image_squares((images - images.mean())[None], FOLDS, 3)
    ratio = stats.f_oneway(*(images[fold == FOLDS] for fold in range(5))).statistic
    within = 3 * sum(((images[fold == FOLDS] - images[fold == FOLDS].mean()) ** 2).sum() for fold in range(5)) / 55
    assert ratio > 1
    assert (squares.within[0, 0], squares.between[0, 0]) == pytest.approx((within, within * ratio))
    assert (squares.df_within, squares.df_between) == (55, 4)


def test_the_larger_of_the_two_is_a_contrasts():
    alike = np.arange(60.0) // 5
    assert image_squares((alike - alike.mean())[None], FOLDS, 1).of(np.ones(1))[1] == 55
    assert cross_squares(APART, folds=FOLDS).image.of(np.array([1.0, -1.0, 0.0, 0.0]))[1] == 4


def test_without_folds_images_are_one_set():
    images = APART[0].mean(axis=0) - APART[0].mean()
    assert image_squares(images[None], None, 3).of(np.ones(1)) == pytest.approx((3 * (images**2).sum() / 59, 59))


def test_what_all_configurations_share_in_a_fold_is_no_difference():
    shared = Y.astype(float) + np.array([0.0, 0.2, -0.2, 0.4, -0.4])[FOLDS]
    ours, alone = (compare_all(values, folds=FOLDS) for values in (shared, Y))
    np.testing.assert_allclose(ours.standard_error, alone.standard_error)


def test_differing_folds_widen_every_interval():
    plain, folded = compare_all(APART), compare_all(APART, folds=FOLDS)
    assert (folded.high - folded.low > plain.high - plain.low).all()
    one, many = total_interval(APART[0]), total_interval(APART[0], folds=FOLDS)
    assert many.high - many.low > one.high - one.low


def test_a_pair_is_its_own_total_interval_in_folds():
    pair = compare_all(APART[:2], folds=FOLDS)
    alone = total_interval(APART[0] - APART[1], folds=FOLDS)
    assert pair.high[0] - pair.low[0] == pytest.approx(alone.high - alone.low)


def test_one_sensitive_configuration_widens_its_own_pairs_most_among_many():
    rng = np.random.default_rng(5)
    y = np.where(rng.random((9, 4, 300)) < 0.7, 1.0, 0.0)
    folds = np.arange(300) % 5
    y[0] += 0.3 * rng.standard_normal(5)[folds]
    plain, folded = compare_all(y), compare_all(y, folds=folds)
    wider = (folded.high - folded.low) / (plain.high - plain.low)
    assert wider[:8].min() > 2
    assert wider[8:].max() < 2


@pytest.mark.parametrize("of", [compare_all, best_set, rank_intervals])
def test_the_numbers_of_folds_are_names_only(of):
    ours, renamed = of(APART, folds=FOLDS), of(APART, folds=7 - 3 * FOLDS)
    np.testing.assert_equal(*(getattr(each, "p_adjusted", each) for each in (ours, renamed)))


def test_groups_belong_to_one_fold_each():
    groups = np.arange(60) // 2
    folds = groups % 3
    np.testing.assert_array_equal(folds_of_groups(folds, groups), np.arange(30) % 3)
    assert cross_squares(Y, groups, folds).n_units == 30
    with pytest.raises(ValueError, match="several folds"):
        total_interval(Y[0], groups=groups, folds=FOLDS)


@pytest.mark.parametrize("folds", [np.zeros(60), np.arange(60), np.arange(30) % 3])
def test_folds_that_are_none_are_refused(folds):
    with pytest.raises(ValueError, match="two folds or more"):
        total_interval(Y[0], folds=folds)


def test_an_interval_over_splits_by_hand():
    """J = 4, s² = 5/3, t(3) = 3.182: half = 3.182 √(5/3 (1/4 + 3/14))."""
    found = split_interval([1.0, 2.0, 3.0, 4.0], test_share=3 / 14)
    assert (found.mean, found.n_splits) == (2.5, 4)
    assert found.high - found.mean == pytest.approx(3.182446 * np.sqrt(5 / 3 * (1 / 4 + 3 / 14)), rel=1e-6)


def test_without_overlap_splits_are_as_good_as_seeds():
    values = [0.7, 0.75, 0.72, 0.8]
    ours, theirs = split_interval(values, test_share=0), seed_interval(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("values", [[0.5], [0.5, np.nan], [[0.5, 0.6]]])
def test_splits_that_tell_nothing_are_refused(values):
    with pytest.raises(ValueError, match="one finite number a split"):
        split_interval(values, test_share=0.2)
