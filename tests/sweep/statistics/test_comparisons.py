import itertools
import math
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from sweep.statistics import Family, compare_all, variance_model
from sweep.statistics.moderation import ModeratedVariances
from sweep.statistics.posterior import PosteriorVariances
from tests.simulation.world import LARGE, SMALL, STUDY_LAYOUT, equal, study

Bools = npt.NDArray[np.bool_]


def answers(seed: int, n_configurations: int, n_seeds: int = 3, n_images: int = 60) -> Bools:
    return equal(n_configurations, LARGE, n_images).draw(np.random.default_rng(seed), n_seeds)


def as_bytes(family: Family) -> bytes:
    return b"".join(values.tobytes() for values in vars(family).values())


@pytest.mark.parametrize(
    ("n_configurations", "estimator"), [(1, ModeratedVariances), (7, ModeratedVariances), (8, PosteriorVariances)]
)
def test_eight_configurations_are_enough_for_the_posterior(n_configurations, estimator):
    assert isinstance(variance_model(answers(1, n_configurations)), estimator)


@pytest.mark.parametrize("n_configurations", [4, 9])
def test_differences_are_in_the_order_of_combinations(n_configurations):
    y = answers(2, n_configurations)
    means = y.mean(axis=(1, 2))
    expected = [means[a] - means[b] for a, b in itertools.combinations(range(n_configurations), 2)]
    assert compare_all(y).difference == pytest.approx(expected)


def test_one_configuration_has_nothing_to_compare():
    assert {values.size for values in vars(compare_all(answers(3, 1))).values()} == {0}


@pytest.mark.parametrize("n_configurations", [2, 7, 8, 17])
@pytest.mark.parametrize("value", [False, True, 0.1])
def test_equal_answers_everywhere_are_no_difference(n_configurations, value):
    family = compare_all(np.full((n_configurations, 3, 10), value))
    assert (family.p == 1).all()
    assert (family.p_adjusted == 1).all()
    assert not np.any([family.low, family.high, family.simultaneous_low, family.simultaneous_high])


@pytest.mark.parametrize("n_configurations", [3, 8])
def test_one_configuration_always_right_gives_numbers(n_configurations):
    y = answers(4, n_configurations)
    y[0] = True
    assert np.isfinite([*vars(compare_all(y)).values()]).all()


@pytest.mark.parametrize("n_configurations", [3, 8])
def test_seeds_that_agree_give_numbers(n_configurations):
    y = np.repeat(answers(5, n_configurations)[:, :1], 3, axis=1)
    family = compare_all(y)
    assert np.isfinite([*vars(family).values()]).all()
    assert (family.standard_error > 0).all()


@pytest.mark.parametrize("n_configurations", [2, 3, 8])
def test_a_collapsed_run_gives_numbers(n_configurations):
    y = answers(6, n_configurations)
    y[0, 0] = False
    assert np.isfinite([*vars(compare_all(y)).values()]).all()


@pytest.mark.parametrize("n_configurations", [2, 8])
@pytest.mark.parametrize(("n_seeds", "n_images"), [(2, 2), (2, 450), (10, 2)])
def test_the_fewest_seeds_and_images_give_numbers(n_configurations, n_seeds, n_images):
    y = np.random.default_rng(7).normal(size=(n_configurations, n_seeds, n_images))
    assert np.isfinite([*vars(compare_all(y)).values()]).all()


@pytest.mark.parametrize("n_configurations", [3, 9])
def test_groups_of_one_image_change_nothing(n_configurations):
    y = answers(8, n_configurations)
    alone, grouped = compare_all(y), compare_all(y, groups=np.arange(60)[::-1])
    assert np.array([*vars(grouped).values()]) == pytest.approx(np.array([*vars(alone).values()]))


