import io
import json
import os
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from animefer_core.record import Predictions, TrialRecord, read_record, write_atomically, write_record

RECORD_FIELDS = {
    "model",
    "strategy",
    "seed",
    "arm",
    "status",
    "config",
    "split_digest",
    "weights_digest",
    "epochs_run",
    "best_epoch",
    "percent_trainable",
    "history",
    "validation",
    "test",
    "efficiency",
    "environment",
    "error",
}
VIEWS = {"grey", "mirrored"}
PREDICTION_ARRAYS = {
    "validation_logits",
    "validation_labels",
    "validation_index",
    "test_logits",
    "test_labels",
    "test_index",
}
"""What record.json and predictions.npz promise to their readers."""


def predictions(shift: float = 0.0) -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        validation_logits=rng.normal(shift, 1, (4, 3)).astype(np.float32),
        validation_labels=np.array([0, 1, 2, 0]),
        validation_index=np.array([1, 3, 5, 7]),
        test_logits=rng.normal(shift, 1, (3, 3)).astype(np.float32),
        test_labels=np.array([2, 1, 0]),
        test_index=np.array([0, 2, 4]),
    )


RECORD = TrialRecord(
    trial_id="0123456789abcdef",
    model="resnet18",
    strategy="full",
    seed=42,
    arm="all",
    status="completed",
    config={"model": "resnet18", "image_size": 32},
    split_digest="5" * 64,
    weights_digest="random",
    epochs_run=2,
    best_epoch=1,
    percent_trainable=100.0,
    history=[{"epoch": 1, "train_loss": 1.1}, {"epoch": 2, "train_loss": 0.1 + 0.2}],
    validation={"accuracy": 0.5},
    test={"accuracy": 1 / 3},
    efficiency={"flops_per_image": 10},
    environment={"host": "ゆき"},
    predictions=predictions(),
)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_same(read: TrialRecord, written: TrialRecord) -> None:
    assert read == written
    assert written.predictions is not None
    assert read.predictions is not None
    arrays = read.predictions.arrays()
    assert arrays.keys() == written.predictions.arrays().keys()
    for name, array in written.predictions.arrays().items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


