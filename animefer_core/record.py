"""What a trial leaves behind: one JSON file and one file of per-image logits, there whole or not at all.

    DIR/trials/<trial_id>/predictions.npz   written first
    DIR/trials/<trial_id>/record.json       written last, so that its presence means the trial is whole

Tables and figures are computed from these and nothing else.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from animefer_core.config import canonical_json

Status = Literal["completed", "failed"]
ALONE = "alone_after_out_of_memory"
"""In environment{}: the trial had a card to itself because it did not fit beside others."""
VIEW_PREFIX = "test_logits_"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Per-image logits of the chosen checkpoint; rows of one part go together."""

    validation_logits: npt.NDArray[np.float32]
    """(validation images, classes)"""
    validation_labels: npt.NDArray[np.int64]
    """(validation images,) class numbers"""
    validation_index: npt.NDArray[np.int64]
    """(validation images,) rows of split.json's images"""
    test_logits: npt.NDArray[np.float32]
    """(test images, classes)"""
    test_labels: npt.NDArray[np.int64]
    """(test images,) class numbers"""
    test_index: npt.NDArray[np.int64]
    """(test images,) rows of split.json's images"""
    view_logits: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Name of another view of the same test images -> (test images, classes); empty where none was met."""

    def arrays(self) -> dict[str, Any]:
        """Return every array by its name in the .npz file; those of other views are test_logits_<view>."""
        own = {name: value for name, value in vars(self).items() if name != "view_logits"}
        return own | {f"{VIEW_PREFIX}{view}": logits for view, logits in self.view_logits.items()}

    def to_bytes(self) -> bytes:
        """Return the arrays as an .npz file's bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays())
        return buffer.getvalue()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return the predictions whose `arrays()` these are; raises TypeError where one is lacking or unknown."""
        views = {name.removeprefix(VIEW_PREFIX): a for name, a in arrays.items() if name.startswith(VIEW_PREFIX)}
        own = {name: array for name, array in arrays.items() if not name.startswith(VIEW_PREFIX)}
        return cls(**own, view_logits=views)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, completed or failed."""

    trial_id: str
    model: str
    strategy: str
    seed: int
    arm: str
    status: Status
    config: Mapping[str, Any]
    """`TrialConfig.as_dict()`: all that decided the numbers, as asked."""
    split_digest: str
    weights_digest: str
    epochs_run: int = 0
    best_epoch: int | None = None
    """Counted from 1; the epoch whose weights met the test set."""
    percent_trainable: float | None = None
    """In percent; what was trainable in the last epoch run."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry an epoch, counted from 1."""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """Metrics of the chosen checkpoint on the validation images."""
    test: Mapping[str, Any] = field(default_factory=dict)
    """Metrics of the one meeting with the test images; when it took place is `environment["test_met_at"]`."""
    efficiency: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    """Empty, or type, message and traceback of what ended the trial."""
    predictions: Predictions | None = field(default=None, repr=False, compare=False)
    """Not in the JSON file but beside it; None in a failed trial."""
    state: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The chosen checkpoint's tensors, where they were asked for; never written with the record."""


def write_record(folder: Path, record: TrialRecord) -> Path:
    """Write a record into `folder`/<trial_id>/ atomically and return that directory.

    The JSON carries the SHA-256 of the predictions' file and of itself, so that a cut or edited record tells.
    """
    directory = folder / record.trial_id
    contents: dict[str, bytes] = {}
    values = asdict_shallow(record)
    if record.predictions is not None:
        contents["predictions.npz"] = record.predictions.to_bytes()
        values["predictions_sha256"] = hashlib.sha256(contents["predictions.npz"]).hexdigest()
    values["digest"] = record_digest(values)
    contents["record.json"] = json.dumps(values, indent=1, ensure_ascii=False).encode()
    directory.mkdir(parents=True, exist_ok=True)
    _write_together(directory, contents)
    return directory


def read_record(directory: Path, *, predictions_too: bool = True) -> TrialRecord:
    """Return the record in `directory`, with its predictions unless they are not asked for.

    Raises ValueError where record.json or predictions.npz was cut or edited since it was written.
    """
    path = directory / "record.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} was cut after it was written: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} was changed after it was written")  # noqa: TRY004 - the same fault as an edited one
    if values.pop("digest", None) != record_digest(values):
        raise ValueError(f"{path} was changed after it was written")
    expected = values.pop("predictions_sha256", None)
    predictions = None
    if expected is not None and predictions_too:
        content = (directory / "predictions.npz").read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(f"{directory / 'predictions.npz'} was changed after it was written")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            predictions = Predictions.from_arrays({name: arrays[name] for name in arrays.files})
    return TrialRecord(**values, predictions=predictions)


def asdict_shallow(record: TrialRecord) -> dict[str, Any]:
    """Return the fields that go into the JSON file."""
    return {name: value for name, value in vars(record).items() if name not in ("predictions", "state")}


def record_digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record's JSON values, the digest itself left out."""
    content = {name: value for name, value in values.items() if name != "digest"}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut: beside, fsync, rename."""
    _write_together(path.parent, {path.name: content})


def _write_together(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write files atomically, in order; none gets its name before all of them are on disk.

    A disk that fills up therefore leaves what was there before.
    """
    beside = {name: directory / f".{name}.{os.getpid()}" for name in contents}
    try:
        for name, content in contents.items():
            with beside[name].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in beside.items():
            path.replace(directory / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
