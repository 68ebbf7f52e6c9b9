"""What came of candidates is written as it comes, read again, and judged by validation loss alone."""

import json

import pytest

from animefer_core.errors import InputError
from animefer_core.training.loop import TrainingDivergedError
from sweep.search.ledger import Ledger
from tests.sweep.search.candidates import failed, finished, searches, settings_of


@pytest.fixture
def search():
    (search,) = searches(settings_of(), budget=3)
    return search


def ledger_of(folder, search, *records):
    ledger = Ledger(folder, [search])
    for record in records:
        ledger.keep(record)
    return ledger


def trials(search):
    return [candidate.trials[0] for candidate in search.candidates]


def test_the_lowest_validation_loss_of_any_epoch_wins(search, tmp_path):
    first, second, third = trials(search)
    records = finished(first, 0.9), finished(second, 0.7, 1.5), finished(third, 0.8)
    assert ledger_of(tmp_path, search, *records).winner(search) == search.candidates[1]


def test_the_strategy_as_it_stands_wins_a_tie(search, tmp_path):
    ledger = ledger_of(tmp_path, search, *(finished(config, 0.9) for config in reversed(trials(search))))
    assert ledger.winner(search) is search.start


def test_a_diverged_candidate_is_the_worst_and_not_an_end(search, tmp_path):
    first, second, third = trials(search)
    diverged = failed(second, TrainingDivergedError("the training loss is nan at epoch 1, step 2"))
    ledger = ledger_of(tmp_path, search, finished(first, 0.9), diverged, finished(third, 0.8))
    assert ledger.winner(search) is search.candidates[2]
    assert ledger.is_final(second.trial_id)
    assert ledger.result(second.trial_id)["error"].startswith("TrainingDivergedError: the training loss is nan")


def test_where_all_diverge_nothing_wins(search, tmp_path):
    ledger = ledger_of(tmp_path, search, *(failed(c, TrainingDivergedError("nan")) for c in trials(search)))
    assert ledger.winner(search) is None


def test_a_failure_of_another_kind_is_tried_again(search, tmp_path):
    ledger = ledger_of(tmp_path, search, failed(search.start.trials[0], MemoryError("out of memory")))
    assert not ledger.is_final(search.start.trials[0].trial_id)


def test_a_candidate_that_was_stopped_counts_as_tried_and_does_not_win(search, tmp_path):
    first, second, third = trials(search)
    records = finished(first, 0.9), finished(second, 0.1, stopped=True), finished(third, 0.8)
    ledger = ledger_of(tmp_path, search, *records)
    assert ledger.is_final(second.trial_id)
    assert ledger.winner(search) is search.candidates[2]
    assert ledger.count(search, "stopped") == 1


def test_before_all_are_tried_nothing_has_won(search, tmp_path):
    first, second, _ = trials(search)
    assert ledger_of(tmp_path, search, finished(first, 0.9), finished(second, 0.8)).winner(search) is None


def test_seeds_are_averaged(tmp_path):
    (search,) = searches(settings_of(), budget=2, seeds=(1001, 1002))
    losses = iter([0.8, 0.8, 0.1, 1.7])
    ledger = ledger_of(tmp_path, search, *(finished(config, next(losses)) for config in search.trials))
    assert [ledger.loss(candidate) for candidate in search.candidates] == pytest.approx([0.8, 0.9])
    assert ledger.winner(search) is search.start


def test_another_call_knows_what_is_there(search, tmp_path):
    first, *_ = trials(search)
    ledger_of(tmp_path, search, finished(first, 0.9, 0.7))
    again = Ledger(tmp_path, [search])
    assert again.is_final(first.trial_id)
    assert again.result(first.trial_id)["validation_losses"] == [0.9, 0.7]


def test_the_file_has_every_candidate_with_its_config_and_what_came_of_it(search, tmp_path):
    first, second, third = trials(search)
    records = finished(first, 0.9), finished(second, 1.4, stopped=True), finished(third, 0.8, 0.85)
    ledger_of(tmp_path, search, *records)
    content = json.loads((tmp_path / "search.json").read_text())
    described = content["searches"]["full_tuned_resnet18"]
    assert (described["budget"], described["seeds"], described["winner"]) == (3, [1001], 3)
    rates = [each["strategy"]["lr_head"] for each in described["candidates"]]
    assert rates == [candidate.strategy.lr_head for candidate in search.candidates]
    results = [content["trials"][each["trials"][0]] for each in described["candidates"]]
    assert [each["outcome"] for each in results] == ["finished", "stopped", "finished"]
    assert [each["epochs_run"] for each in results] == [1, 1, 2]
    assert [each["validation_loss"] for each in results] == [0.9, 1.4, 0.8]
    assert results[0]["config"] == first.as_dict()
    assert all({"validation_accuracy", "best_epoch"} <= set(each) for each in results)


def test_searches_of_an_earlier_call_stay(tmp_path):
    ledger_of(tmp_path, searches(settings_of())[0]).write()
    ledger_of(tmp_path, searches(settings_of(strategies="partial"))[0]).write()
    written = json.loads((tmp_path / "search.json").read_text())["searches"]
    assert set(written) == {"full_tuned_resnet18", "partial_tuned_resnet18"}


def test_a_damaged_file_is_named(search, tmp_path):
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(InputError, match=r"search\.json is no valid JSON"):
        Ledger(tmp_path, [search])
