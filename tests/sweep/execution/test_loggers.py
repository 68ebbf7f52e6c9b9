"""Loggers with a real Ray, read back from their own files; a server that is gone, a package that is missing."""

import gc
import io
import os
import sys
import threading
import tomllib
import weakref
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, read_record
from animefer_core.trial import identity
from sweep.cli.run import run_sweep
from sweep.cli.search import run_search
from sweep.execution import loggers
from sweep.execution.executor import execute
from sweep.execution.loggers import PACKAGES, Logged, Teller, check_installed, logged
from sweep.execution.progress import display_for
from sweep.keeping import Keeper
from sweep.search.ledger import STOPPED
from sweep.settings import LOGGERS
from tests.sweep.execution import canned
from tests.sweep.execution.logged import Read, mlflow_runs, tensorboard_runs, wandb_runs
from tests.sweep.execution.test_executor import data, work_for  # noqa: F401  a fixture among them

# MLflow 3.17 still asks SQLAlchemy for what 2.1 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(autouse=True, scope="module")
def no_server_is_named():
    """Whatever is set here, or by the loggers, is set nowhere else."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}
    with mock.patch.dict(os.environ, others, clear=True):
        yield


@pytest.fixture
def no_server_here():
    with mock.patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield


def display_into(output, work, folder, names):
    console = Console(file=output, width=400)
    plain = display_for(console, len(work.trials), 2)
    return logged(plain, names, folder, work.trials, lambda line: console.print(line, soft_wrap=True, markup=False))


def sweep(work, folder, function, names=LOGGERS):
    """Run a sweep that is logged; return its records by title, and the lines that it said."""
    output = io.StringIO()
    keeper = Keeper(folder, "none", [], work.checkpoints)
    execute(work, keeper.keep, display_into(output, work, folder, names), lambda _: "repeat", run=function)
    titles = {config.trial_id: config.title for config in work.trials}
    records = [read_record(path.parent) for path in folder.glob("trials/*/record.json")]
    return {titles[record.trial_id]: record for record in records}, output.getvalue().splitlines()


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):  # noqa: F811
    """Two strategies and two seeds; seed 1 fails after its three epochs."""
    folder = tmp_path_factory.mktemp("reports") / "faces"
    records, lines = sweep(work_for(data, "1,2"), folder, canned.tell_but_fail_on_seed_1)
    return folder, records, lines


@pytest.fixture(scope="module", params=LOGGERS)
def read(request, done) -> dict[str, Read]:
    folder, _, _ = done
    if request.param == "tensorboard":
        return tensorboard_runs(folder / "tensorboard")
    return mlflow_runs(folder, "faces") if request.param == "mlflow" else wandb_runs(folder)


def test_every_trial_is_a_run_under_its_own_name(read, done):
    _, records, _ = done
    assert set(read) == set(records)
    assert {"resnet18/full seed 1", "resnet18/linear_probe seed 2"} < set(read)


def test_every_epochs_validation_is_logged_at_its_step(read, done):
    for run in read.values():
        seed = int(run.filters["seed"])
        assert run.values["epoch/validation_loss"] == [(n, pytest.approx(seed + 1 / n)) for n in (1, 2, 3)]
        assert run.values["epoch/validation_accuracy"] == [(n, n / 8) for n in (1, 2, 3)]


def test_a_completed_trials_last_values_are_its_records(read, done):
    _, records, _ = done
    for title, record in records.items():
        for part in ("validation", "test"):
            logged_there = {name: entries for name, entries in read[title].values.items() if name.startswith(part)}
            numbers = {name: value for name, value in getattr(record, part).items() if isinstance(value, float)}
            assert logged_there == {f"{part}/{name}": [(3, pytest.approx(numbers[name]))] for name in numbers}
    assert {"accuracy", "loss", "f1_macro"} < records["resnet18/full seed 2"].test.keys()


def test_runs_are_filtered_by_what_tells_trials_apart(read, done):
    _, records, _ = done
    for title, record in records.items():
        wanted = {name: str(getattr(record, name)) for name in ("model", "strategy", "arm", "trial_id")}
        wanted |= {"split": record.split_digest, "lr_head": str(record.config["strategy"]["lr_head"])}
        assert wanted.items() <= {name: str(value) for name, value in read[title].filters.items()}.items()
        assert float(read[title].filters["seed"]) == record.seed


def test_runs_have_the_status_of_their_trials(read, done):
    _, records, _ = done
    assert {title: run.status for title, run in read.items()} == {
        title: record.status for title, record in records.items()
    }
    assert sorted(run.status for run in read.values()) == ["completed"] * 2 + ["failed"] * 2


def test_a_failed_trials_run_ends_as_failed(done):
    folder, _, _ = done
    assert {run.status: run.ended for run in mlflow_runs(folder, "faces").values()} == {
        "failed": "FAILED",
        "completed": "FINISHED",
    }
    assert {run.status: run.ended for run in wandb_runs(folder).values()} == {"failed": 1, "completed": 0}


def test_loggers_write_into_their_folders_alone_and_say_nothing(done):
    folder, _, lines = done
    assert {path.name for path in folder.iterdir()} == {"trials", "tensorboard", "mlruns", "wandb"}
    assert len(lines) == 4, "one a trial"
    assert not Path("mlruns").exists()


def test_a_server_that_is_gone_costs_one_line_and_no_record(data, tmp_path, monkeypatch, capfd):  # noqa: F811
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    records, lines = sweep(work_for(data, "1,2"), tmp_path, canned.train_and_tell, ("mlflow", "tensorboard"))
    assert [record.status for record in records.values()] == ["completed"] * 4
    (line,) = [line for line in lines if "mlflow" in line]
    assert line.startswith("mlflow failed, and nothing more is logged there; the records are whole (")
    assert "127.0.0.1" in line
    assert set(tensorboard_runs(tmp_path / "tensorboard")) == set(records), "the others go on"
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == ""


class Heard:
    """Stands in for one of Ray's loggers, and remembers."""

    def __init__(self):
        self.calls = []

    def setup(self):
        self.calls.append("setup")

    def log_trial_start(self, run):
        self.calls.append(f"start {run}")

    def log_trial_result(self, step, run, values):
        self.calls.append(f"{step} of {run}")

    def log_trial_end(self, run, failed):
        self.calls.append(f"end {run} {run.status} {failed}")


