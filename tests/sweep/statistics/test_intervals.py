import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from sweep.statistics import (
    brier_values,
    calibration_interval,
    calibration_values,
    class_f1_values,
    equal_mass_bins,
    f1_values,
    group_values,
    log_probabilities,
    loss_values,
    seed_interval,
    total_interval,
    two_way,
)

FIXTURES = Path(__file__).parents[3].parent / "shared" / "fixtures.json"


@pytest.fixture(scope="module")
def fixtures() -> dict[str, Any]:
    if not FIXTURES.exists():
        pytest.skip("../shared/fixtures.json is not beside the project")
    return {entry["name"]: entry for entry in json.loads(FIXTURES.read_text())}


def matrix(seed: int, n_seeds: int = 5, n_images: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=n_images)
    return rng.normal(size=(n_seeds, n_images)) + difficulty > -0.5


def test_seed_interval_is_the_published_one(fixtures):
    entry = fixtures["student_t_interval"]
    interval = seed_interval(entry["input"], entry["level"])
    assert interval is not None
    assert {name: getattr(interval, name) for name in entry["expected"]} == pytest.approx(entry["expected"])


def test_seed_interval_is_scipys():
    values = np.random.default_rng(1).normal(size=7)
    interval = seed_interval(values, 0.9)
    assert interval is not None
    expected = stats.t.interval(0.9, 6, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_one_seed_has_no_seed_interval():
    assert seed_interval([0.7]) is None


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [0.5, math.inf]])
def test_seed_interval_refuses_what_is_no_number(values):
    with pytest.raises(ValueError, match="finite number a seed"):
        seed_interval(values)


@pytest.mark.parametrize("name", ["two_way_mean", "two_way_mean_at_the_floor"])
def test_two_way_components_are_the_published_ones(fixtures, name):
    entry = fixtures[name]
    expected = {key.removeprefix("satterthwaite_"): value for key, value in entry["expected"].items()}
    parts = two_way(entry["input"])
    assert {key: getattr(parts, key) for key in expected} == pytest.approx(expected)


def test_two_way_components_are_those_of_least_squares():
    y = np.random.default_rng(3).normal(size=(4, 9)) + np.arange(9)
    seeds, images = np.repeat(np.eye(4), 9, axis=0), np.tile(np.eye(9), (4, 1))

    def left(design: np.ndarray) -> float:
        fitted = design @ np.linalg.lstsq(design, y.ravel(), rcond=None)[0]
        return float(np.sum((y.ravel() - fitted) ** 2))

    both, parts = left(np.hstack([seeds, images])), two_way(y)
    found = (parts.ms_seed, parts.ms_image, parts.ms_residual)
    assert found == pytest.approx(((left(images) - both) / 3, (left(seeds) - both) / 8, both / 24))


def test_two_way_needs_two_units():
    with pytest.raises(ValueError, match="two test images"):
        two_way([[1.0], [2.0]])


@pytest.mark.parametrize("name", ["proportion_total_interval", "proportion_total_interval_all_correct"])
def test_total_interval_of_a_proportion_is_the_published_one(fixtures, name):
    entry = fixtures[name]
    interval = total_interval(entry["input"], entry["level"])
    assert {key: getattr(interval, key) for key in entry["expected"]} == pytest.approx(entry["expected"])


def test_total_interval_of_one_seed_is_clopper_and_pearsons():
    y = matrix(2, n_seeds=1)
    interval = total_interval(y)
    expected = stats.binomtest(int(y.sum()), y.size).proportion_ci(0.95, method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_total_interval_of_a_mean_and_one_seed_is_students():
    values = np.random.default_rng(4).normal(size=(1, 30))
    interval = total_interval(values)
    expected = stats.t.interval(0.95, 29, loc=values.mean(), scale=stats.sem(values[0]))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_without_variance_a_mean_has_no_width():
    interval = total_interval(np.full((3, 10), 0.1))
    assert (interval.low, interval.high, interval.df) == (interval.mean, interval.mean, None)


def test_variances_whose_squares_vanish_have_a_width():
    values = np.random.default_rng(7).random((3, 20)) * 1e-90
    tiny, usual = total_interval(values), total_interval(values * 1e90)
    assert tiny.df == pytest.approx(usual.df)
    assert (tiny.low, tiny.high) == pytest.approx((usual.low * 1e-90, usual.high * 1e-90))


def test_a_latin_square_of_hits_counts_as_its_images():
    interval = total_interval(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]))
    assert interval.effective_n == 3


