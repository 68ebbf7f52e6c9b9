"""Every model gets the same budget."""

import pytest

from animefer_core.errors import InputError
from animefer_core.training.strategies import STUDY
from sweep.search.searches import check_request, divided_for
from sweep.settings import resolve
from tests.sweep.search.candidates import SEED, searches, settings_of

MODELS = "resnet18,vit_s_16,vit_b_16"


def test_every_model_is_given_the_same_candidates_seeds_epochs_and_grace():
    of_strategy = {}
    for search in searches(settings_of(models=MODELS, strategies="full,progressive"), budget=4, seeds=(1001, 1002)):
        given = (
            [candidate.strategy for candidate in search.candidates],
            [[trial.seed for trial in candidate.trials] for candidate in search.candidates],
            (search.epochs, search.grace),
        )
        of_strategy.setdefault(search.start.strategy.name, []).append(given)
    assert {name: len(given) for name, given in of_strategy.items()} == {"full": 3, "progressive": 3}
    for first, *others in of_strategy.values():
        assert [first] * 2 == others
        assert len(first[0]) == 4
        assert first[1] == [[1001, 1002]] * 4


def test_the_strategy_as_it_stands_is_the_first():
    (search,) = searches(settings_of())
    assert search.start.strategy == STUDY["full"]
    assert search.start.trials[0].strategy == STUDY["full"]
    assert search.start.number == 1


def test_the_start_is_the_trial_that_a_sweep_would_run_with_that_seed():
    """The machine is divided for the largest batch, but nothing trains with it that did not draw it."""
    (search,) = searches(settings_of())
    assert search.start.trials[0].strategy.batch_size == 32


@pytest.mark.parametrize(("epochs", "grace"), [(1, 1), (4, 1), (6, 2), (40, 10)])
def test_nothing_is_stopped_in_the_first_quarter(epochs, grace):
    (search,) = searches(settings_of(epochs=epochs))
    assert (search.epochs, search.grace) == (epochs, grace)


def test_a_winners_name_names_the_model():
    assert [search.name for search in searches(settings_of(models=MODELS))] == [
        f"full_tuned_{model}" for model in MODELS.split(",")
    ]


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "own.toml").write_text("[strategy.full_tuned_resnet18]\nblocks = 1\n")
    settings = resolve({"config": tmp_path / "own.toml", "models": "resnet18", "strategies": "full", "out": tmp_path})
    with pytest.raises(InputError, match="'full_tuned_resnet18' is taken"):
        check_request(settings, 4)


def test_a_budget_that_tries_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="--budget 1"):
        check_request(settings_of(out=tmp_path), 1)


def test_a_sweeps_folder_is_refused(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(InputError, match="the folder is a sweep's"):
        check_request(settings_of(out=tmp_path), 4)


def test_the_seeds_of_the_search_are_its_own():
    (search,) = searches(settings_of())
    assert {trial.seed for trial in search.trials} == {SEED}


def test_a_search_is_on_the_studys_split_whatever_the_sweep_varies():
    asked = settings_of(train_fraction="0.5,1", vary="init,split")
    divided = divided_for(asked, (1001,))
    assert (divided.train_fraction, divided.vary, divided.splits) == ((1.0,), (), (42,))
    assert divided_for(settings_of(folds=3), (1001,)).folds is None