class TestWritten:
    def test_what_is_written_is_read(self, tmp_path):
        assert_same(read_record(write_record(tmp_path, RECORD)), RECORD)

    def test_it_lies_under_its_trial_id(self, tmp_path):
        assert write_record(tmp_path, RECORD) == tmp_path / RECORD.trial_id

    def test_nothing_else_lies_there(self, tmp_path):
        assert set(contents(write_record(tmp_path, RECORD))) == {"record.json", "predictions.npz"}

    def test_the_json_has_every_field_of_the_contract(self, tmp_path):
        values = json.loads((write_record(tmp_path, RECORD) / "record.json").read_text(encoding="utf-8"))
        assert set(values) >= RECORD_FIELDS

    def test_the_npz_has_every_array_of_the_contract(self, tmp_path):
        with np.load(write_record(tmp_path, RECORD) / "predictions.npz") as arrays:
            assert set(arrays.files) == PREDICTION_ARRAYS

    def test_other_views_lie_in_the_npz_under_their_names_and_are_read(self, tmp_path):
        views = {name: np.full((3, 3), place, np.float32) for place, name in enumerate(sorted(VIEWS))}
        with_views = replace(RECORD, predictions=replace(predictions(), view_logits=views))
        directory = write_record(tmp_path, with_views)
        with np.load(directory / "predictions.npz") as arrays:
            assert set(arrays.files) == PREDICTION_ARRAYS | {f"test_logits_{view}" for view in VIEWS}
        read = read_record(directory)
        assert_same(read, with_views)
        assert set(read.predictions.view_logits) == VIEWS

    def test_a_file_without_other_views_is_read_without_them(self, tmp_path):
        assert read_record(write_record(tmp_path, RECORD)).predictions.view_logits == {}

    def test_the_state_is_not_written(self, tmp_path):
        plain = contents(write_record(tmp_path / "a", RECORD))
        assert contents(write_record(tmp_path / "b", replace(RECORD, state={"fc.bias": np.ones(3)}))) == plain

    def test_a_failed_record_has_no_predictions(self, tmp_path):
        failed = replace(RECORD, status="failed", error={"type": "RuntimeError"}, predictions=None)
        directory = write_record(tmp_path, failed)
        assert set(contents(directory)) == {"record.json"}
        assert read_record(directory) == failed

    def test_a_completed_record_replaces_a_failed_one(self, tmp_path):
        write_record(tmp_path, replace(RECORD, status="failed", predictions=None))
        assert_same(read_record(write_record(tmp_path, RECORD)), RECORD)


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Make the call of that number (from 1) of a function fail as a full disk does."""
    original, calls = getattr(owner, name), iter(range(1, 100))

    def failing(*arguments):
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(owner, name, failing)


BEFORE_ANY_RENAME = [(os, "fsync", 1), (os, "fsync", 2), (Path, "replace", 1)]


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize(("owner", "name", "call"), [*BEFORE_ANY_RENAME, (Path, "replace", 2)])
    def test_no_record_is_there_after_a_failure(self, tmp_path, monkeypatch, owner, name, call):
        fail_at(monkeypatch, owner, name, call)
        with pytest.raises(OSError, match="No space"):
            write_record(tmp_path, RECORD)
        assert not (tmp_path / RECORD.trial_id / "record.json").exists()

    @pytest.mark.parametrize(("owner", "name", "call"), BEFORE_ANY_RENAME)
    def test_a_failure_leaves_no_file_at_all(self, tmp_path, monkeypatch, owner, name, call):
        fail_at(monkeypatch, owner, name, call)
        with pytest.raises(OSError, match="No space"):
            write_record(tmp_path, RECORD)
        assert contents(tmp_path / RECORD.trial_id) == {}

    @pytest.mark.parametrize(("owner", "name", "call"), BEFORE_ANY_RENAME)
    def test_a_failure_leaves_the_earlier_record_as_it_was(self, tmp_path, monkeypatch, owner, name, call):
        before = contents(write_record(tmp_path, RECORD))
        fail_at(monkeypatch, owner, name, call)
        with pytest.raises(OSError, match="No space"):
            write_record(tmp_path, replace(RECORD, epochs_run=3, predictions=predictions(shift=1)))
        assert contents(tmp_path / RECORD.trial_id) == before

    def test_a_failure_between_the_renames_leaves_a_failed_record_as_it_was(self, tmp_path, monkeypatch):
        failed = replace(RECORD, status="failed", predictions=None)
        directory = write_record(tmp_path, failed)
        fail_at(monkeypatch, Path, "replace", 2)
        with pytest.raises(OSError, match="No space"):
            write_record(tmp_path, RECORD)
        assert read_record(directory) == failed

    def test_a_record_and_predictions_of_two_writings_are_refused(self, tmp_path, monkeypatch):
        directory = write_record(tmp_path, RECORD)
        fail_at(monkeypatch, Path, "replace", 2)
        with pytest.raises(OSError, match="No space"):
            write_record(tmp_path, replace(RECORD, predictions=predictions(shift=1)))
        with pytest.raises(ValueError, match=r"predictions\.npz"):
            read_record(directory)

    def test_what_is_no_number_leaves_nothing(self, tmp_path):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_record(tmp_path, replace(RECORD, test={"loss": float("nan")}))
        assert list(tmp_path.iterdir()) == []

    def test_a_file_gets_its_name_only_when_it_is_on_disk(self, tmp_path, monkeypatch):
        seen = []
        original = os.fsync
        monkeypatch.setattr(os, "fsync", lambda file: (seen.append((tmp_path / "x").exists()), original(file)))
        write_atomically(tmp_path / "x", b"content")
        assert seen == [False, True], "once for the file, before its name is there, and once for the folder, after"

    def test_a_single_file_is_intact_after_a_failure(self, tmp_path, monkeypatch):
        write_atomically(tmp_path / "x", b"before")
        fail_at(monkeypatch, os, "fsync", 1)
        with pytest.raises(OSError, match="No space"):
            write_atomically(tmp_path / "x", b"after")
        assert contents(tmp_path) == {"x": b"before"}


class TestRefused:
    @pytest.mark.parametrize("field", [field.name for field in fields(TrialRecord) if field.repr])
    def test_an_edit_of_any_field_tells(self, tmp_path, field):
        path = write_record(tmp_path, RECORD) / "record.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(values | {field: "edited"}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"record\.json was changed"):
            read_record(path.parent)

    def test_a_removed_field_tells(self, tmp_path):
        path = write_record(tmp_path, RECORD) / "record.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        del values["predictions_sha256"]
        path.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(ValueError, match=r"record\.json was changed"):
            read_record(path.parent)

    def test_another_layout_of_the_same_values_is_no_edit(self, tmp_path):
        path = write_record(tmp_path, RECORD) / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True), encoding="utf-8")
        assert_same(read_record(path.parent), RECORD)

    def test_a_cut_json_is_refused(self, tmp_path):
        path = write_record(tmp_path, RECORD) / "record.json"
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ValueError, match=r"record\.json was cut"):
            read_record(path.parent)

    @pytest.mark.parametrize("kept", [0, 100, -1])
    def test_a_cut_predictions_file_is_refused(self, tmp_path, kept):
        path = write_record(tmp_path, RECORD) / "predictions.npz"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"predictions\.npz was changed"):
            read_record(path.parent)

    def test_other_predictions_are_refused(self, tmp_path):
        path = write_record(tmp_path, RECORD) / "predictions.npz"
        path.write_bytes(predictions(shift=1).to_bytes())
        with pytest.raises(ValueError, match=r"predictions\.npz was changed"):
            read_record(path.parent)

    def test_nothing_is_unpickled(self, tmp_path, monkeypatch):
        """A stranger's record with right digests and code inside: the code does not run."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive, archive.open("test_logits.npy", "w") as file:
            np.lib.format.write_array(file, np.array([Planted(tmp_path / "planted")]), allow_pickle=True)
        monkeypatch.setattr(Predictions, "to_bytes", lambda self: buffer.getvalue())
        directory = write_record(tmp_path, RECORD)
        with pytest.raises(ValueError, match="allow_pickle=False"):
            read_record(directory)
        assert not (tmp_path / "planted").exists()


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)
