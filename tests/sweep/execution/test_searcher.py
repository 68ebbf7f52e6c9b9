"""Tune's ASHA on canned candidates, with a real Ray: who is stopped, and what is kept of it."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from animefer_core.data.pixels import ImageSet, without_test
from sweep.execution.executor import execute
from sweep.execution.packing import Node, Packing, Share
from sweep.execution.progress import display_for
from sweep.execution.searcher import Halving, validated
from sweep.execution.work import Work
from sweep.search.ledger import Ledger
from tests.sweep.execution import canned
from tests.sweep.search.candidates import finished, searches, settings_of


@pytest.fixture(scope="module")
def data():
    labels = np.arange(40) % 2
    rows = {"train": np.arange(20), "validation": np.arange(20, 30), "test": np.arange(30, 40)}
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 18, 18), dtype=np.uint8)
    whole = ImageSet(pixels=pixels, labels=labels, classes=("a", "b"), splits={"s": rows}, order=np.arange(len(labels)))
    return without_test(whole, "s")


def run(ledger, data, function):
    to_run = [config for search in ledger.searches for config in search.trials if not ledger.is_final(config.trial_id)]
    packing = Packing(
        nodes=[Node(name="here", cpus=2, memory=8_000_000_000)],
        threads=1,
        shares={(model, "full"): Share(cpus=1) for model in {config.model for config in to_run}},
    )
    work = Work(trials=to_run, data=data, weights={}, packing=packing, device="cpu", save_models="none")
    output = io.StringIO()
    display = display_for(Console(file=output, width=200), len(to_run), 2)
    execute(work, ledger.keep, display, lambda config: "repeat", run=function, scheduler=Halving(ledger))
    return output.getvalue().splitlines()


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    settings = settings_of(models="resnet18,vit_s_16", strategies="full", epochs=8)
    ledger = Ledger(tmp_path_factory.mktemp("search"), searches(settings, budget=8))
    return ledger, run(ledger, data, canned.validate_by_rate)


def test_every_candidate_has_an_outcome_and_a_line(searched):
    ledger, lines = searched
    assert all(ledger.is_over(search) for search in ledger.searches)
    assert len(lines) == 16
    stopped = sum(ledger.count(search, "stopped") for search in ledger.searches)
    assert sum("(stopped early)" in line for line in lines) == stopped > 0


def test_candidates_are_stopped_after_a_quarter_or_a_half_of_the_epochs(searched):
    ledger, _ = searched
    results = [ledger.result(config.trial_id) for search in ledger.searches for config in search.trials]
    assert {result["epochs_run"] for result in results if result["outcome"] == "stopped"} <= {2, 4}
    assert {result["epochs_run"] for result in results if result["outcome"] == "finished"} == {8}


def test_the_best_candidate_wins_and_the_strategy_as_it_stands_is_trained_to_its_end(searched):
    ledger, _ = searched
    for search in ledger.searches:
        best = min(search.candidates, key=lambda candidate: abs(np.log10(candidate.strategy.lr_head) + 2))
        assert ledger.winner(search) is best
        assert best is not search.start
        assert ledger.result(search.start.trials[0].trial_id)["outcome"] == "finished"


def test_models_do_not_compete(searched):
    """Every loss of the one is a hundred times the other's; both have candidates that go on to their ends."""
    ledger, _ = searched
    assert all(1 < ledger.count(search, "finished") < 8 for search in ledger.searches)


def test_diverging_candidates_end_nothing(data, tmp_path):
    ledger = Ledger(tmp_path, searches(settings_of(epochs=8), budget=5))
    run(ledger, data, canned.diverge_but_the_first)
    (search,) = ledger.searches
    assert ledger.count(search, "diverged") == 4
    assert ledger.winner(search) is search.start


def test_a_candidate_is_trained_for_real_without_test_images(data, tmp_path):
    settings = settings_of(models="vit_tiny_patch16_224", strategies="linear_probe", epochs=1, image_size=16)
    ledger = Ledger(tmp_path, searches(settings, budget=2))
    run(ledger, data, validated)
    (search,) = ledger.searches
    assert ledger.count(search, "finished") == 2
    assert 0 < ledger.loss(search.start) < 10


def asha_says(ledger, config, losses):
    """Return what the scheduler says after each epoch of a trial."""
    scheduler, trial = Halving(ledger), SimpleNamespace(trial_id="1", config={"trial": config.as_dict()})
    scheduler.on_trial_add(None, trial)
    entries = [
        {"epoch": epoch, "validation_loss": loss, "validation_accuracy": 0.5}
        for epoch, loss in enumerate(losses, start=1)
    ]
    return [scheduler.on_trial_result(None, trial, entry) for entry in entries]


@pytest.fixture
def ledger(tmp_path):
    """Return a ledger in which an earlier call has trained the first two of four candidates."""
    ledger = Ledger(tmp_path, searches(settings_of(epochs=8), budget=4))
    for candidate, loss in zip(ledger.searches[0].candidates[:2], (0.5, 0.6), strict=True):
        ledger.keep(finished(candidate.trials[0], *[loss] * 8))
    return ledger


def test_what_an_earlier_call_trained_is_remembered(ledger):
    third = ledger.searches[0].candidates[2].trials[0]
    assert asha_says(ledger, third, [0.9, 0.9]) == ["CONTINUE", "STOP"]
    assert asha_says(ledger, third, [0.9, 0.4]) == ["CONTINUE", "CONTINUE"]


def test_the_lowest_loss_so_far_decides(ledger):
    third = ledger.searches[0].candidates[2].trials[0]
    assert asha_says(ledger, third, [0.4, 0.9]) == ["CONTINUE", "CONTINUE"]


def test_the_strategy_as_it_stands_is_never_stopped(ledger):
    assert asha_says(ledger, ledger.searches[0].start.trials[0], [9.0] * 8) == ["CONTINUE"] * 8


def test_nothing_is_stopped_after_its_last_epoch(tmp_path):
    ledger = Ledger(tmp_path, searches(settings_of(epochs=1), budget=2))
    ledger.keep(finished(ledger.searches[0].start.trials[0], 0.5))
    assert asha_says(ledger, ledger.searches[0].candidates[1].trials[0], [9.0]) == ["CONTINUE"]


def test_a_trial_that_begins_again_is_told_from_its_first_epoch(ledger):
    third = ledger.searches[0].candidates[2].trials[0]
    scheduler, trial = Halving(ledger), SimpleNamespace(trial_id="1", config={"trial": third.as_dict()})
    scheduler.on_trial_add(None, trial)
    for epoch in (1, 1, 2):
        scheduler.on_trial_result(None, trial, {"epoch": epoch, "validation_loss": 0.9, "validation_accuracy": 0.5})
    assert scheduler.stopped(third).epochs_run == 2
