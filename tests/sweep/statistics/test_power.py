import math

import numpy as np
import pytest

from sweep.statistics import components, pair_contrasts, variance_model, what_decides
from sweep.statistics.power import Components

PARTS = Components(seed=4e-4, image=0.09, residual=0.16)


def test_the_seeds_that_are_named_bring_the_standard_error_down_to_what_is_wanted():
    decision = what_decides(0.05, PARTS, 5, 450, critical=2.0)
    assert decision.detectable == pytest.approx(2 * math.sqrt(4e-4 / 5 + 0.09 / 450 + 0.16 / 2250))
    assert 2 * math.sqrt(PARTS.variance(decision.seeds, 450)) <= 0.05
    assert 2 * math.sqrt(PARTS.variance(decision.seeds - 1, 450)) > 0.05 or decision.seeds == 1


def test_the_images_that_are_named_do_too():
    decision = what_decides(0.025, PARTS, 5, 450, critical=2.0)
    assert 2 * math.sqrt(PARTS.variance(5, decision.images)) <= 0.025
    assert 2 * math.sqrt(PARTS.variance(5, decision.images - 1)) > 0.025


def test_below_the_limit_no_number_of_seeds_suffices():
    limit = what_decides(0.1, PARTS, 5, 450, critical=2.0).limit
    assert limit == pytest.approx(2 * math.sqrt(0.09 / 450))
    assert what_decides(0.99 * limit, PARTS, 5, 450, critical=2.0).seeds is None
    assert what_decides(1.01 * limit, PARTS, 5, 450, critical=2.0).seeds is not None


def test_no_number_of_images_makes_up_for_seeds_that_differ():
    assert what_decides(0.01, PARTS, 2, 450, critical=2.0).images is None


def test_components_are_found_in_a_world_that_is_made_of_them():
    rng = np.random.default_rng(0)
    n_seeds, n_images = 200, 400
    y = np.zeros((2, n_seeds, n_images))
    y[0] = (
        0.1 * rng.standard_normal((n_seeds, 1))
        + 0.5 * rng.standard_normal((1, n_images))
        + 0.3 * rng.standard_normal((n_seeds, n_images))
    )
    model, pair = variance_model(y), np.array([[1.0, -1.0]])
    parts = components(model.squares, pair[0], float(model.family(pair).standard_error[0]))
    assert parts.seed == pytest.approx(0.01, rel=0.3)
    assert parts.image == pytest.approx(0.25, rel=0.3)
    assert parts.residual == pytest.approx(0.09, rel=0.05)


@pytest.mark.parametrize("n_configurations", [4, 9])
def test_components_make_up_the_variance_that_a_pair_was_judged_by(n_configurations):
    """So that whoever is undecided is never told to have what is there already."""
    rng = np.random.default_rng(n_configurations)
    y = rng.random((n_configurations, 5, 80)) < rng.uniform(0.5, 0.8, (n_configurations, 5, 1))
    model, contrasts = variance_model(y), pair_contrasts(n_configurations)
    family = model.family(contrasts)
    for contrast, error in zip(contrasts, family.standard_error, strict=True):
        assert components(model.squares, contrast, error).variance(5, 80) >= error**2 * (1 - 1e-9)


def test_training_images_are_bought_by_neither_seeds_nor_test_images():
    parts = Components(seed=4e-4, image=0.09, residual=0.16, training=1e-4)
    decision = what_decides(0.03, parts, 5, 450, critical=2.0)
    assert 2 * math.sqrt(parts.variance(5, decision.images)) <= 0.03
    assert decision.limit == pytest.approx(2 * math.sqrt(0.09 / 450 + 1e-4))
    assert what_decides(0.019, parts, 5, 450, critical=2.0).images is None


@pytest.mark.parametrize("n_configurations", [2, 8])
def test_what_folds_do_is_taken_for_neither_images_nor_seeds(n_configurations):
    rng = np.random.default_rng(8)
    folds = np.repeat(np.arange(5), 100)
    found = []
    for _ in range(40):
        shape = (n_configurations, 4, folds.size)
        y = 0.3 * rng.standard_normal(shape) + 0.05 * rng.standard_normal((n_configurations, 1, 5))[..., folds]
        model = variance_model(y, folds=folds)
        contrast = pair_contrasts(n_configurations)[0]
        error = model.family(contrast[None], 0.95).standard_error[0]
        found.append(components(model.squares, contrast, error))
    # A difference of two: variance of a fold 2 x 0.05², of five folds' mean a fifth of it; of images nothing.
    assert np.median([each.training for each in found]) == pytest.approx(2 * 0.05**2 / 5, rel=0.6)
    assert np.median([each.image for each in found]) < 0.01


@pytest.mark.parametrize("n_configurations", [2, 3, 8])
def test_components_under_folds_are_never_below_nothing(n_configurations):
    rng = np.random.default_rng(9)
    folds = np.repeat(np.arange(3), 30)
    for _ in range(60):
        # Seeds that differ, and nothing else: all that is left after the images is theirs.
        y = rng.standard_normal((n_configurations, 3, 1)) + 0.1 * rng.standard_normal((n_configurations, 3, folds.size))
        model = variance_model(y, folds=folds)
        for contrast in pair_contrasts(n_configurations):
            parts = components(model.squares, contrast, model.family(contrast[None], 0.95).standard_error[0])
            assert min(parts.seed, parts.image, parts.residual, parts.training) >= 0
