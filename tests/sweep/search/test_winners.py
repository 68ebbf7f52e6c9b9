"""The file of winners is one for `animefer sweep --config`."""

from dataclasses import replace

import pytest

from animefer_core.training.loop import TrainingDivergedError
from animefer_core.training.strategies import STUDY
from sweep.plan import grid
from sweep.search.ledger import Ledger
from sweep.search.searches import check_request
from sweep.search.winners import changes, lines, write_winners
from sweep.settings import resolve
from tests.sweep.records import one_split
from tests.sweep.search.candidates import failed, finished, searches, settings_of


def searched(folder, losses=(0.9, 0.8, 1.0), **options):
    """Return settings and a ledger in which every search's candidates have these losses; None diverges."""
    settings = settings_of(out=folder, **options)
    ledger = Ledger(folder, searches(settings))
    for search in ledger.searches:
        for config, loss in zip(search.trials, losses, strict=True):
            ledger.keep(failed(config, TrainingDivergedError("nan")) if loss is None else finished(config, loss))
    return settings, ledger


def test_a_sweep_reads_the_winner_back(tmp_path):
    settings, ledger = searched(tmp_path)
    path = write_winners(settings, ledger)
    again = resolve({"config": path})
    winner = ledger.searches[0].candidates[1].strategy
    assert again.known_strategies["full_tuned_resnet18"] == replace(winner, name="full_tuned_resnet18")
    assert (again.models, again.strategies) == (("resnet18",), ("full", "full_tuned_resnet18"))
    assert again.seeds == (42, 1, 2, 3, 4)


def test_the_file_says_how_the_winner_was_found(tmp_path):
    facts = resolve({"config": write_winners(*searched(tmp_path))}).searched["full_tuned_resnet18"]
    assert (facts.model, facts.strategy, facts.candidates, facts.epochs) == ("resnet18", "full", 3, 8)
    assert (facts.seeds, facts.split_digest) == ((1001,), "s")
    assert (facts.start_validation_loss, facts.validation_loss) == (0.9, 0.8)


def test_a_sweep_of_the_file_trains_each_winner_with_its_own_model(tmp_path):
    settings, ledger = searched(tmp_path, models="resnet18,vit_s_16")
    again = resolve({"config": write_winners(settings, ledger)})
    trials = grid(again, one_split(), weights=dict.fromkeys(again.models, "random"), threads=1)
    assert {trial.name for trial in trials} == {
        "resnet18/full",
        "resnet18/full_tuned_resnet18",
        "vit_s_16/full",
        "vit_s_16/full_tuned_vit_s_16",
    }


def test_winners_of_an_earlier_call_stay_and_settings_are_the_last_calls(tmp_path):
    write_winners(*searched(tmp_path, strategies="full"))
    path = write_winners(*searched(tmp_path, strategies="partial", models="resnet50"))
    again = resolve({"config": path})
    assert set(again.searched) == {"full_tuned_resnet18", "partial_tuned_resnet50"}
    assert again.strategies == ("partial", "full", "full_tuned_resnet18", "partial_tuned_resnet50")
    assert set(again.models) == {"resnet18", "resnet50"}


def test_a_strategy_of_ones_own_stays_beside_its_winner(tmp_path):
    (tmp_path / "own.toml").write_text("[strategy.gentle]\nblocks = 1\n")
    write_winners(*searched(tmp_path, strategies="gentle", config=tmp_path / "own.toml"))
    again = resolve({"config": write_winners(*searched(tmp_path, strategies="full"))})
    assert again.strategies == ("full", "gentle", "gentle_tuned_resnet18", "full_tuned_resnet18")


def test_the_same_search_again_replaces_its_winner(tmp_path):
    write_winners(*searched(tmp_path))
    settings, ledger = searched(tmp_path, losses=(0.9, 0.8, 0.1))
    again = resolve({"config": write_winners(settings, ledger)})
    assert again.searched["full_tuned_resnet18"].validation_loss == 0.1
    check_request(settings, 3)


def test_a_start_that_wins_is_written_under_the_winners_name(tmp_path):
    settings, ledger = searched(tmp_path, losses=(0.5, 0.8, 0.9))
    again = resolve({"config": write_winners(settings, ledger)})
    start = replace(settings.known_strategies["full"], name="full_tuned_resnet18")
    assert again.known_strategies["full_tuned_resnet18"] == start
    assert "nothing better was found" in "\n".join(lines(ledger))


def test_without_a_winner_there_is_no_file(tmp_path):
    settings, ledger = searched(tmp_path, losses=(None, None, None))
    assert write_winners(settings, ledger) is None
    assert not (tmp_path / "search.toml").exists()
    assert "no winner: none was trained to its end" in "\n".join(lines(ledger))


def test_the_end_tells_start_winner_and_what_changed(tmp_path):
    _, ledger = searched(tmp_path, losses=(0.9, 0.8, None))
    winner = ledger.searches[0].candidates[1].strategy
    told = list(lines(ledger))
    assert told[0] == "resnet18/full: 3 candidates with 1 seed each, 1 diverged, 2 epochs trained"
    assert told[1] == "  as it stands: validation loss 0.9000, accuracy 52.6%"
    assert told[2].startswith("  full_tuned_resnet18: validation loss 0.8000, accuracy 55.6%; lr_head 0.001 -> ")
    assert f"lr_head 0.001 -> {winner.lr_head:g}" in told[2]


def test_what_stays_is_no_change():
    start = STUDY["progressive"]
    assert changes(start, replace(start, name="other", unfreeze_every=2)) == "unfreeze_every 5 -> 2"


@pytest.mark.parametrize("preset", ["paper", "quick"])
def test_the_file_repeats_the_settings_of_the_search(tmp_path, preset):
    settings, ledger = searched(tmp_path, preset=preset, image_size=64, validation_share=0.2)
    again = resolve({"config": write_winners(settings, ledger)})
    assert (again.preset, again.image_size, again.validation_share) == (preset, 64, 0.2)
    assert again.epochs == 8
