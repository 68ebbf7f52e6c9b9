"""From a search to the sweep of its winners and the report, on small drawn faces: Ray, ASHA and all."""

import json
import subprocess

import pytest

from animefer_core.record import read_record
from sweep.settings import resolve
from tests.sweep.cli.test_main import animefer
from tests.sweep.execution.logged import tensorboard_runs
from tests.sweep.report.test_page import words

SETTINGS = ["--preset", "quick", "--per-class", 12, "--epochs", 4, "--threads", 1]
MODELS = ["--models", "resnet18,vit_tiny_patch16_224", "--strategies", "progressive"]
NAMES = [f"progressive_tuned_{model}" for model in ("resnet18", "vit_tiny_patch16_224")]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "found"
    result = animefer("search", *SETTINGS, *MODELS, "--budget", 4, "--logger", "tensorboard", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture(scope="module")
def swept(searched, tmp_path_factory):
    found, _ = searched
    folder = tmp_path_factory.mktemp("sweep") / "out"
    result = animefer("sweep", "--config", found / "search.toml", "--seeds", "1,2", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_candidate_was_tried_and_a_line_tells_of_it(searched):
    folder, result = searched
    content = json.loads((folder / "search.json").read_text())
    assert set(content["searches"]) == set(NAMES)
    assert [each["budget"] for each in content["searches"].values()] == [4, 4]
    assert {each["outcome"] for each in content["trials"].values()} <= {"finished", "stopped"}
    assert [line.split("]")[0] for line in result.stderr.splitlines() if line.startswith("[")] == [
        f"[{number}/8" for number in range(1, 9)
    ]
    assert "without the 24 test images" in result.stderr


def test_a_candidates_run_tells_whether_it_was_stopped(searched):
    folder, _ = searched
    trials = json.loads((folder / "search.json").read_text())["trials"]
    runs = {run.filters["trial_id"]: run for run in tensorboard_runs(folder / "tensorboard").values()}
    statuses = {"finished": "completed", "stopped": "stopped"}
    assert {name: run.status for name, run in runs.items()} == {
        name: statuses[each["outcome"]] for name, each in trials.items()
    }
    for name, run in runs.items():
        losses = [value for _, value in run.values["epoch/validation_loss"]]
        assert losses == pytest.approx(trials[name]["validation_losses"])
        assert not any(measure.startswith("test") for measure in run.values)


def test_a_search_never_ends_below_its_start(searched):
    folder, _ = searched
    for facts in resolve({"config": folder / "search.toml"}).searched.values():
        assert facts.validation_loss <= facts.start_validation_loss


def test_the_same_command_again_trains_nothing(searched):
    folder, _ = searched
    before = (folder / "search.json").read_text()
    again = animefer("search", *SETTINGS, *MODELS, "--budget", 4, "--out", folder)
    assert again.returncode == 0
    assert "8 of 8 trials are there, 0 to train" in again.stderr
    assert json.loads(before)["trials"] == json.loads((folder / "search.json").read_text())["trials"]


def test_no_candidate_is_a_trial_of_any_sweep(searched):
    """Nothing of a search has met the test images, so nothing of it is a record."""
    folder, _ = searched
    assert not (folder / "trials").exists()


def test_the_sweep_trains_each_winner_with_its_model_and_the_search_seeds_are_not_there(swept):
    records = [read_record(path.parent) for path in swept.glob("trials/*/record.json")]
    assert sorted({f"{record.model}/{record.strategy}" for record in records}) == [
        "resnet18/progressive",
        f"resnet18/{NAMES[0]}",
        "vit_tiny_patch16_224/progressive",
        f"vit_tiny_patch16_224/{NAMES[1]}",
    ]
    assert {record.seed for record in records} == {1, 2}


def test_the_report_states_what_each_configuration_was_given(swept):
    page = words((swept / "report.html").read_text(encoding="utf-8"))
    assert f"resnet18/{NAMES[0]} The best by validation loss of 4 candidates of up to 4 epochs each" in page
    assert "resnet18/progressive No search: the strategy as it stands." in page
    assert set(json.loads((swept / "sweep.json").read_text())["search"]) == set(NAMES)


def test_the_file_that_the_sweep_wrote_back_holds_the_winners_to_their_models(swept):
    again = animefer("sweep", "--config", swept / "sweep.toml", "--out", swept, "--dry-run")
    assert "8 of 8 trials are there, 0 to train" in again.stderr


def refused(searched, out, *options) -> str:
    result: subprocess.CompletedProcess[str] = animefer(
        "sweep", "--config", searched[0] / "search.toml", "--out", out, "--dry-run", *options
    )
    assert (result.returncode, result.stderr.count("\n")) == (2, 2), result.stderr
    return result.stderr


def test_a_sweep_on_another_split_is_refused(searched, tmp_path):
    told = refused(searched, tmp_path / "out", "--validation-share", "0.3")
    assert f"{NAMES[0]} was found on another split" in told


def test_a_sweep_of_the_search_folder_is_no_search_any_more(searched, swept):
    result = animefer("search", *SETTINGS, *MODELS, "--out", swept)
    assert (result.returncode, "the folder is a sweep's" in result.stderr) == (2, True)
