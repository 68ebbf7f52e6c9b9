"""The main job on small drawn faces: trials, Ray, records, report; what is finished is never trained again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from animefer_core.record import read_record
from tests.sweep.cli.test_main import animefer
from tests.sweep.execution.logged import tensorboard_runs
from tests.to_the_bit import numbers

SETTINGS = [
    "--preset",
    "quick",
    "--models",
    "resnet18,vit_tiny_patch16_224",
    "--strategies",
    "linear_probe,progressive",
]
SETTINGS += ["--per-class", 12, "--epochs", 3, "--image-size", 32, "--threads", 1]


def records(folder):
    return {path.parent.name: read_record(path.parent) for path in folder.glob("trials/*/record.json")}


def written_at(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/record.json")}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "out"
    result = animefer("sweep", *SETTINGS, "--seeds", "1,2", "--logger", "tensorboard", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_a_sweep_leaves_records_tables_and_a_report(swept):
    folder, result = swept
    assert len(records(folder)) == 8
    assert result.stderr.startswith("Drawn faces, preset quick")
    assert result.stdout == ""
    assert (folder / "report.html").stat().st_size > 1_000_000
    with (folder / "tables" / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["n_seeds"], row["n_planned"]) for row in rows] == [("2", "2")] * 4


def test_a_sweep_is_logged_where_it_was_asked_for(swept):
    folder, _ = swept
    named = {f"{record.model}/{record.strategy} seed {record.seed}": record for record in records(folder).values()}
    runs = tensorboard_runs(folder / "tensorboard")
    assert set(runs) == set(named)
    for name, record in named.items():
        assert len(runs[name].values["epoch/validation_loss"]) == record.epochs_run
        assert runs[name].values["test/accuracy"] == [(record.epochs_run, pytest.approx(record.test["accuracy"]))]


def test_the_same_command_again_trains_nothing_and_a_new_seed_only_itself(swept):
    folder, _ = swept
    before = written_at(folder)
    again = animefer("sweep", *SETTINGS, "--seeds", "1,2", "--out", folder)
    assert again.returncode == 0
    assert written_at(folder) == before
    more = animefer("sweep", *SETTINGS, "--seeds", "1,2,3", "--out", folder)
    assert more.returncode == 0
    assert "8 of 12 trials are there, 4 to train" in more.stderr
    after = written_at(folder)
    assert len(after) == 12
    assert {path: after[path] for path in before} == before


def test_the_file_that_was_written_back_repeats_the_sweep(swept):
    folder, _ = swept
    result = animefer("sweep", "--config", folder / "sweep.toml", "--out", folder, "--dry-run")
    assert "0 to train" in result.stderr


@pytest.mark.parametrize(
    ("model", "strategy", "seed"), [("resnet18", "progressive", 2), ("vit_tiny_patch16_224", "progressive", 1)]
)
def test_a_trial_without_ray_equals_the_sweeps_to_the_bit(swept, tmp_path, model, strategy, seed):
    folder, _ = swept
    chosen = ["--model", model, "--strategy", strategy, "--seed", seed]
    shared = [*SETTINGS[:2], *SETTINGS[6:]]
    result = animefer("trial", *chosen, *shared, "--deterministic", "--out", tmp_path / "alone")
    assert result.returncode == 0, result.stderr
    ((trial_id, alone),) = records(tmp_path / "alone").items()
    within = records(folder)[trial_id]
    assert alone.environment["deterministic"], "which changes nothing on a CPU"
    assert alone.test == within.test
    assert alone.validation == within.validation
    arrays = within.predictions.arrays()
    assert alone.predictions.arrays().keys() == arrays.keys()
    for name, values in alone.predictions.arrays().items():
        np.testing.assert_array_equal(values, arrays[name])
    untimed = [{key: entry[key] for key in ("train_loss", "validation_loss")} for entry in alone.history]
    assert untimed == [{key: entry[key] for key in ("train_loss", "validation_loss")} for entry in within.history]


@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "--models", "resnet18", "--strategies", "linear_probe", "--seeds", 1],
        ["trial", "--model", "resnet18", "--strategy", "linear_probe", "--seed", 1],
    ],
    ids=["sweep", "trial"],
)
def test_other_views_are_left_out_where_asked_and_nothing_else_changes(swept, tmp_path, command):
    folder, _ = swept
    shared = [*SETTINGS[:2], *SETTINGS[6:], "--out", tmp_path / "plain"]
    assert animefer(*command, *shared, "--no-extra-views").returncode == 0
    ((trial_id, plain),) = records(tmp_path / "plain").items()
    assert plain.predictions.view_logits == {}
    (call,) = json.loads((tmp_path / "plain" / "sweep.json").read_text())["calls"]
    assert call["settings"]["extra_views"] is False
    with_views = records(folder)[trial_id]
    assert list(with_views.predictions.view_logits) == ["grey", "jpeg30", "mirrored"]
    for name, values in plain.predictions.arrays().items():
        np.testing.assert_array_equal(values, with_views.predictions.arrays()[name])


def test_another_image_size_in_the_same_folder_is_refused(swept):
    folder, _ = swept
    result = animefer("sweep", *SETTINGS, "--image-size", 48, "--seeds", "1", "--out", folder)
    assert result.returncode == 2
    assert "image_size is 32 there and 48 here" in result.stderr


def test_a_killed_driver_loses_nothing_that_was_finished(tmp_path):
    command = [sys.executable, "-m", "sweep.cli.main", "sweep", *map(str, SETTINGS), "--seeds", "1,2,3", "--out"]
    driver = subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.DEVNULL)
    while len(written_at(tmp_path / "out")) < 3:
        assert driver.poll() is None
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = written_at(tmp_path / "out")
    assert len(before) < 12
    assert animefer("report", tmp_path / "out").returncode == 0
    assert f"{len(before)} of 12" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    result = animefer("sweep", *SETTINGS, "--seeds", "1,2,3", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    after = written_at(tmp_path / "out")
    assert len(after) == 12
    assert {path: after[path] for path in before} == before


LONG = [*SETTINGS[:2], "--per-class", 12, "--image-size", 32, "--threads", 1, "--epochs", 6, "--checkpoint-minutes", 0]
ALONE = ["--model", "resnet18", "--strategy", "progressive", "--seed", 1, *LONG]


def start(*arguments):
    """Start a command whose standard error can be read line by line."""
    command = [sys.executable, "-m", "sweep.cli.main", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean)


def kill_a_trial_after_epoch(number, out):
    trial = start("trial", *ALONE, "--out", out)
    while not (line := trial.stderr.readline()).startswith(f"epoch {number}:"):
        assert line
    trial.kill()
    trial.communicate()
    assert not records(out)


def epochs_trained(result):
    return [int(line.split()[1].rstrip(":")) for line in result.stderr.splitlines() if line.startswith("epoch ")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "out"
    assert animefer("trial", *ALONE, "--out", folder).returncode == 0
    return records(folder)


def test_a_killed_trial_goes_on_from_its_last_epoch_to_the_same_record(undisturbed, tmp_path):
    kill_a_trial_after_epoch(2, tmp_path)
    result = animefer("trial", *ALONE, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    ((trial_id, record),) = records(tmp_path).items()
    (after,) = record.environment["resumed_after_epochs"]
    assert after >= 2
    assert epochs_trained(result) == list(range(after + 1, 7))
    assert numbers(record) == numbers(undisturbed[trial_id])
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_again_begins_with_the_first_epoch(tmp_path):
    kill_a_trial_after_epoch(1, tmp_path)
    assert list((tmp_path / "checkpoints").iterdir())
    assert epochs_trained(animefer("trial", *ALONE, "--out", tmp_path, "--again")) == [1, 2, 3, 4, 5, 6]


def test_a_killed_sweep_goes_on_from_its_trials_last_epochs(undisturbed, tmp_path):
    grid = ["--models", "resnet18", "--strategies", "progressive", "--seeds", "1", "--storage", tmp_path / "kept"]
    grid += ["--deterministic"]
    driver = start("sweep", *grid, *LONG, "--out", tmp_path / "out")
    while not list((tmp_path / "kept").glob("*.safetensors")):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.communicate()
    assert not records(tmp_path / "out")
    result = animefer("sweep", *grid, *LONG, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    ((trial_id, record),) = records(tmp_path / "out").items()
    assert record.environment["resumed_after_epochs"][0] >= 1
    assert record.environment["deterministic"]
    assert numbers(record) == numbers(undisturbed[trial_id])
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_terminated_sweep_says_what_is_left_and_is_taken_up(tmp_path, number):
    grid = ["--models", "resnet18", "--strategies", "progressive", "--seeds", "1", *LONG[2:], "--epochs", 40]
    command = ["sweep", "--preset", "quick", *grid, "--out", tmp_path / "out"]
    driver = start(*command)
    while not list((tmp_path / "out").glob("checkpoints/*.safetensors")):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(number)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert said.splitlines()[-1] == (
        f"Stopped by {number.name}; what is finished is kept in {tmp_path / 'out'}: 1 of 1 trials are left to train, "
        "1 of them from a kept epoch. The same command goes on from there."
    )
    result = animefer(*command)
    assert result.returncode == 0, result.stderr
    (record,) = records(tmp_path / "out").values()
    assert record.environment["resumed_after_epochs"][0] >= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_before_training_ends_a_sweep_with_a_word(tmp_path, number):
    driver = start("sweep", "--preset", "quick", *LONG[2:], "--models", "resnet18", "--out", tmp_path / "out")
    while not list((tmp_path / "out" / "faces").glob("*/*")):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(number)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 1
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert said.splitlines()[-1] == (
        f"animefer: ended by {name}; what is finished is kept, and the same command goes on."
    )
    assert not list((tmp_path / "out").glob("trials/*"))


SIGNAL_INSTEAD_OF_REPORT = """
import os, signal
import sweep.cli.run
from sweep.cli.main import main
sweep.cli.run.write_report = lambda folder: os.kill(os.getpid(), signal.SIGTERM)
main()
"""


def test_a_signal_while_the_report_is_written_ends_a_sweep_with_a_word(tmp_path):
    one = ["--models", "resnet18", "--strategies", "linear_probe", "--seeds", "1", "--out", tmp_path / "out"]
    command = [sys.executable, "-c", SIGNAL_INSTEAD_OF_REPORT, "sweep", *map(str, [*SETTINGS[:2], *LONG[2:], *one])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("animefer: ended by SIGTERM; what is finished is kept")
    assert len(records(tmp_path / "out")) == 1


RECORD = """model strategy seed arm status config split_digest weights_digest epochs_run best_epoch percent_trainable
    history validation test efficiency environment error"""
METRICS = "accuracy loss precision_macro recall_macro f1_macro f1_weighted ece per_class confusion"
HISTORY = """epoch train_loss validation_loss validation_accuracy seconds images_per_second percent_trainable
    learning_rates"""
EFFICIENCY = """train_images_per_second eval_images_per_second latency_ms peak_memory_bytes parameters
    trainable_parameters flops_per_image shared_device"""
PREDICTIONS = "validation_logits validation_labels validation_index test_logits test_labels test_index"
PREDICTIONS += " test_logits_grey test_logits_jpeg30 test_logits_mirrored"
MAIN = [
    f"{metric}_{part}"
    for metric in ("accuracy", "f1_macro", "f1_weighted", "loss")
    for part in ("mean", "sd", "ci_low", "ci_high", "total_ci_low", "total_ci_high")
]
SUMMARY = [
    "model",
    "strategy",
    "n_seeds",
    "n_planned",
    *MAIN,
    "ece_mean",
    "ece_sd",
    "ece_ci_low",
    "ece_ci_high",
    "calibration_error",
    "calibration_error_total_ci_low",
    "calibration_error_total_ci_high",
    "percent_trainable",
    "epochs_run_mean",
    "seconds_per_epoch_mean",
    "images_per_second_mean",
]


def test_every_file_has_the_fields_that_callers_rely_on(swept):
    folder, _ = swept
    directory = next(folder.glob("trials/*"))
    record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
    assert set(RECORD.split()) <= set(record)
    assert set(METRICS.split()) <= set(record["test"])
    assert set(METRICS.split()) <= set(record["validation"])
    assert all(set(HISTORY.split()) <= set(entry) for entry in record["history"])
    assert set(EFFICIENCY.split()) <= set(record["efficiency"])
    assert {"device", "precision", "threads", "versions", "host"} <= set(record["environment"])
    with np.load(directory / "predictions.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(PREDICTIONS.split())
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert {"images", "images_digest", "splits"} <= set(split)
    assert all({"path", "sha256", "label", "group"} <= set(image) for image in split["images"])
    assert len(split["splits"][record["split_digest"]]) == len(split["images"])
    assert {"calls", "planned", "fingerprint", "images_digest"} <= set(json.loads((folder / "sweep.json").read_text()))
    with (folder / "tables" / "summary.csv").open(encoding="utf-8") as file:
        assert set(SUMMARY) <= set(csv.DictReader(file).fieldnames)
    assert {path.suffix for path in (folder / "tables").iterdir()} >= {".csv", ".md", ".tex"}
    assert len(list(folder.glob("trials/*/model.safetensors"))) == len(
        {read_record(path).seed for path in folder.glob("trials/*")}
    )


def test_the_plan_tells_what_a_sweep_would_train_and_cost(swept, tmp_path):
    folder, _ = swept
    result = animefer("plan", *SETTINGS, "--seeds", "1,2,3", "--out", tmp_path / "new")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "12 trials: 0 are there, 0 failed, 12 to train"
    assert sum(line.startswith("would train ") for line in lines) == 12
    assert [line.partition(":")[0] for line in lines[13:]] == [
        *("  resnet18", "  vit_tiny_patch16_224"),
        *("time", "memory", "disk"),
    ]
    assert "by a calibration" in lines[13]
    assert not list((tmp_path / "new").glob("trials/*"))
    again = animefer("sweep", *SETTINGS, "--seeds", "1,2,3,4", "--out", folder, "--gpu-share", 0.5, "--dry-run")
    assert "--gpu-share says nothing here: no GPU takes part." in again.stderr
    assert " at once with 1 thread each." in again.stderr
    assert "as the 4 that are there took" in again.stderr or "as the 6 that are there took" in again.stderr


def test_arms_are_held_at_one_seed(tmp_path):
    arms = ["--models", "resnet18", "--strategies", "linear_probe", *LONG[2:], "--epochs", 1, "--vary", "init"]
    first = animefer("sweep", "--preset", "quick", *arms, "--seeds", "42,1", "--out", tmp_path)
    assert first.returncode == 0, first.stderr
    other = animefer("sweep", "--preset", "quick", *arms, "--seeds", "1,42", "--out", tmp_path)
    assert other.returncode == 2
    assert other.stderr.splitlines()[-1] == (
        f"animefer: --vary: the arms in {tmp_path} hold the other streams at seed 42, and these would at 1; give 42 as "
        "the first of --seeds, or choose a new folder."
    )


def test_again_keeps_the_model_of_the_new_record(tmp_path):
    command = ["trial", *ALONE, "--epochs", 1, "--out", tmp_path]
    for arguments in (command, [*command, "--again"]):
        assert animefer(*arguments).returncode == 0
        assert len(list(tmp_path.glob("trials/*/model.safetensors"))) == 1
