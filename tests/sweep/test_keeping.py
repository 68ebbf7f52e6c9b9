from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from animefer_core.record import TrialRecord
from animefer_core.trial import identity
from sweep.checkpoints import Place
from sweep.keeping import MODEL, Keeper, tidy
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.records import one_split


def records(accuracies):
    """Completed trials of seed 1, without predictions, with these validation accuracies."""
    settings = resolve({"models": "resnet18", "strategies": "linear_probe,partial,full", "seeds": "1"})
    configs = grid(settings, one_split(), weights={"resnet18": "random"}, threads=1)
    return [
        TrialRecord(**identity(config), status="completed", validation={"accuracy": accuracy, "loss": 1.0})
        for config, accuracy in zip(configs, accuracies, strict=True)
    ]


def kept_after(tmp_path, policy, accuracies):
    trials, keeper = records(accuracies), Keeper(tmp_path, policy, [])
    for number, record in enumerate(trials):
        keeper.keep(record, lambda number=number: {"weight": np.full(2, number, np.float32)})
    return [(tmp_path / "trials" / record.trial_id / MODEL).exists() for record in trials]


@pytest.mark.parametrize(
    ("policy", "kept"), [("none", [False] * 3), ("all", [True] * 3), ("best", [False, True, False])]
)
def test_which_models_are_kept(tmp_path, policy, kept):
    assert kept_after(tmp_path, policy, [0.5, 0.9, 0.7]) == kept


def test_the_model_that_is_kept_is_the_trials_own(tmp_path):
    kept_after(tmp_path, "best", [0.5, 0.9, 0.7])
    (path,) = (tmp_path / "trials").glob(f"*/{MODEL}")
    np.testing.assert_array_equal(load_file(path)["weight"], [1, 1])


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_checkpoint_goes_when_the_record_is_there_and_no_other(tmp_path, status):
    first, second, _ = records([0.9, 0.5, 0.1])
    first = replace(first, status=status)
    place = Place(where=str(tmp_path / "checkpoints"), minutes=0)
    (tmp_path / "checkpoints").mkdir()
    for record in (first, second):
        (tmp_path / "checkpoints" / f"{record.trial_id}.safetensors").touch()
    Keeper(tmp_path, "none", [], place).keep(first, lambda: None)
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == [second.trial_id]


def test_a_checkpoint_stays_where_the_record_cannot_be_written(tmp_path):
    (record, *_), place = records([0.9, 0.5, 0.1]), Place(where=str(tmp_path / "checkpoints"), minutes=0)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{record.trial_id}.safetensors").touch()
    (tmp_path / "trials").touch()
    with pytest.raises(OSError, match="trials"):
        Keeper(tmp_path, "none", [], place).keep(record, lambda: None)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_a_later_call_knows_the_best_of_an_earlier_one(tmp_path):
    first, second, _ = records([0.9, 0.5, 0.1])
    Keeper(tmp_path, "best", []).keep(first, lambda: {"weight": np.zeros(1)})
    Keeper(tmp_path, "best", [first]).keep(second, lambda: {"weight": np.ones(1)})
    assert not (tmp_path / "trials" / second.trial_id / MODEL).exists()


def test_a_checkpoint_that_is_not_kept_is_not_fetched(tmp_path):
    def fetch():
        raise AssertionError("fetched")

    first, second, _ = records([0.9, 0.5, 0.1])
    keeper = Keeper(tmp_path, "best", [])
    keeper.keep(first, lambda: {"weight": np.zeros(1)})
    keeper.keep(second, fetch)


def test_others_may_read_a_model_as_they_may_its_record(tmp_path):
    kept_after(tmp_path, "all", [0.5, 0.9, 0.7])
    for path in (tmp_path / "trials").glob(f"*/{MODEL}"):
        assert path.stat().st_mode == (path.parent / "record.json").stat().st_mode


def test_a_model_without_a_record_is_not_taken_for_that_of_the_next_run(tmp_path):
    first, second, _ = records([0.9, 0.5, 0.1])
    left = tmp_path / "trials" / second.trial_id / MODEL
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed before it had a record")
    keeper = Keeper(tmp_path, "best", [])
    keeper.keep(first, lambda: {"weight": np.zeros(2, np.float32)})
    keeper.keep(second, lambda: {"weight": np.ones(2, np.float32)})
    assert not left.exists()


@pytest.mark.parametrize(("best_only", "left"), [(True, 1), (False, 2)])
def test_what_killed_processes_left_is_deleted(tmp_path, best_only, left):
    trials = records([0.5, 0.9, 0.7])
    for record in trials[:2]:
        Keeper(tmp_path, "all", []).keep(record, lambda: {"weight": np.zeros(2, np.float32)})
    half = [tmp_path / "trials" / trials[0].trial_id / f".{MODEL}.123", tmp_path / ".sweep.json.77"]
    others = [tmp_path / ".lock", tmp_path / "faces" / ".hidden.png"]
    others[1].parent.mkdir()
    for path in (*half, *others):
        path.touch()
    tidy(tmp_path, trials, best_only=best_only)
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)
    models = [path.parent.name for path in tmp_path.glob(f"trials/*/{MODEL}")]
    assert len(models) == left
    assert trials[1].trial_id in models