def hear(work, events, say=print):
    """Return what a logger is told of a sweep in which `events` happen to its display."""
    heard = Heard()
    plain = display_for(Console(file=io.StringIO()), len(work.trials), 1)
    with Logged(plain, [Teller("heard", heard, say)], Path("faces"), work.trials) as display:
        events(display)
    return heard.calls


def completed(config, **values):
    return TrialRecord(**identity(config), status="completed", validation={"accuracy": 0.5}, **values)


def test_a_trial_begun_again_goes_on_in_its_run(data):  # noqa: F811
    work = work_for(data, "1")
    config, entry = work.trials[0], {"epoch": 1, "validation_loss": 1.0, "validation_accuracy": 0.5}

    def lose_and_begin_again(display):
        for _ in range(2):
            display.started(config)
            display.epoch(config, entry)
        display.finished(completed(config, epochs_run=1), "repeat")

    title = config.title
    assert hear(work, lose_and_begin_again) == [
        *("setup", f"start {title}", f"1 of {title}", f"1 of {title}"),
        *(f"1 of {title}", f"end {title} completed False"),
    ]


def test_a_stopped_sweep_ends_the_runs_that_are_open_as_unfinished(data):  # noqa: F811
    work = work_for(data, "1")
    title = work.trials[0].title
    calls = hear(work, lambda display: display.started(work.trials[0]))
    assert calls == ["setup", f"start {title}", f"end {title} unfinished True"]


def test_a_candidate_that_a_search_stopped_is_told_as_such(data):  # noqa: F811
    work = work_for(data, "1")
    config = work.trials[0]
    record = completed(config, epochs_run=2, environment={STOPPED: True})
    calls = hear(work, lambda display: display.finished(record, "repeat"))
    assert calls[-1] == f"end {config.title} stopped False"


