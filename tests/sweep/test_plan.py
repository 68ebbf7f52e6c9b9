from dataclasses import replace
from pathlib import Path

import pytest

from animefer_core.data.catalog import Catalog, CatalogImage
from animefer_core.data.split import make_split
from animefer_core.errors import InputError
from sweep.plan import divide, grid, plan
from sweep.settings import resolve
from tests.sweep.records import one_split


def trials(**options):
    settings = resolve({"models": "resnet18,vit_b_16", "strategies": "full,partial", "seeds": "1,2", **options})
    return grid(settings, one_split(), weights=dict.fromkeys(settings.models, "random"), threads=1)


def test_the_grid_goes_seed_by_seed():
    assert [config.seed for config in trials()] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len({config.trial_id for config in trials()}) == 8


def test_completed_trials_are_not_planned_and_failed_ones_are():
    first, second, *rest = trials()
    planned = plan(trials(), {first.trial_id: "completed", second.trial_id: "failed"})
    assert planned.to_run == (second, *rest)
    assert planned.present == 1


def test_a_new_seed_leaves_the_other_trials_as_they_are():
    assert {config.trial_id for config in trials()} < {config.trial_id for config in trials(seeds="1,2,3")}


def image(label, number, part=None):
    return CatalogImage(path=f"{label}/{number:02}", label=label, sha256=f"{label}{number:02}", part=part)


CATALOG = Catalog(
    root=Path("faces"), classes=("a", "b"), images=tuple(image(label, n) for label in "ab" for n in range(20))
)


def planned(**options):
    settings = resolve({"models": "resnet18", "strategies": "full", "seeds": "5,6,7", **options})
    return grid(settings, divide(settings, CATALOG), weights={"resnet18": "random"}, threads=1)


def test_the_usual_split_is_drawn_by_42_whatever_the_seeds():
    digests = {config.split_digest for config in planned()}
    assert digests == {make_split(CATALOG, validation_share=6 / 45, test_share=15 / 45, seed=42).digest}


def test_folds_repeat_every_trial_on_each():
    trials = planned(folds=4)
    assert [config.seed for config in trials] == [5] * 4 + [6] * 4 + [7] * 4
    assert len({config.split_digest for config in trials}) == 4


def test_splits_repeat_every_trial_on_each():
    trials = planned(splits="1,42")
    assert [(config.seed, config.split_seed) for config in trials] == [
        (s, split) for s in (5, 6, 7) for split in (1, 42)
    ]
    assert {config.trial_id for config in planned()} < {config.trial_id for config in trials}


def test_shares_repeat_every_trial_and_the_whole_is_the_ordinary_one():
    trials = planned(train_fraction="0.5,1")
    assert [config.train_fraction for config in trials] == [0.5, 1.0] * 3
    assert {config.trial_id for config in planned()} < {config.trial_id for config in trials}


ARMS = {
    "init": [(seed, 5, 5) for seed in (5, 6, 7)],
    "order": [(5, seed, 5) for seed in (5, 6, 7)],
    "augmentation": [(5, 5, seed) for seed in (5, 6, 7)],
    "split": [(5, 5, 5)] * 3,
}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_adds_a_trial_a_seed_and_varies_one_thing(arm):
    usual, added = set(planned()), [config for config in planned(vary=arm) if config.arm != "all"]
    assert set(planned(vary=arm)) - set(added) == usual
    assert [(c.streams.init, c.streams.order, c.streams.augmentation) for c in added] == ARMS[arm]
    assert [(c.arm, c.seed) for c in added] == [(arm, 5), (arm, 6), (arm, 7)]
    assert len({config.split_digest for config in added}) == (3 if arm == "split" else 1)


def test_one_trial_of_a_sweep_has_the_arms_that_it_has_there(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(resolve({"seeds": "5,6,7", "vary": "init,split"}).to_toml())
    alone = planned(config=file, seeds=None, seed="6", model="resnet18", strategy="full", models=None, strategies=None)
    assert {config.trial_id for config in alone} < {config.trial_id for config in planned(vary="init,split")}
    assert [config.arm for config in alone] == ["all", "init", "split"]


@pytest.mark.parametrize(("option", "value"), [("splits", "1,2"), ("vary", "split")])
def test_a_folder_with_all_parts_has_no_split_to_vary(option, value):
    parts = ("train", "validation", "test")
    images = tuple(image(label, n, parts[n % 3]) for label in "ab" for n in range(9))
    settings = resolve({option: value})
    with pytest.raises(InputError, match=f"--{option}.*: faces gives all parts"):
        divide(settings, replace(CATALOG, images=images))
