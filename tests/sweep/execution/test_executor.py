"""The executor with a real Ray on this machine, and a `run` that trains nothing."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import ray
from rich.console import Console

from animefer_core.data.pixels import ImageSet
from animefer_core.record import read_record
from sweep.checkpoints import HURRY, Place
from sweep.execution.executor import execute
from sweep.execution.packing import Node, Packing, Share
from sweep.execution.progress import display_for
from sweep.execution.watcher import LOST_PROCESS_RETRIES
from sweep.execution.work import NotKeptError, SweepEndedError, SweepStoppedError, Work
from sweep.keeping import Keeper
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.execution import canned
from tests.sweep.records import one_split

TWO_AT_ONCE = Packing(
    nodes=[Node(name="here", cpus=2, memory=8_000_000_000)],
    threads=1,
    shares={("resnet18", name): Share(cpus=1) for name in ("linear_probe", "full")},
)


@pytest.fixture(scope="module")
def data():
    labels = np.arange(40) % 2
    rows = {"train": np.arange(20), "validation": np.arange(20, 30), "test": np.arange(30, 40)}
    pixels = np.zeros((40, 3, 8, 8), np.uint8)
    return ImageSet(pixels=pixels, labels=labels, classes=("a", "b"), splits={"s": rows}, order=np.arange(40))


def work_for(data, seeds, *, save_models="none"):
    settings = resolve({"models": "resnet18", "strategies": "linear_probe,full", "seeds": seeds})
    trials = grid(settings, one_split(), weights={"resnet18": "random"}, threads=1)
    return Work(trials=trials, data=data, weights={}, packing=TWO_AT_ONCE, device="cpu", save_models=save_models)


def run(work, folder, function, save_models="none"):
    output = io.StringIO()
    display = display_for(Console(file=output, width=200), len(work.trials), 2)
    keeper = Keeper(folder, save_models, [], work.checkpoints)
    try:
        execute(work, keeper.keep, display, lambda config: f"repeat {config.name} {config.seed}", run=function)
    finally:
        lines = output.getvalue().splitlines()
        records = [read_record(path.parent) for path in sorted((folder / "trials").glob("*/record.json"))]
    return records, lines


def test_every_trial_leaves_its_record_and_a_line(data, tmp_path, capfd):
    work = work_for(data, "1,2,3")
    records, lines = run(work, tmp_path, canned.train_nothing)
    assert {record.trial_id for record in records} == {config.trial_id for config in work.trials}
    assert all(record.status == "completed" for record in records)
    assert [line.split("]")[0] for line in lines] == [f"[{number}/6" for number in range(1, 7)]
    said = capfd.readouterr()
    assert said.out == "", "Ray and Tune say nothing"
    assert said.err == ""


def test_processes_are_reused(data, tmp_path):
    records, _ = run(work_for(data, "1,2,3,4,5"), tmp_path, canned.train_nothing)
    assert len({record.environment["pid"] for record in records}) == 2


@pytest.mark.parametrize("extra_views", [True, False])
def test_every_process_is_told_whether_to_meet_other_views(data, tmp_path, extra_views):
    records, _ = run(replace(work_for(data, "1"), extra_views=extra_views), tmp_path, canned.train_nothing)
    assert [record.environment["extra_views"] for record in records] == [extra_views] * 2


def test_best_keeps_one_model_a_seed(data, tmp_path):
    run(work_for(data, "1,2", save_models="best"), tmp_path, canned.train_nothing, save_models="best")
    models = list((tmp_path / "trials").glob("*/model.safetensors"))
    assert sorted(read_record(path.parent).seed for path in models) == [1, 2]


def test_three_failures_of_one_cause_stop_the_sweep(data, tmp_path):
    with pytest.raises(SweepStoppedError, match="ValueError: the moon is in the way"):
        run(work_for(data, "1,2,3"), tmp_path, canned.fail_always)
    # A trial that ran beside the third may have ended before it was stopped; the last two of six never begin.
    assert len(list((tmp_path / "trials").glob("*/record.json"))) in (3, 4)


def test_failures_of_several_causes_do_not_stop_it_and_are_one_line_each(data, tmp_path):
    records, lines = run(work_for(data, "1,2,3"), tmp_path, canned.fail_by_seed)
    assert [record.status for record in records] == ["failed"] * 6
    assert len(lines) == 6
    host = records[0].environment["host"]
    assert (
        f"failed: resnet18/full seed 2 on {host}: ValueError: seed 2 is in the way. "
        "To repeat it alone: repeat resnet18/full 2" in lines
    )
    assert "seed 2 is in the way" in next(record for record in records if record.seed == 2).error["traceback"]


def test_a_lost_process_fails_its_trial_alone(data, tmp_path):
    records, _ = run(work_for(data, "1,2"), tmp_path, canned.lose_process_on_seed_1)
    assert {(record.seed, record.status) for record in records} == {(1, "failed"), (2, "completed")}
    assert all(record.error["type"] == "LostProcessError" for record in records if record.seed == 1)


def test_a_lost_process_goes_on_from_the_epoch_that_was_kept(data, tmp_path):
    place = Place(where=str(tmp_path / "checkpoints"), minutes=0)
    work = replace(work_for(data, "1"), checkpoints=place)
    records, _ = run(work, tmp_path, canned.lose_process_after_an_epoch)
    assert [(record.status, record.environment) for record in records] == [("completed", {"began_after": 1})] * 2
    assert list((tmp_path / "checkpoints").iterdir()) == [], "the driver deletes it once the record is there"


def test_a_failed_trial_is_kept_with_what_it_printed(data, tmp_path):
    records, _ = run(work_for(data, "1"), tmp_path, canned.print_and_fail)
    assert [record.error["log"] for record in records] == ["the weather is fine\nbut the moon\n"] * 2


def test_a_lost_process_is_told_and_rays_account_is_kept(data, tmp_path, capfd):
    records, lines = run(work_for(data, "1"), tmp_path, canned.lose_process_on_seed_1)
    assert lines.count("resnet18/full seed 1 lost its process, and is tried again") == LOST_PROCESS_RETRIES
    assert {record.error["message"] for record in records} == {
        "its process was lost 3 times, last with: The actor died unexpectedly before finishing this task"
    }
    assert all("Worker exit type: SYSTEM_ERROR" in record.error["log"] for record in records)
    assert capfd.readouterr() == ("", ""), "the display, here a string, says it; Ray does not"


@pytest.mark.parametrize("hang", [canned.hang_on_seed_1, canned.freeze_on_seed_1])
def test_a_trial_that_hangs_is_given_up_once_and_the_rest_goes_on(data, tmp_path, hang):
    work = replace(work_for(data, "1,2"), trial_timeout=0.15)
    records, lines = run(work, tmp_path, hang)
    assert {(record.seed, record.status) for record in records} == {(1, "failed"), (2, "completed")}
    assert {record.error.get("type") for record in records if record.seed == 1} == {"TrialTimeoutError"}
    assert sum("had not ended after --trial-timeout 0.15 minutes" in line for line in lines) == 2
    assert not any("tried again" in line for line in lines)


HALVES = Packing(
    nodes=[Node(name="box", cpus=2, memory=8_000_000_000, gpus=1, gpu_bytes=8_000_000_000)],
    threads=1,
    shares={("resnet18", name): Share(cpus=1, gpu=0.5) for name in ("linear_probe", "full")},
)
"""A card that is only believed in: Ray counts it, and nothing here uses it."""


def test_what_runs_out_of_a_cards_memory_is_tried_again_alone(data, tmp_path):
    records, lines = run(replace(work_for(data, "1,2"), packing=HALVES), tmp_path, canned.fit_only_alone)
    assert [(record.status, record.environment["alone_after_out_of_memory"]) for record in records] == [
        ("completed", True)
    ] * 4
    assert sum("ran out of its card's memory" in line for line in lines) == 4


def test_what_does_not_fit_alone_either_fails(data, tmp_path):
    work = replace(work_for(data, "1"), packing=HALVES)
    records, _ = run(work, tmp_path, canned.never_fit)
    assert [(record.status, record.error["type"]) for record in records] == [("failed", "OutOfMemoryError")] * 2


def test_a_record_outlives_its_lost_model(data, tmp_path, monkeypatch):
    """The driver comes for the model when its process is gone."""
    work = work_for(data, "1", save_models="all")
    work = replace(work, trials=work.trials[:1])

    class Late(Keeper):
        def keep(self, record, state):
            threading.Event().wait(2)
            super().keep(record, state)

    output = io.StringIO()
    display = display_for(Console(file=output, width=200), 1, 1)
    execute(work, Late(tmp_path, "all", []).keep, display, str, run=canned.lose_the_model)
    (path,) = tmp_path.glob("trials/*/record.json")
    assert read_record(path.parent).status == "completed"
    assert "is finished; its model was lost with its process" in output.getvalue()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_schedulers_signal_has_running_trials_keep_their_epoch(data, tmp_path, number):
    place = Place(where=str(tmp_path / "checkpoints"), minutes=5)
    work = replace(work_for(data, "1"), checkpoints=place)
    timer = threading.Timer(0, _signal_when, [lambda: _epochs(output) >= 2, number])
    output = []
    display = display_for(Console(file=io.StringIO()), 2, 2)
    display.epoch = lambda config, entry: output.append((config.trial_id, entry["epoch"]))
    timer.start()
    with pytest.raises(SweepEndedError, match=number.name):
        execute(work, Keeper(tmp_path, "none", [], place).keep, display, str, run=canned.go_on_and_on)
    timer.join()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.safetensors"))
    assert kept == sorted(f"{config.trial_id}.safetensors" for config in work.trials)
    assert not (tmp_path / "checkpoints" / HURRY).exists(), "or the next call would keep every epoch"
    records, _ = run(work, tmp_path, canned.go_on_and_on)
    assert all(record.environment["began_after"] >= 2 for record in records)


def _epochs(output):
    return min((sum(trial == other for other, _ in output) for trial, _ in output), default=0) if len(output) > 3 else 0


def _signal_when(true, number):
    while not true():
        threading.Event().wait(0.05)
    os.kill(os.getpid(), number)


def test_a_second_signal_does_not_wait(data, tmp_path):
    """Trials that report nothing keep nothing; the first signal alone would wait for them."""
    work = replace(work_for(data, "1"), checkpoints=Place(where=str(tmp_path / "checkpoints"), minutes=5))
    started = threading.Event()
    display = display_for(Console(file=io.StringIO()), 2, 2)
    display.started = lambda config: started.set()

    def twice():
        started.wait()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.5)

    thread = threading.Thread(target=twice)
    thread.start()
    with pytest.raises(SweepEndedError):
        execute(work, Keeper(tmp_path, "none", []).keep, display, str, run=canned.hang_on_seed_1)
    thread.join()


def test_a_record_that_cannot_be_written_stops_the_sweep_in_one_sentence(data, tmp_path):
    work = work_for(data, "1,2,3")
    display = display_for(Console(file=io.StringIO()), 6, 2)

    def full(record, state):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    with pytest.raises(NotKeptError, match=r"record of resnet18/\w+ seed 1 could not be written \(No space left"):
        execute(work, full, display, str, run=canned.train_nothing)


def test_interrupt_stops_and_keeps_what_is_finished(data, tmp_path):
    work = work_for(data, "1,2")
    work = replace(work, trials=[config for config in work.trials if config.strategy.name == "full"])
    timer = threading.Thread(target=_interrupt_when, args=(tmp_path,))
    # A shell starts its background jobs with SIGINT ignored; a terminal's Ctrl-C meets Python's own handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(work, tmp_path, canned.wait_after_seed_1)
    finally:
        signal.signal(signal.SIGINT, before)
    timer.join()
    assert [path.parent.name for path in tmp_path.glob("trials/*/record.json")] == [work.trials[0].trial_id]


def _interrupt_when(folder):
    while not list(folder.glob("trials/*/record.json")):
        threading.Event().wait(0.1)
    os.kill(os.getpid(), signal.SIGINT)


KNOCK = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None)
except Exception as error:
    print("refused:", error)
else:
    print("let in")
"""


def test_a_stranger_on_loopback_is_turned_away(data, tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    ours = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    answers = {}

    class Knocking(Keeper):
        def keep(self, record, state):
            port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
            for name, token in {"none": {}, "wrong": ours | {"RAY_AUTH_TOKEN": "0" * 64}, "ours": ours}.items():
                answers[name] = subprocess.run(
                    [sys.executable, "-c", KNOCK, f"127.0.0.1:{port}"],
                    env=clean | token | {"HOME": str(tmp_path)},
                    capture_output=True,
                    text=True,
                    timeout=120,
                ).stdout
            super().keep(record, state)

    work = work_for(data, "1")
    work = replace(work, trials=work.trials[:1])
    display = display_for(Console(file=io.StringIO()), 1, 1)
    execute(work, Knocking(tmp_path, "none", []).keep, display, str, run=canned.train_nothing)
    assert answers["ours"] == "let in\n", "a process that has the token gets in, so the port is the right one"
    assert "InvalidAuthToken" in answers["none"]
    assert "InvalidAuthToken" in answers["wrong"]