def test_with_groups_a_proportion_counts_as_korn_and_graubard_say():
    """Their effective size with the groups' own numbers: p(1−p)/V times the ratio of t by G − 1 and by V's df."""
    rng = np.random.default_rng(16)
    images, groups = rng.normal(size=40), rng.integers(0, 9, 40)
    y = rng.normal(size=(5, 40)) + images + 0.5 * rng.normal(size=(5, 1)) > 0
    p, n_groups = y.mean(), len(set(groups.tolist()))
    sums = np.array([[(row - p)[groups == each].sum() for each in set(groups.tolist())] for row in y])
    units = p + n_groups / 40 * sums
    seeds, images = units.mean(axis=1) - p, units.mean(axis=0) - p
    rest = units - p - seeds[:, None] - images
    squares = np.array([n_groups * np.sum(seeds**2) / 4, 5 * np.sum(images**2) / (n_groups - 1)])
    squares = np.append(squares, np.sum(rest**2) / (4 * (n_groups - 1)))
    total = squares @ (1, 1, -1)
    df = total**2 / np.sum(squares**2 / (4, n_groups - 1, 4 * (n_groups - 1)))
    ratio = stats.t.ppf(0.975, n_groups - 1) / stats.t.ppf(0.975, df)
    assert total > squares.max()
    assert total_interval(y, groups=groups).effective_n == pytest.approx(p * (1 - p) * 5 * n_groups / total * ratio**2)


@pytest.mark.parametrize("groups", [None, np.arange(40) // 2])
def test_answers_that_hardly_vary_count_as_seeds_times_images_and_no_more(groups):
    y = np.tile([[True, False], [False, True]], 20)
    y[:, 0], y[:, 3] = True, False
    assert total_interval(y, groups=groups).effective_n == 2 * 40


@pytest.mark.parametrize("answer", [0, 1])
def test_where_all_answers_are_alike_groups_count_as_one_each(answer):
    interval = total_interval(np.full((3, 10), answer), groups=np.arange(10) // 2)
    expected = stats.binomtest(5 * answer, 5).proportion_ci(0.95, method="exact")
    assert (interval.effective_n, interval.low, interval.high) == pytest.approx((5, expected.low, expected.high))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.array([[0.5, math.nan], [1.0, 0.2]]), "finite"),
        (np.array([[2, 0], [1, 1]]), "0 and 1"),
        (np.array([1, 0, 1]), "seeds, units"),
    ],
)
def test_total_interval_refuses_what_it_cannot_read(y, words):
    with pytest.raises(ValueError, match=words):
        total_interval(y)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_a_proportions_interval_stays_inside_and_has_a_width(seed, n_seeds, n_images):
    rng = np.random.default_rng(seed)
    interval = total_interval(rng.random((n_seeds, n_images)) < rng.random())
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.low < interval.high


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
@example(seed=3567344)
def test_order_of_seeds_and_images_does_not_matter(seed):
    rng, y = np.random.default_rng(seed), matrix(seed)
    shuffled = rng.permutation(rng.permutation(y, axis=0), axis=1)
    assert vars(total_interval(shuffled)) == pytest.approx(vars(total_interval(y)))


