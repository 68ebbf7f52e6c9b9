import numpy as np
import pytest

from animefer_core.errors import InputError
from sweep.frames import read_sweep
from sweep.report.compare import _advice, compare
from sweep.statistics.power import Components, what_decides
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(seeds=(42, 1, 2, 3, 4))))


def test_the_difference_is_told_with_what_it_rests_on(sweep):
    a, b = sweep.configurations[0], sweep.configurations[3]
    points = 100 * (np.mean(a.values("accuracy")) - np.mean(b.values("accuracy")))
    words = compare(sweep, a.name, b.name)
    assert words.startswith(f"{a.name} is {abs(points):.1f} points {'better' if points > 0 else 'worse'} than {b.name}")
    assert "5 seeds × 30 images" in words
    assert "95 % total interval" in words
    assert "not corrected for others" in words


def test_turned_round_it_says_the_same(sweep):
    first, second = compare(sweep, "resnet18/full", "vit_s_16/full"), compare(sweep, "vit_s_16/full", "resnet18/full")
    assert first.split("Not decided")[1:] == second.split("Not decided")[1:]


def test_one_seed_decides_nothing(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42,))))
    assert "Not decided: with one seed" in compare(sweep, "resnet18/full", "vit_s_16/full")


def test_an_unknown_configuration_is_named_with_its_neighbours(sweep):
    with pytest.raises(InputError, match=r"'resnet18/fool'.*perhaps resnet18/full"):
        compare(sweep, "resnet18/fool", "vit_s_16/full")


def test_a_configuration_with_too_few_seeds_is_refused(tmp_path):
    failed = [("resnet18", "full", 2), ("resnet18", "full", 3)]
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42, 1, 2, 3, 4), failed=failed)))
    with pytest.raises(InputError, match="3 of 5 seeds"):
        compare(sweep, "resnet18/full", "vit_s_16/full")


@pytest.mark.parametrize(
    ("difference", "folds", "words"),
    [
        (0.10, 0.01, "about 5 seeds would decide it"),
        (0.02, 0.01, "5 folds, which test all 3,000 images, would"),
        (0.02, 0.03, "a gap would have to be 3.0 points"),
    ],
)
def test_the_advice_names_what_to_buy(difference, folds, words):
    parts = Components(seed=0.01, image=0.0625, residual=0.0)
    decision = what_decides(difference, parts, 3, 450, critical=2.0)
    assert words in _advice(difference, decision, folds, 3000)
