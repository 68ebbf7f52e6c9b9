import itertools
import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sweep.statistics import CrossSquares, cross_squares, group_values, pair_contrasts, two_way

Floats = npt.NDArray[np.float64]


def crossed(seed: int, n_configurations: int = 4, n_seeds: int = 3, n_images: int = 7) -> Floats:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n_images) + rng.normal(size=(n_seeds, 1))
    return shared + rng.normal(size=(n_configurations, n_seeds, n_images))


def of_contrast(squares: CrossSquares, a: Floats) -> tuple[float, float, float]:
    return tuple(float(a @ part @ a) for part in (squares.seed, squares.image.within, squares.residual))


def two_ways(values: Floats) -> tuple[float | None, ...]:
    parts = two_way(values)
    return parts.ms_seed, parts.ms_image, parts.ms_residual


@pytest.mark.parametrize("contrast", [(1, -1, 0, 0), (0, 1, 0, -1), (0.5, 0.5, -0.5, -0.5), (3, -1, -1, -1)])
def test_mean_squares_of_a_contrast_are_an_analysis_of_variances(contrast):
    y, a = crossed(1), np.array(contrast, dtype=float)
    seeds, images = np.indices(y.shape[1:])
    values = np.tensordot(a, y, axes=1)
    frame = pd.DataFrame({"d": values.ravel(), "seed": seeds.ravel(), "image": images.ravel()})
    table = anova_lm(ols("d ~ C(seed) + C(image)", frame).fit())
    assert of_contrast(cross_squares(y), a) == pytest.approx(tuple(table["mean_sq"]))


def test_mean_squares_of_one_configuration_are_the_published_ones():
    """The published example of a 3 × 6 matrix (statsmodels, two-way without replication)."""
    y = [[1, 1, 0, 1, 0, 1], [1, 0, 0, 1, 0, 1], [1, 1, 0, 1, 1, 1]]
    squares = cross_squares([y])
    found = (squares.seed.item(), squares.image.within.item(), squares.residual.item())
    assert found == pytest.approx((0.16666666666666669, 0.5333333333333332, 0.09999999999999999))


def test_mean_squares_without_an_images_part_are_the_published_ones():
    y = [[1, 0, 1, 1, 0, 1, 1, 0], [0, 1, 1, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0, 1, 1]]
    squares = cross_squares([y])
    found = (squares.seed.item(), squares.image.within.item(), squares.residual.item())
    assert found == pytest.approx((0.04166666666666667, 0.0, 0.37499999999999994))


def test_mean_squares_of_every_pair_are_those_of_its_differences():
    y = crossed(2) > 0
    squares = cross_squares(y)
    for (a, b), contrast in zip(itertools.combinations(range(4), 2), pair_contrasts(4), strict=True):
        assert of_contrast(squares, contrast) == pytest.approx(two_ways(y[a].astype(float) - y[b]))


def test_mean_squares_of_groups_are_those_of_the_groups_differences():
    y, groups, a = crossed(3), np.array([0, 0, 4, 4, 4, 9, 2]), np.array([1, 1, -2, 0])
    expected = two_ways(group_values(np.tensordot(a, y, axes=1), groups))
    assert of_contrast(cross_squares(y, groups), a) == pytest.approx(expected)


def test_groups_take_the_images_place():
    assert cross_squares(crossed(3), [0, 0, 1, 1, 2, 2, 2]).n_units == 3


def test_groups_of_unequal_size_keep_the_means():
    y = crossed(4)
    assert cross_squares(y, [0, 0, 0, 0, 1, 1, 2]).means == pytest.approx(y.mean(axis=(1, 2)))


def test_seed_means_are_less_their_configurations_mean():
    y = crossed(5)
    expected = y.mean(axis=2) - y.mean(axis=(1, 2))[:, None]
    assert cross_squares(y).seed_means == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e9 / 3])
def test_without_spread_no_rounding_is_left(value):
    squares = cross_squares(np.full((3, 4, 11), value))
    assert not np.any([squares.seed, squares.image.within, squares.residual])


def test_seeds_that_agree_leave_no_residual():
    y = np.repeat(crossed(6, n_seeds=1), 5, axis=1)
    squares = cross_squares(y)
    assert not np.any([squares.seed, squares.residual])


def test_pairs_are_in_the_order_of_combinations():
    expected = [np.eye(5)[a] - np.eye(5)[b] for a, b in itertools.combinations(range(5), 2)]
    assert np.array_equal(pair_contrasts(5), expected)


def test_one_configuration_has_no_pair():
    assert pair_contrasts(1).shape == (0, 1)


@pytest.mark.parametrize("shape", [(), (6,), (3, 6), (0, 3, 6), (1, 2, 3, 6)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="configurations, seeds, images"):
        cross_squares(np.ones(shape))


@pytest.mark.parametrize("n_seeds", [0, 1])
def test_one_seed_is_refused(n_seeds):
    with pytest.raises(ValueError, match="one seed"):
        cross_squares(np.ones((3, n_seeds, 6)))


@pytest.mark.parametrize("groups", [None, np.zeros(1, dtype=int)])
def test_one_image_is_refused(groups):
    with pytest.raises(ValueError, match="two test images"):
        cross_squares(np.ones((3, 4, 1)), groups)


def test_one_group_is_refused():
    with pytest.raises(ValueError, match="groups of them"):
        cross_squares(crossed(7), np.zeros(7, dtype=int))


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="two test images"):
        cross_squares(np.ones((3, 4, 0)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value):
    y = crossed(8)
    y[1, 2, 3] = value
    with pytest.raises(ValueError, match="finite"):
        cross_squares(y)


@pytest.mark.parametrize("groups", [[0, 1, 2], np.zeros((7, 1), dtype=int), np.arange(8)])
def test_groups_of_another_length_are_refused(groups):
    with pytest.raises(ValueError, match="one integer a test image"):
        cross_squares(crossed(9), groups)
