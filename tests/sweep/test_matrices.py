import numpy as np
import pytest

from sweep.frames import read_sweep
from sweep.importing import import_predictions
from sweep.matrices import paired
from sweep.report.differences import comparisons
from sweep.report.notes import notes
from tests.sweep.exported import digits
from tests.sweep.records import Plan, plant

SEEDS = (42, 1, 2, 3, 4)


def matrices_of(folder, **plan):
    return paired(read_sweep(plant(folder, Plan(seeds=SEEDS, **plan))))


def test_rows_and_columns_are_paired(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=SEEDS)))
    matrices = paired(sweep)
    assert matrices.seeds[0] == SEEDS
    assert matrices.left_out == ()
    for number, each in enumerate(matrices.configurations):
        np.testing.assert_array_equal(matrices.values("accuracy")[number], each.outcomes.correct)
        np.testing.assert_allclose(matrices.values("loss")[number].mean(axis=1), each.values("loss"))
        np.testing.assert_allclose(matrices.values("f1_macro")[number].mean(axis=1), each.values("f1_macro"))
        np.testing.assert_allclose(matrices.values("f1_weighted")[number].mean(axis=1), each.values("f1_weighted"))


def test_one_missing_seed_of_five_is_left_out_for_all(tmp_path):
    matrices = matrices_of(tmp_path, missing=[("resnet18", "full", 2)])
    assert matrices.seeds[0] == (42, 1, 3, 4)
    assert len(matrices.configurations) == 4


def test_a_configuration_that_would_cost_two_seeds_of_five_leaves(tmp_path):
    matrices = matrices_of(tmp_path, failed=[("resnet18", "full", 2), ("resnet18", "full", 3)])
    assert matrices.seeds[0] == SEEDS
    assert [each.name for each in matrices.left_out] == ["resnet18/full"]


def test_of_two_sets_of_seeds_the_larger_stays(tmp_path):
    missing = [("resnet18", name, seed) for name in ("linear_probe", "full") for seed in (42, 1, 2)]
    missing += [("vit_s_16", name, seed) for name in ("linear_probe", "full") for seed in (3, 4)]
    matrices = matrices_of(tmp_path, missing=missing)
    assert {each.model for each in matrices.left_out} == {"resnet18"}
    assert matrices.n_seeds == 3


def test_nobody_leaves_an_unfinished_sweep_whose_seeds_are_level(tmp_path):
    missing = [(m, s, seed) for m in Plan.models for s in Plan.strategies for seed in (3, 4)]
    matrices = matrices_of(tmp_path, missing=missing)
    assert matrices.left_out == ()
    assert matrices.seeds[0] == (42, 1, 2)


def test_two_planned_seeds_are_enough_for_two(tmp_path):
    matrices = paired(read_sweep(plant(tmp_path, Plan(seeds=(1, 2)))))
    assert matrices.seeds[0] == (1, 2)
    assert matrices.left_out == ()


def test_a_sweep_without_results_has_no_matrices(tmp_path):
    missing = [(m, s, seed) for m in Plan.models for s in Plan.strategies for seed in SEEDS]
    assert matrices_of(tmp_path, missing=missing) is None


def test_a_single_group_of_test_images_compares_nothing(tmp_path):
    n_images = 6 * 17
    matrices = matrices_of(tmp_path, groups=["all"] * n_images)
    assert matrices.metrics == ()


def test_layout_numbers_models_and_strategies(tmp_path):
    models, strategies = matrices_of(tmp_path).layout
    assert models.tolist() == [0, 0, 1, 1]
    assert strategies.tolist() == pytest.approx([1, 0, 1, 0])


def imported_with_seeds_apart(folder, by):
    """Import predictions of two models of which the second's seeds have numbers that are `by` higher."""
    table = digits().copy()
    table.loc[table["model"] == "forest", "seed"] += by
    table.to_csv(folder / "made.csv", index=False)
    import_predictions(folder / "made.csv", folder / "out")
    return read_sweep(folder / "out")


def test_imported_seeds_of_other_numbers_are_matched_in_their_order(tmp_path):
    sweep = imported_with_seeds_apart(tmp_path, by=10)
    matrices = paired(sweep)
    assert (matrices.seeds, matrices.left_out) == (((10, 11, 12), (0, 1, 2)), ())
    for number, each in enumerate(matrices.configurations):
        np.testing.assert_array_equal(matrices.values("accuracy")[number], each.outcomes.correct)
    assert comparisons(matrices)["p_adjusted"].notna().all()
    assert "seeds-not-paired" in [note.code for note in notes(sweep)]


def test_imported_seeds_of_equal_numbers_are_paired(tmp_path):
    sweep = imported_with_seeds_apart(tmp_path, by=0)
    assert paired(sweep).seeds == ((0, 1, 2), (0, 1, 2))
    assert "seeds-not-paired" not in [note.code for note in notes(sweep)]


def test_seeds_of_a_sweep_are_never_matched_by_order(tmp_path):
    """What failed in a sweep is missing: its seeds do have something in common."""
    missing = [("resnet18", name, seed) for name in ("linear_probe", "full") for seed in (42, 1)]
    assert paired(read_sweep(plant(tmp_path, Plan(seeds=SEEDS, missing=missing)))).seeds_are_paired
