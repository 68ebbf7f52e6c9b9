"""What is kept of a finished trial: its record always, its model where `--save-models` says so, no checkpoint."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import save_file

from animefer_core.record import TrialRecord, write_record
from sweep.checkpoints import NOWHERE, Place
from sweep.settings import SaveModels

State = Mapping[str, Any]
MODEL = "model.safetensors"


class Keeper:
    """Writes records into DIR/trials/ as they come."""

    def __init__(
        self,
        folder: Path,
        save_models: SaveModels,
        present: Iterable[TrialRecord],
        checkpoints: Place = NOWHERE,
    ) -> None:
        self._trials = folder / "trials"
        self._checkpoints = checkpoints
        self._save_models = save_models
        self._best: dict[int, TrialRecord] = {}
        for record in present:
            if record.status == "completed" and (self._trials / record.trial_id / MODEL).exists():
                self._best[record.seed] = max(record, self._best.get(record.seed, record), key=validation_rank)

    def keep(self, record: TrialRecord, state: Callable[[], State | None]) -> None:
        """Write a record, and its model if it is to be kept; `state` fetches the tensors.

        Under "best" a seed keeps the model of its trial with the best validation accuracy so far (then the lowest
        validation loss); the file of the one that it overtakes is deleted.
        """
        wanted = record.status == "completed" and self._wants(record)
        tensors = state() if wanted else None
        directory = self._trials / record.trial_id
        if tensors is not None:
            directory.mkdir(parents=True, exist_ok=True)
            _save(tensors, directory / MODEL)
        else:
            # One that is there is of another run, which was killed before it had a record.
            (directory / MODEL).unlink(missing_ok=True)
        write_record(self._trials, record)
        self._checkpoints.discard(record.trial_id)
        if tensors is not None and self._save_models == "best":
            overtaken = self._best.get(record.seed)
            self._best[record.seed] = replace(record, predictions=None)
            if overtaken is not None and overtaken.trial_id != record.trial_id:
                (self._trials / overtaken.trial_id / MODEL).unlink(missing_ok=True)

    def _wants(self, record: TrialRecord) -> bool:
        if self._save_models == "best":
            best = self._best.get(record.seed)
            # The best one itself comes again where --again has moved its folder aside.
            again = best is not None and best.trial_id == record.trial_id
            return best is None or again or validation_rank(record) > validation_rank(best)
        return self._save_models == "all"


def tidy(folder: Path, records: Iterable[TrialRecord], *, best_only: bool) -> None:
    """Delete what killed processes left: files half written and, with `best_only`, models that were overtaken.

    `best_only` says that every call so far kept each seed's best model alone. The folder is locked by the caller.
    """
    for path in (*folder.glob("trials/*/.*.*"), *folder.glob("*/.*.*"), *folder.glob(".*.*")):
        if path.is_file() and path.suffix[1:].isdigit():
            path.unlink()
    if not best_only:
        return
    with_model: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.status == "completed" and (folder / "trials" / record.trial_id / MODEL).exists():
            with_model.setdefault(record.seed, []).append(record)
    for rivals in with_model.values():
        for record in sorted(rivals, key=validation_rank)[:-1]:
            (folder / "trials" / record.trial_id / MODEL).unlink()


def validation_rank(record: TrialRecord) -> tuple[float, float]:
    """Return what a larger value of is better: validation accuracy, then a lower validation loss."""
    return record.validation["accuracy"], -record.validation["loss"]


def _save(tensors: State, path: Path) -> None:
    """Write a model file so that it is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.touch()
        mode = beside.stat().st_mode
        try:
            save_file(dict(tensors), beside)
        except SafetensorError as error:
            # That is what a full disk looks like from in there.
            raise OSError(errno.EIO, str(error), str(beside)) from error
        # safetensors lets nobody else read its files; this one follows the user's mask, as the record beside it does.
        beside.chmod(mode)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