@given(st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_a_means_interval_moves_with_shift_and_scale(shift, scale):
    y = np.random.default_rng(5).normal(size=(3, 20))
    before, after = total_interval(y), total_interval(shift + scale * y)
    assert (after.low, after.high) == pytest.approx((shift + scale * before.low, shift + scale * before.high))


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_groups_of_one_image_change_nothing(n_seeds):
    y = matrix(6, n_seeds)
    assert vars(total_interval(y, groups=np.arange(40))) == pytest.approx(vars(total_interval(y)))


def test_groups_of_unequal_size_keep_the_mean():
    y = matrix(7).astype(float)
    assert group_values(y, np.repeat(np.arange(4), (1, 2, 7, 30))).mean(axis=1) == pytest.approx(y.mean(axis=1))


def test_images_repeated_within_groups_count_once():
    y = matrix(8, n_images=20)
    repeated = total_interval(np.repeat(y, 5, axis=1), groups=np.repeat(np.arange(20), 5))
    assert (repeated.low, repeated.high) == pytest.approx((total_interval(y).low, total_interval(y).high))


def test_f1_values_are_the_published_ones(fixtures):
    entry = fixtures["macro_f1_linearised"]
    values = f1_values(entry["input"]["predictions"], entry["input"]["labels"], 3)
    assert values == pytest.approx(np.array(entry["expected"]["values"]))


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_mean_of_f1_values_is_sklearns_f1(average):
    rng = np.random.default_rng(9)
    labels, predicted = rng.integers(0, 4, 60), rng.integers(0, 4, (3, 60))
    expected = [f1_score(labels, row, average=average) for row in predicted]
    assert f1_values(predicted, labels, 4, average).mean(axis=1) == pytest.approx(expected)


def test_a_class_without_test_images_is_left_out_of_macro_f1():
    labels, predicted = np.array([0, 0, 1, 1, 1]), np.array([[0, 2, 1, 1, 0]])
    expected = f1_score(labels, predicted[0], labels=[0, 1], average="macro")
    assert f1_values(predicted, labels, 3).mean() == pytest.approx(expected)


def test_class_f1_values_average_to_sklearns_and_over_classes_to_the_macro_values():
    rng = np.random.default_rng(9)
    labels, predicted = rng.integers(0, 4, 60), rng.integers(0, 4, (3, 60))
    of_classes = np.stack([class_f1_values(predicted, labels, one) for one in range(4)])
    expected = [[f1_score(labels == one, row == one) for row in predicted] for one in range(4)]
    assert of_classes.mean(axis=2) == pytest.approx(np.array(expected))
    assert of_classes.mean(axis=0) == pytest.approx(f1_values(predicted, labels, 4))


def test_a_class_that_was_never_said_has_an_f1_of_nothing():
    assert class_f1_values([[0, 0, 0]], [0, 0, 1], 1).tolist() == [[0, 0, 0]]


def test_a_class_without_test_images_has_no_f1():
    with pytest.raises(ValueError, match="no test image"):
        class_f1_values([[0, 1]], [0, 0], 1)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_values_are_the_limit_of_the_jackknifes(average):
    rng = np.random.default_rng(10)
    labels = rng.integers(0, 3, 600)
    predicted = np.where(rng.random(600) < 0.7, labels, rng.integers(0, 3, 600))
    whole = f1_score(labels, predicted, average=average)
    without = [
        f1_score(np.delete(labels, i), np.delete(predicted, i), average=average, labels=[0, 1, 2]) for i in range(60)
    ]
    pseudo = 600 * whole - 599 * np.array(without)
    assert f1_values(predicted[None], labels, 3, average)[0, :60] == pytest.approx(pseudo, abs=0.02)


def test_weighted_f1_values_know_that_the_shares_of_classes_vary():
    """Shares .75, .2 and .05, of which 9, 5 and 2 in 10 are right: an image's own class moves its weight."""
    rng = np.random.default_rng(17)
    labels = rng.permutation(np.repeat([0, 1, 2], (750, 200, 50)))
    right = rng.random(1000) < np.array([0.9, 0.5, 0.2])[labels]
    predicted = np.where(right, labels, (labels + 1) % 3)
    images = [
        int(place)
        for one in range(3)
        for hit in (True, False)
        for place in [np.argmax((labels == one) & (right == hit))]
    ]
    whole = f1_score(labels, predicted, average="weighted")
    without = [f1_score(np.delete(labels, i), np.delete(predicted, i), average="weighted") for i in images]
    pseudo = 1000 * whole - 999 * np.array(without)
    assert f1_values(predicted[None], labels, 3, "weighted")[0, images] == pytest.approx(pseudo, abs=0.05)


def test_loss_values_are_minus_the_log_of_the_labels_probability():
    logits, labels = np.random.default_rng(11).normal(size=(2, 5, 3)), np.array([0, 2, 1, 1, 0])
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = -np.log(probability[:, np.arange(5), labels])
    assert loss_values(log_probabilities(logits), labels) == pytest.approx(expected)


def test_brier_score_runs_from_sure_and_right_to_sure_and_wrong():
    log_p = log_probabilities(np.array([[[900.0, 0.0], [900.0, 0.0]]]))
    assert brier_values(log_p, np.array([0, 1])).tolist() == [[0, 2]]


def test_brier_score_of_three_classes_by_hand():
    """.5² + (.3 − 1)² + .2² = .78, and (.5 − 1)² + .3² + .2² = .38."""
    log_p = np.log([[[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]])
    assert brier_values(log_p, np.array([1, 0])) == pytest.approx(np.array([[0.78, 0.38]]))


@pytest.mark.parametrize("n_images", [8, 50, 97])
def test_every_calibration_value_is_its_bins_square_and_the_images_influence(n_images):
    rng = np.random.default_rng(18)
    confidence = rng.choice(np.linspace(0.2, 1, 30), (3, n_images))
    correct = rng.random((3, n_images)) < 0.6
    n_bins = min(15, n_images // 4)
    for row, values in enumerate(calibration_values(confidence, correct)):
        bins: dict[int, list[int]] = {}
        for rank, image in enumerate(sorted(range(n_images), key=lambda i: confidence[row, i])):
            bins.setdefault(rank * n_bins // n_images, []).append(image)
        for images in bins.values():
            d = [confidence[row, i] - correct[row, i] for i in images]
            m = sum(d) / len(d)
            square = m**2 - sum((each - m) ** 2 for each in d) / (len(d) - 1) / len(d)
            assert values[images] == pytest.approx(np.array([square + 2 * m * (each - m) for each in d]))


def test_calibrations_limits_are_roots_of_the_squares_by_groups():
    rng = np.random.default_rng(19)
    confidence, groups = rng.uniform(0.6, 1.0, (4, 200)), np.arange(200) // 10
    correct = rng.random((4, 20)).repeat(10, axis=1) < 0.4
    squared = total_interval(calibration_values(confidence, correct), groups=groups)
    found = calibration_interval(confidence, correct, groups=groups)
    assert squared.low > 0
    assert (found.low**2, found.high**2) == pytest.approx((squared.low, squared.high))


@pytest.mark.parametrize("n_images", [8, 61, 450])
def test_bins_hold_equally_many_images_from_the_least_sure_up(n_images):
    confidence = np.random.default_rng(n_images).random((3, n_images))
    bins = equal_mass_bins(confidence)
    for sure, of_image in zip(confidence, bins, strict=True):
        sizes = np.bincount(of_image)
        assert len(sizes) == min(15, n_images // 4)
        assert sizes.max() - sizes.min() <= 1
        assert (np.diff(of_image[np.argsort(sure)]) >= 0).all()


def test_too_few_images_have_no_bins():
    with pytest.raises(ValueError, match="at least 8"):
        equal_mass_bins(np.full((2, 7), 0.5))


def test_mean_of_calibration_values_is_the_debiased_square():
    rng = np.random.default_rng(12)
    confidence, correct = rng.random((1, 90)), rng.random((1, 90)) < 0.6
    bins = np.array_split(np.argsort(confidence[0], kind="stable"), 15)
    gaps = [confidence[0, rows] - correct[0, rows] for rows in bins]
    expected = sum(d.size / 90 * (d.mean() ** 2 - d.var(ddof=1) / d.size) for d in gaps)
    assert calibration_values(confidence, correct).mean() == pytest.approx(expected)


def test_calibration_error_finds_a_gap_of_two_tenths():
    rng = np.random.default_rng(13)
    confidence = rng.uniform(0.4, 1.0, (5, 4000))
    interval = calibration_interval(confidence, rng.random((5, 4000)) < confidence - 0.2)
    assert interval.low < 0.2 < interval.high
    assert interval.high - interval.low < 0.06


def test_a_calibrated_models_limits_reach_zero():
    rng = np.random.default_rng(14)
    confidence = rng.uniform(0.4, 1.0, (5, 1000))
    assert calibration_interval(confidence, rng.random((5, 1000)) < confidence).low == 0


def test_calibration_needs_eight_images():
    with pytest.raises(ValueError, match="at least 8"):
        calibration_values(np.full((2, 7), 0.5), np.ones((2, 7)))


def test_total_interval_covers_the_accuracy_on_new_images():
    """A world where images are shared by the seeds; the seeds' own t interval covers about 0.7 of it."""
    rng, draws, accuracy, spread = np.random.default_rng(15), 400, 0.78, 0.1
    mean = stats.norm.ppf(accuracy) * math.sqrt(2**2 + 1 + 0.8**2 + spread**2)
    hits = 0
    for _ in range(draws):
        image = rng.normal(scale=math.sqrt(2**2 + 1), size=450)
        seed, noise = rng.normal(scale=spread, size=(5, 1)), rng.normal(scale=0.8, size=(5, 450))
        interval = total_interval(mean + image + seed + noise > 0)
        hits += interval.low <= accuracy <= interval.high
    allowance = 3 * math.sqrt(0.95 * 0.05 / draws)
    assert 0.95 - allowance <= hits / draws <= min(1, 0.975 + allowance)
