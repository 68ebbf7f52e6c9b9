from pathlib import Path

import pytest
import torch
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from animefer_core.errors import InputError
from animefer_core.training.checkpoint import EpochState, NoCheckpoints
from sweep.checkpoints import NOWHERE, Folder, Place, Room, Store, place_for, room_at
from sweep.settings import resolve

FIRST, SECOND = "0" * 16, "1" * 16
STATE = EpochState(
    history=[{"epoch": 1}],
    best_loss=1.0,
    best_epoch=1,
    best={},
    best_logits=torch.zeros(2, 3).numpy(),
    ever_trained={"weight"},
    model={"weight": torch.ones(3)},
    adamw={},
    resumed_after=[],
)


@pytest.fixture(params=["folder", "store"])
def room(request, tmp_path) -> Room:
    """Return a room whose files lie in tmp_path/kept: a folder, or the same by way of pyarrow."""
    if request.param == "folder":
        return Folder(tmp_path / "kept")
    store = Store(SubTreeFileSystem(str(tmp_path), LocalFileSystem()), "kept")
    store.check()
    return store


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "kept").iterdir())


class TestRoom:
    def test_what_was_written_is_read(self, room):
        room.write("it.safetensors", STATE)
        state = room.read("it.safetensors")
        assert (state.history, state.ever_trained) == (STATE.history, STATE.ever_trained)
        assert state.model["weight"].tolist() == [1, 1, 1]

    def test_there_is_nothing_before(self, room):
        assert room.read("it.safetensors") is None

    def test_a_later_state_takes_the_place_of_an_earlier_one(self, room, tmp_path):
        for number in (1, 2):
            room.write("it.safetensors", EpochState(**{**vars(STATE), "best_epoch": number}))
        assert room.read("it.safetensors").best_epoch == 2
        assert files(tmp_path) == ["it.safetensors"]

    def test_a_cut_file_is_nothing(self, room, tmp_path):
        room.write("it.safetensors", STATE)
        path = tmp_path / "kept" / "it.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        assert room.read("it.safetensors") is None

    def test_only_the_trials_that_are_named_are_deleted(self, room, tmp_path):
        for trial_id in (FIRST, SECOND):
            room.write(f"{trial_id}.safetensors", STATE)
        room.delete({FIRST})
        assert files(tmp_path) == [f"{SECOND}.safetensors"]

    def test_deleting_what_is_not_there_is_no_fault(self, room):
        room.delete({FIRST})

    def test_a_check_leaves_nothing(self, room, tmp_path):
        room.check()
        assert files(tmp_path) == []


def test_what_a_killed_process_left_half_written_goes_too(tmp_path):
    (tmp_path / f".{FIRST}.safetensors.4711").write_bytes(b"half")
    (tmp_path / f".{SECOND}.safetensors.4711").write_bytes(b"half")
    Folder(tmp_path).delete({FIRST})
    assert [path.name for path in tmp_path.iterdir()] == [f".{SECOND}.safetensors.4711"]


def test_a_uri_is_pyarrows():
    room = room_at("mock:///some/where")
    assert (type(room), room.path, room.filesystem.type_name) == (Store, "some/where", "mock")


class TestPlace:
    @pytest.mark.parametrize(
        ("options", "one_trial", "where"),
        [
            ({}, False, "out/checkpoints"),
            ({}, True, "out/checkpoints"),
            ({"address": "head:6379"}, False, None),
            ({"address": "head:6379"}, True, "out/checkpoints"),
            ({"address": "head:6379", "storage": "s3://bucket/x"}, False, "s3://bucket/x"),
            ({"storage": "s3://bucket/x"}, True, "s3://bucket/x"),
        ],
    )
    def test_it_is_the_results_folder_unless_told_and_on_a_cluster_nowhere(self, tmp_path, options, one_trial, where):
        place = place_for(resolve({**options, "out": str(tmp_path / "out")}), one_trial=one_trial)
        assert place.where == (str(tmp_path / where) if where == "out/checkpoints" else where)

    def test_the_minutes_are_the_settings(self):
        assert place_for(resolve({"checkpoint_minutes": "0.5"}), one_trial=True).minutes == 0.5
        assert place_for(resolve({}), one_trial=True).minutes == 5

    def test_nowhere_keeps_nothing(self):
        assert isinstance(NOWHERE.of(FIRST), NoCheckpoints)
        NOWHERE.check()
        NOWHERE.discard(FIRST)

    def test_a_trial_has_the_file_of_its_id(self, tmp_path):
        place = Place(where=str(tmp_path), minutes=0)
        place.of(FIRST).offer(lambda: STATE)
        assert [path.name for path in tmp_path.iterdir()] == [f"{FIRST}.safetensors"]
        assert place.of(FIRST).load().best_epoch == 1
        assert place.of(SECOND).load() is None
        place.discard(SECOND, FIRST)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("where", ["nope://bucket/x", "FILE", "FILE/below"])
    def test_a_place_that_cannot_be_written_is_named_in_one_sentence(self, tmp_path, where):
        (tmp_path / "FILE").touch()
        where = str(tmp_path / where) if where.startswith("FILE") else where
        with pytest.raises(InputError) as caught:
            Place(where=where, minutes=0).check()
        assert str(caught.value).startswith(f"--storage {where}: no checkpoint can be written there (")
        assert "\n" not in str(caught.value)