@pytest.mark.parametrize("n_configurations", [3, 9])
def test_images_repeated_within_groups_count_once(n_configurations):
    y = answers(9, n_configurations)
    repeated = compare_all(np.repeat(y, 5, axis=2), groups=np.repeat(np.arange(60), 5))
    assert np.array([*vars(repeated).values()]) == pytest.approx(np.array([*vars(compare_all(y)).values()]))


@pytest.mark.parametrize("n_configurations", [4, 16])
def test_the_same_generator_gives_the_same_bytes(n_configurations):
    y, layout = answers(10, n_configurations), tuple(names[:n_configurations] for names in STUDY_LAYOUT)
    first, second = (compare_all(y, layout=layout, rng=np.random.default_rng(4)) for _ in range(2))
    assert as_bytes(first) == as_bytes(second)


def test_another_generator_gives_another_p():
    y = answers(10, 9)
    first, second = (compare_all(y, rng=np.random.default_rng(seed)) for seed in (4, 5))
    assert as_bytes(first) != as_bytes(second)


def test_without_a_generator_the_seed_is_fixed():
    y = answers(11, 9)
    assert as_bytes(compare_all(y)) == as_bytes(compare_all(y))


def test_numpys_own_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    compare_all(answers(12, 9))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("n_configurations", [3, 9])
def test_the_matrix_is_left_alone(n_configurations):
    y = np.random.default_rng(13).normal(size=(n_configurations, 3, 20))
    before = y.copy()
    compare_all(y)
    assert np.array_equal(y, before)


def test_wider_levels_give_wider_intervals():
    y = answers(14, 9)
    narrow, wide = compare_all(y, 0.8), compare_all(y, 0.99)
    assert (wide.high > narrow.high).all()
    assert (wide.simultaneous_high > narrow.simultaneous_high).all()


def test_names_in_a_layout_are_labels_only():
    y = answers(15, 16)
    models, strategies = STUDY_LAYOUT
    first, second = compare_all(y, layout=(models, strategies)), compare_all(y, layout=(7 * models - 3, strategies + 2))
    assert as_bytes(first) == as_bytes(second)


def test_the_studys_clear_differences_are_found_by_the_posterior():
    y = study(SMALL, 3000).draw(np.random.default_rng(16), 10)
    family = compare_all(y, layout=STUDY_LAYOUT)
    first, second = np.triu_indices(16, 1)
    truth = study(SMALL).accuracies[first] - study(SMALL).accuracies[second]
    clear = np.abs(truth) > 0.05
    assert (family.p_adjusted[clear] < 0.05).all()
    assert (np.sign(family.difference[clear]) == np.sign(truth[clear])).all()


def test_a_hundred_configurations_fit_into_memory():
    y = answers(17, 100, 5, 450)
    tracemalloc.start()
    family = compare_all(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert family.p_adjusted.shape == (4950,)
    assert peak < 2**29


@pytest.mark.parametrize("n_configurations", [3, 9])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y[0], "configurations, seeds, images"),
        (lambda y: y[:, :1], "one seed"),
        (lambda y: y[:, :, :1], "two test images"),
        (lambda y: np.where(y, math.nan, 0.0), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(n_configurations, change, words):
    with pytest.raises(ValueError, match=words):
        compare_all(change(answers(18, n_configurations)))


@pytest.mark.parametrize("n_configurations", [3, 9])
def test_groups_of_another_length_are_refused(n_configurations):
    with pytest.raises(ValueError, match="groups"):
        compare_all(answers(19, n_configurations), groups=np.zeros(59, dtype=int))


@pytest.mark.parametrize("n_configurations", [3, 9])
@pytest.mark.parametrize("shape", [(2, 2), (2, 8), (2, 10), (1, 9), (3, 9), (1, 3), (3, 3), (2, 9, 1)])
def test_a_layout_of_another_length_is_refused(n_configurations, shape):
    with pytest.raises(ValueError, match="layout"):
        compare_all(answers(20, n_configurations), layout=tuple(np.zeros(shape, dtype=int)))
