"""The driver's watch over trials, where no Ray is needed for it."""

import io
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from animefer_core.record import TrialRecord
from animefer_core.trial import identity
from sweep.checkpoints import HURRY, Place
from sweep.execution import watcher as module
from sweep.execution.packing import Node, Packing, Share
from sweep.execution.progress import display_for
from sweep.execution.watcher import GRACE_SECONDS, NO_ROOM_SECONDS, Watcher, _last_failure
from sweep.execution.work import SweepEndedError, SweepStoppedError, Work
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.records import one_split

PACKING = Packing(
    nodes=[Node(name="lost", cpus=8, memory=8_000_000_000, gpus=1)],
    threads=4,
    shares={("resnet18", "full"): Share(cpus=4, gpu=0.5)},
)
TOO_SMALL = {"Alive": True, "Resources": {"CPU": 8.0}}
LARGE_ENOUGH = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def watcher():
    settings = resolve({"models": "resnet18", "strategies": "full", "seeds": "1"})
    trials = grid(settings, one_split(), weights={"resnet18": "random"}, threads=4)
    work = Work(trials=trials, data=None, weights={}, packing=PACKING, device="cpu", save_models="none")
    display = display_for(Console(file=io.StringIO()), 1, 1)
    return Watcher(work, lambda *_: None, display, str, None, None)


def step(watcher, status):
    (config,) = watcher._work.trials
    trial = SimpleNamespace(status=status, trial_id="t", config={"trial": config.as_dict()})
    watcher.on_step_end(0, [trial])


def test_a_sweep_without_a_machine_waits_and_then_stops(watcher, clock, monkeypatch):
    monkeypatch.setattr(module, "alive", lambda: [TOO_SMALL])
    for seconds in (0, 1, NO_ROOM_SECONDS - 1):
        clock.seconds = seconds
        step(watcher, "PENDING")
    clock.seconds = NO_ROOM_SECONDS + 1
    with pytest.raises(SweepStoppedError, match=r"no machine is left with the 4 CPUs and 0\.5 GPUs"):
        step(watcher, "PENDING")


def test_a_machine_that_comes_in_time_is_waited_for(watcher, clock, monkeypatch):
    there = [TOO_SMALL]
    monkeypatch.setattr(module, "alive", lambda: there)
    step(watcher, "PENDING")
    there.append(LARGE_ENOUGH)
    clock.seconds = NO_ROOM_SECONDS + 1
    step(watcher, "PENDING")
    there.remove(LARGE_ENOUGH)
    clock.seconds += 1
    step(watcher, "PENDING")
    clock.seconds += NO_ROOM_SECONDS - 1
    step(watcher, "PENDING")


def test_while_a_trial_runs_nobody_asks_for_machines(watcher, clock, monkeypatch):
    monkeypatch.setattr(module, "alive", lambda: pytest.fail("asked"))
    step(watcher, "RUNNING")


def ending(watcher, tmp_path):
    """Have a trial run, with a place for its epochs, when the scheduler's first signal comes at 0 s."""
    watcher._work = replace(watcher._work, checkpoints=Place(where=str(tmp_path), minutes=5))
    (config,) = watcher._work.trials
    trial = SimpleNamespace(status="RUNNING", trial_id="t", config={"trial": config.as_dict()})
    watcher.on_trial_start(0, [trial], trial)
    watcher._end(signal.SIGTERM, None)
    return trial


def test_an_epoch_on_its_way_when_the_signal_comes_is_not_taken_for_a_kept_one(watcher, clock, tmp_path):
    trial = ending(watcher, tmp_path)
    watcher.on_step_end(0, [trial])
    epoch = {"epoch": 3, "validation_loss": 1.0, "validation_accuracy": 0.5}
    watcher.on_trial_result(0, [trial], trial, epoch | {"hurried": False})
    watcher.on_step_end(0, [trial])
    watcher.on_trial_result(0, [trial], trial, epoch | {"hurried": True})
    with pytest.raises(SweepEndedError, match="SIGTERM"):
        watcher.on_step_end(0, [trial])


def test_a_trial_that_keeps_nothing_is_not_waited_for_longer_than_the_grace(watcher, clock, tmp_path):
    trial = ending(watcher, tmp_path)
    clock.seconds = GRACE_SECONDS - 1
    watcher.on_step_end(0, [trial])
    clock.seconds = GRACE_SECONDS + 1
    with pytest.raises(SweepEndedError, match="SIGTERM"):
        watcher.on_step_end(0, [trial])


def test_a_second_signal_does_not_wait_at_all(watcher, clock, tmp_path):
    trial = ending(watcher, tmp_path)
    clock.seconds = 1
    watcher.on_step_end(0, [trial])
    watcher._end(signal.SIGTERM, None)
    with pytest.raises(SweepEndedError, match="SIGTERM"):
        watcher.on_step_end(0, [trial])


def test_what_trials_were_asked_for_is_taken_back(watcher, clock, tmp_path):
    watcher.on_step_end(0, [ending(watcher, tmp_path)])
    assert (tmp_path / HURRY).exists()
    watcher.calm()
    assert not (tmp_path / HURRY).exists()


def test_a_trial_that_is_tried_again_has_its_time_again(watcher, clock, monkeypatch):
    watcher._work = replace(watcher._work, trial_timeout=1)
    (config,) = watcher._work.trials
    trial = SimpleNamespace(status="RUNNING", trial_id="t", config={"trial": config.as_dict()}, max_failures=2)
    trial.temporary_state = SimpleNamespace(ray_actor="its process")
    killed = []
    monkeypatch.setattr(module.ray, "kill", killed.append)
    watcher.on_trial_start(0, [trial], trial)
    clock.seconds = 50
    watcher.on_trial_recover(0, [trial], trial)
    watcher.on_trial_start(0, [trial], trial)
    clock.seconds = 109
    watcher.on_step_end(0, [trial])
    assert not killed
    clock.seconds = 111
    watcher.on_step_end(0, [trial])
    watcher.on_step_end(0, [trial])
    assert (killed, trial.max_failures) == (["its process"], 0)


def test_the_wait_for_a_machine_begins_anew_when_a_trial_has_run(watcher, clock, monkeypatch):
    monkeypatch.setattr(module, "alive", lambda: [TOO_SMALL])
    step(watcher, "PENDING")
    clock.seconds = NO_ROOM_SECONDS - 1
    step(watcher, "RUNNING")
    clock.seconds = NO_ROOM_SECONDS + 1
    step(watcher, "PENDING")


@pytest.mark.parametrize(
    ("kind", "message", "alone"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", True),
        ("AcceleratorError", "CUDA error: out of memory", True),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)", True),
        ("RuntimeError", "shape mismatch", False),
    ],
)
def test_what_a_full_card_says_has_a_trial_tried_alone(watcher, kind, message, alone):
    (config,) = watcher._work.trials
    record = TrialRecord(**identity(config), status="failed", error={"type": kind, "message": message})
    assert watcher._is_too_large(record) is alone


def test_of_several_failures_the_last_is_told():
    account = "Failure # 1 (occurred at now)\nThe first.\nFailure # 2 (occurred then)\nThe actor died.\n\tpid: 3\n"
    assert _last_failure(account) == "The actor died"
    assert _last_failure("no heading") == "no heading"
    assert _last_failure("") == "no reason given"
