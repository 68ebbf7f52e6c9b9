"""Strategies that a search found are used with their model, with other seeds, and on their split alone."""

import tomllib
from dataclasses import replace

import pytest
import tomli_w

from animefer_core.errors import InputError
from sweep.plan import grid
from sweep.search.tuned import Searched, check_search_seeds, check_splits, searched_from
from sweep.settings import resolve
from tests.sweep.records import one_split

FACTS = Searched(
    model="vit_s_16",
    strategy="progressive",
    candidates=16,
    epochs=50,
    seeds=(1001,),
    split_digest="s",
    validation_loss=0.9,
    validation_accuracy=0.7,
    start_validation_loss=1.1,
    start_validation_accuracy=0.6,
)
NAME = "progressive_tuned_vit_s_16"


@pytest.fixture
def config(tmp_path):
    """Return a writer of a file with the found strategy, changed as asked."""

    def write(**changes):
        table = {**FACTS.as_dict(), **changes}
        tables = {"strategy": {NAME: {"unfreeze_every": 2}}, "search": {NAME: table}}
        path = tmp_path / "search.toml"
        path.write_text(tomli_w.dumps(tables), encoding="utf-8")
        return path

    return write


def settings_for(config, **options):
    usual = {"config": config, "models": "vit_s_16,resnet18", "strategies": f"progressive,{NAME}"}
    return resolve(usual | options)


def trials(settings, split="s"):
    return grid(
        settings,
        one_split(split),
        weights=dict.fromkeys(settings.models, "random"),
        threads=1,
    )


def test_it_is_trained_with_its_own_model_alone(config):
    names = {trial.name for trial in trials(settings_for(config()))}
    assert names == {"vit_s_16/progressive", "resnet18/progressive", f"vit_s_16/{NAME}"}


def test_what_is_known_of_it_comes_from_the_file_and_goes_back_into_one(config, tmp_path):
    settings = settings_for(config())
    assert settings.searched == {NAME: FACTS}
    assert tomllib.loads(settings.to_toml())["search"][NAME]["candidates"] == 16
    (tmp_path / "sweep.toml").write_text(settings.to_toml())
    assert resolve({"config": tmp_path / "sweep.toml"}).searched == settings.searched


def test_a_sweep_with_a_seed_of_the_search_is_refused(config):
    with pytest.raises(InputError, match=f"--seeds: {NAME} was found with seed 1001"):
        settings_for(config(), seeds="42,1001")


def test_a_sweep_without_the_found_strategy_may_use_any_seed(config):
    assert settings_for(config(), strategies="progressive", seeds="1001").seeds == (1001,)


def test_a_trial_with_a_seed_of_the_search_is_refused(config):
    with pytest.raises(InputError, match="found with seed 1001"):
        resolve({"config": config(), "model": "vit_s_16", "strategy": NAME, "seed": "1001"})


def test_a_found_strategy_without_its_model_is_refused(config):
    with pytest.raises(InputError, match=f"--strategies: {NAME} was found for vit_s_16"):
        settings_for(config(), models="resnet18")


def test_a_model_for_which_nothing_is_left_is_refused(config):
    with pytest.raises(InputError, match=r"--models: .* another model than resnet18"):
        settings_for(config(), strategies=NAME)


def test_another_split_is_refused_for_its_test_images_may_have_been_chosen_by(config):
    settings = settings_for(config())
    check_splits(settings.searched, trials(settings))
    with pytest.raises(InputError, match=f"{NAME} was found on another split"):
        check_splits(settings.searched, trials(settings, split="other"))


def test_a_search_with_a_seed_of_the_sweep_is_refused():
    check_search_seeds((1001, 1002), (42, 1))
    with pytest.raises(InputError, match="--search-seeds: 42 is one of the sweep's --seeds"):
        check_search_seeds((1001, 42), (42, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": 3}, "model is 3"),
        ({"candidates": "many"}, "candidates is 'many'"),
        ({"seeds": []}, r"seeds is \[\]"),
        ({"seeds": [True]}, "seeds is"),
        ({"validation_loss": "low"}, "validation_loss is 'low'"),
        ({"speed": 1}, "no such field 'speed'"),
    ],
)
def test_a_table_that_no_search_wrote_is_named(config, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        settings_for(config(**changes))
    assert f"search.toml: [search.{NAME}]" in str(caught.value)


def test_a_table_that_was_cut_is_named():
    with pytest.raises(InputError, match="split_digest is missing"):
        searched_from(NAME, {name: value for name, value in FACTS.as_dict().items() if name != "split_digest"})


@pytest.mark.parametrize(
    ("text", "words"),
    [("search = 3", r"\[search.NAME\]"), (f"[search.{NAME}]\nmodel = 'a'", rf"\[search.{NAME}\] has no \[strategy")],
)
def test_facts_without_their_strategy_are_refused(tmp_path, text, words):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        resolve({"config": tmp_path / "own.toml"})


def test_a_start_that_failed_has_no_score():
    facts = replace(FACTS, start_validation_loss=None)
    assert "start_validation_loss" not in facts.as_dict()
    assert searched_from(NAME, facts.as_dict()) == facts
