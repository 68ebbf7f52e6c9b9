import numpy as np
import pandas as pd
import pytest

from animefer_core.errors import InputError
from sweep.frames import read_sweep
from sweep.importing import import_predictions
from sweep.report.compare import Folds, advice, compare
from sweep.report.tables import summary
from sweep.statistics.power import Components, what_decides
from tests.sweep.exported import digits
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(seeds=(42, 1, 2, 3, 4))))


def test_the_difference_is_told_with_what_it_rests_on(sweep):
    a, b = sweep.configurations[0], sweep.configurations[3]
    points = 100 * (np.mean(a.values("accuracy")) - np.mean(b.values("accuracy")))
    words = compare(sweep, a.name, b.name).words
    assert words.startswith(f"{a.name} is {abs(points):.1f} points {'better' if points > 0 else 'worse'} than {b.name}")
    assert "5 seeds × 30 images" in words
    assert "95 % total interval" in words
    assert "not corrected for others" in words


def test_turned_round_it_says_the_same(sweep):
    first = compare(sweep, "resnet18/full", "vit_s_16/full").words
    second = compare(sweep, "vit_s_16/full", "resnet18/full").words
    assert first.split("Not decided")[1:] == second.split("Not decided")[1:]


def test_one_seed_decides_nothing(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42,))))
    words = compare(sweep, "resnet18/full", "vit_s_16/full").words
    assert "Not decided: with one seed" in words
    assert "95 % interval of the test images alone" in words


def test_an_unknown_configuration_is_named_with_its_neighbours(sweep):
    with pytest.raises(InputError, match=r"'resnet18/fool'.*perhaps resnet18/full"):
        compare(sweep, "resnet18/fool", "vit_s_16/full")


def test_a_configuration_that_left_the_family_is_compared_by_itself(tmp_path):
    failed = [("resnet18", "full", 2), ("resnet18", "full", 3)]
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42, 1, 2, 3, 4), failed=failed)))
    words = compare(sweep, "resnet18/full", "vit_s_16/full").words
    assert "3 seeds × 30 images" in words
    assert "estimated from these two alone" in words


def test_configurations_without_a_common_seed_are_refused(tmp_path):
    missing = [("resnet18", "full", 42), ("vit_s_16", "full", 1), ("vit_s_16", "full", 2)]
    sweep = read_sweep(plant(tmp_path, Plan(missing=missing)))
    with pytest.raises(InputError, match="no seed in common"):
        compare(sweep, "resnet18/full", "vit_s_16/full")


def test_a_configuration_without_results_is_refused(tmp_path):
    missing = [("resnet18", "full", seed) for seed in Plan.seeds]
    with pytest.raises(InputError, match="resnet18/full has no results yet"):
        compare(read_sweep(plant(tmp_path, Plan(missing=missing))), "resnet18/full", "vit_s_16/full")


@pytest.mark.parametrize(
    ("difference", "folds", "words"),
    [
        (0.10, Folds(images=3000, detectable=0.01, decides=True), "about 5 seeds in all would decide it"),
        (
            0.02,
            Folds(images=3000, detectable=0.01, decides=True),
            "5 folds (--folds 5), which test all 3,000 images, would, at even chances",
        ),
        (0.02, Folds(images=3000, detectable=0.03, decides=False), "a gap would have to be 3.0 points"),
        (0.02, None, "points on this test set, and more test images alone will not either"),
    ],
)
def test_the_advice_names_what_to_buy(difference, folds, words):
    parts = Components(seed=0.01, image=0.0625, residual=0.0)
    assert words in advice(what_decides(difference, parts, 3, 450, critical=2.0), folds)


def test_where_all_images_are_tested_more_of_them_are_named():
    parts = Components(seed=1e-6, image=0.0625, residual=0.0)
    assert "about 628 test images in all would, at even chances" in advice(
        what_decides(0.02, parts, 3, 450, critical=2.0), None
    )


def test_a_limit_of_nothing_is_not_named():
    parts = Components(seed=0.01, image=0.0, residual=0.0)
    assert advice(what_decides(0.05, parts, 3, 450, critical=2.0), None).endswith(
        "about 16 seeds in all would decide it, at even chances."
    )


def test_equal_predictions_need_no_advice(tmp_path):
    table = digits().query("model == 'forest'")
    pd.concat([table, table.assign(model="again")]).to_csv(tmp_path / "made.csv", index=False)
    import_predictions(tmp_path / "made.csv", tmp_path / "out")
    words = compare(read_sweep(tmp_path / "out"), "forest/5_trees", "again/5_trees").words
    assert words.startswith("forest/5_trees and again/5_trees are equally accurate (no interval: nothing varied;")
    assert words.endswith("not corrected for others).")


def test_groups_are_what_would_be_needed_where_images_belong_together():
    parts = Components(seed=1e-6, image=0.0625, residual=0.0)
    assert "about 628 groups of test images in all" in advice(
        what_decides(0.02, parts, 3, 450, critical=2.0), None, True
    )


def test_another_condition_than_the_studys_is_named(tmp_path):
    plan = Plan(models=("resnet18",), strategies=("linear_probe", "full"), folds=3, seeds=(1, 2))
    words = compare(read_sweep(plant(tmp_path, plan)), "resnet18/full", "resnet18/linear_probe").words
    assert words.endswith("All of it on 3 folds, 100 % of the training images.")


def test_the_means_are_those_of_the_seeds_that_are_compared(tmp_path):
    failed = [("resnet18", "full", 2), ("resnet18", "full", 3)]
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42, 1, 2, 3, 4), failed=failed)))
    found = compare(sweep, "resnet18/full", "vit_s_16/full")
    first, second, difference = found.lines
    other = next(each for each in sweep.configurations if each.name == "vit_s_16/full")
    of_seeds = dict(zip(other.seeds, other.values("accuracy"), strict=True))
    assert second.value == pytest.approx(100 * np.mean([of_seeds[seed] for seed in (42, 1, 4)]))
    assert difference.value == pytest.approx(first.value - second.value)
    assert all(line.low < line.value < line.high for line in found.lines)
    assert (found.n_seeds, found.n_images) == (3, 30)


def test_where_all_seeds_are_compared_the_intervals_are_the_summarys(sweep):
    found = compare(sweep, "resnet18/full", "vit_s_16/full")
    table = summary(sweep).set_index(["model", "strategy"])
    for line in found.lines[:2]:
        row = table.loc[tuple(line.name.split("/"))]
        expected = [100 * row[f"accuracy_{end}"] for end in ("mean", "total_ci_low", "total_ci_high")]
        assert [line.value, line.low, line.high] == pytest.approx(expected)
