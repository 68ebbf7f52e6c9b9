import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from sweep.statistics import best_of, best_set, rank_intervals, ranks_of, variance_model
from sweep.statistics.families import Bools
from tests.simulation.world import LARGE, World

Floats = npt.NDArray[np.float64]


def ladder(seed: int, n_configurations: int, step: float = 0.35, n_seeds: int = 4, n_images: int = 50) -> Floats:
    """Configurations in no order, each `step` better than the next worse."""
    rng = np.random.default_rng(seed)
    apart = step * rng.permutation(n_configurations)[:, None, None]
    noise = 0.2 * rng.normal(size=(n_configurations, n_seeds, 1)) + rng.normal(size=(n_configurations, 1, n_images))
    return apart + noise + 2 * rng.normal(size=n_images) + rng.normal(size=(n_configurations, n_seeds, n_images))


class KnownErrors:
    """Configurations of known means and standard errors, compared one by one with Bonferroni's correction."""

    def __init__(self, means: Floats, error: float) -> None:
        self.means, self.error = means, error

    def certainly(self, rival: int, error_rate: float) -> tuple[Bools, Bools]:
        z = (self.means - self.means[rival]) / (self.error * math.sqrt(2))
        limit = stats.norm.isf(error_rate / (len(self.means) - 1))
        return z > limit, z < -limit


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n_configurations", [4, 10])
def test_the_best_are_those_than_which_none_is_certainly_better(n_configurations, level):
    model = variance_model(ladder(1, n_configurations))
    expected = []
    for each in range(n_configurations):
        better, _ = model.certainly(each, 1 - level)
        expected.append(sum(better) == 0)
    assert best_of(model, n_configurations, level).tolist() == expected
    assert 0 < sum(expected) < n_configurations


@pytest.mark.parametrize("n_configurations", [4, 10])
def test_ranks_count_the_certainly_better_and_worse_at_half_the_error_each(n_configurations):
    model = variance_model(ladder(2, n_configurations))
    found = ranks_of(model, n_configurations, 0.9)
    for each, (low, high) in enumerate(found):
        better, worse = model.certainly(each, 0.05)
        assert (low, high) == (1 + sum(better), n_configurations - sum(worse))


def test_ranks_of_means_that_are_known_are_those_of_counting():
    model = KnownErrors(np.array([0.0, 1.0, 1.1, 5.0]), 0.1)
    assert ranks_of(model, 4).tolist() == [[4, 4], [2, 3], [2, 3], [1, 1]]


def test_best_of_means_that_are_known_are_those_of_counting():
    model = KnownErrors(np.array([0.0, 5.0, 4.9, 5.1]), 0.1)
    assert best_of(model, 4).tolist() == [False, True, True, True]


@pytest.mark.parametrize("n_configurations", [2, 5, 8, 12])
def test_a_clear_ladder_is_ranked_in_full(n_configurations):
    y = ladder(3, n_configurations, step=20)
    order = stats.rankdata(-y.mean(axis=(1, 2))).astype(int)
    assert rank_intervals(y).tolist() == [[rank, rank] for rank in order]
    assert best_set(y).tolist() == (order == 1).tolist()


@pytest.mark.parametrize("n_configurations", [2, 5, 8, 12])
@pytest.mark.parametrize("value", [False, True, 0.1])
def test_equal_answers_leave_every_rank_open(n_configurations, value):
    y = np.full((n_configurations, 3, 10), value)
    assert best_set(y).all()
    assert (rank_intervals(y) == [1, n_configurations]).all()


def test_one_configuration_is_the_best():
    y = ladder(4, 1)
    assert best_set(y).tolist() == [True]
    assert rank_intervals(y).tolist() == [[1, 1]]


@pytest.mark.parametrize("n_configurations", [5, 9])
def test_a_higher_level_leaves_more_open(n_configurations):
    y = ladder(5, n_configurations)
    low, high = (rank_intervals(y, level=level) for level in (0.6, 0.99))
    assert (high[:, 0] <= low[:, 0]).all()
    assert (high[:, 1] >= low[:, 1]).all()
    assert (best_set(y, level=0.99) >= best_set(y, level=0.6)).all()


@pytest.mark.parametrize("n_configurations", [5, 9])
def test_images_repeated_within_groups_change_no_rank(n_configurations):
    y = ladder(6, n_configurations)
    repeated, groups = np.repeat(y, 5, axis=2), np.repeat(np.arange(50), 5)
    assert np.array_equal(rank_intervals(repeated, groups), rank_intervals(y))
    assert np.array_equal(best_set(repeated, groups), best_set(y))


@pytest.mark.parametrize("rank", [best_set, rank_intervals])
def test_the_same_generator_gives_the_same_bytes(rank):
    y, layout = ladder(7, 9), (np.arange(9) // 3, np.arange(9) % 3)
    first, second = (rank(y, layout=layout, rng=np.random.default_rng(3)).tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("rank", [best_set, rank_intervals])
def test_without_a_generator_the_seed_is_fixed(rank):
    y = ladder(8, 9)
    assert rank(y).tobytes() == rank(y, rng=np.random.default_rng(0)).tobytes()


@pytest.mark.parametrize("rank", [best_set, rank_intervals])
@pytest.mark.parametrize("n_configurations", [3, 9])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y[0], "configurations, seeds, images"),
        (lambda y: y[:, :1], "one seed"),
        (lambda y: y[:, :, :1], "two test images"),
        (lambda y: np.where(y > 0, math.nan, 0.0), "finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(rank, n_configurations, change, words):
    with pytest.raises(ValueError, match=words):
        rank(change(ladder(9, n_configurations)))


@pytest.mark.parametrize("rank", [best_set, rank_intervals])
@pytest.mark.parametrize("n_configurations", [3, 9])
@pytest.mark.parametrize("argument", ["groups", "layout"])
def test_groups_and_layout_of_another_length_are_refused(rank, n_configurations, argument):
    wrong = {"groups": np.zeros(49, dtype=int), "layout": (np.arange(4), np.arange(4))}
    with pytest.raises(ValueError, match=argument):
        rank(ladder(10, n_configurations), **{argument: wrong[argument]})


@pytest.mark.parametrize("n_configurations", [4, 9])
def test_the_best_and_the_true_ranks_are_held(n_configurations):
    """Held at 0.95 less three standard errors; the first configuration is the best by two points."""
    rng, draws, truth = np.random.default_rng(11), 40, np.full(n_configurations, 0.75)
    truth[0] = 0.77
    world = World(accuracies=truth, seed_sd=np.full(n_configurations, LARGE), n_images=200)
    best = ranks = 0
    for _ in range(draws):
        model = variance_model(world.draw(rng, 5))
        best += best_of(model, n_configurations)[0]
        ranks += ranks_of(model, n_configurations)[0, 0] == 1
    assert min(best, ranks) / draws >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / draws)