def test_folds_of_one_seed_are_told_apart_by_their_ids(data):  # noqa: F811
    work = work_for(data, "1")
    folds = [replace(work.trials[0], split_digest=digest) for digest in ("first", "second")]
    work = replace(work, trials=folds)
    calls = hear(work, lambda display: [display.started(config) for config in folds])
    assert calls[1:3] == [f"start {config.title} {config.trial_id}" for config in folds]


def test_a_record_is_let_go_once_it_is_logged(data):  # noqa: F811
    work = work_for(data, "1")

    def finish(display):
        record = completed(work.trials[0])
        gone = weakref.ref(record)
        display.finished(record, "repeat")
        del record
        gc.collect()
        assert gone() is None

    hear(work, finish)


def test_after_its_first_failure_a_logger_is_told_nothing_more(data, monkeypatch):  # noqa: F811
    work, said = work_for(data, "1,2"), []
    tried = []

    def fail(_, run):
        tried.append(run.name)
        raise ConnectionError("the server\nis gone.")

    monkeypatch.setattr(Heard, "log_trial_start", fail)
    hear(work, lambda display: [display.started(config) for config in work.trials], say=said.append)
    assert tried == [work.trials[0].title]
    assert said == [
        "heard failed, and nothing more is logged there; the records are whole (ConnectionError: the server is gone)."
    ]


def test_a_logger_that_does_not_answer_is_given_up_when_the_sweep_is_over(data, monkeypatch):  # noqa: F811
    work, said, answer = work_for(data, "1"), [], threading.Event()

    def fail_late(*_):
        answer.wait()
        raise ConnectionError

    monkeypatch.setattr(loggers, "PATIENCE", 0.01)
    monkeypatch.setattr(Heard, "log_trial_start", fail_late)
    hear(work, lambda display: display.started(work.trials[0]), say=said.append)
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "heard":
            thread.join()
    assert said == ["heard has not answered for 0.01 s; what it had not taken is not logged. The records are whole."]


def test_a_call_that_goes_on_adds_runs_to_those_that_are_there(data, tmp_path, no_server_here):  # noqa: F811
    work = work_for(data, "1")
    for config in work.trials:
        with display_into(io.StringIO(), work, tmp_path, LOGGERS) as display:
            display.started(config)
            display.finished(completed(config), "repeat")
    titles = {config.title for config in work.trials}
    assert len(titles) == 2
    assert set(tensorboard_runs(tmp_path / "tensorboard")) == titles
    assert set(mlflow_runs(tmp_path, tmp_path.name)) == titles
    assert set(wandb_runs(tmp_path)) == titles


def test_the_users_own_environment_decides_where(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of my own")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    (tmp_path / "mlruns").mkdir()
    work, out = work_for(data, "1"), tmp_path / "out"
    with display_into(io.StringIO(), work, out, ("mlflow", "wandb")) as display:
        display.started(work.trials[0])
    assert set(mlflow_runs(tmp_path, "of my own")) == set(wandb_runs(tmp_path)) == {work.trials[0].title}
    assert not out.exists()


@pytest.mark.parametrize(("name", "package"), [(name, package) for name in LOGGERS for package in PACKAGES[name]])
@pytest.mark.parametrize("run", [run_sweep, run_search])
def test_a_logger_whose_package_is_missing_is_refused_before_anything_else(monkeypatch, tmp_path, run, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    options = {"dry_run": False} if run is run_sweep else {"budget": "2", "search_seeds": "7"}
    with pytest.raises(InputError, match=rf'--logger {name}: .*{package}.* pip install "animefer\[{name}\]"'):
        run({"out": str(tmp_path / "out"), "logger": name}, **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_runs_is_taken_for_no_package(monkeypatch, tmp_path):
    (tmp_path / "runs_of_earlier").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGES, "wandb", ("runs_of_earlier",))
    with pytest.raises(InputError, match="runs_of_earlier is not installed"):
        check_installed(["wandb"])


def test_every_logger_has_its_extra():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) >= set(LOGGERS) == set(PACKAGES)
