"""Where the last epochs of unfinished trials lie, and when they go.

    --storage URI                    one file a trial there, written and read by the trial's own process
    on this machine, without it      the same in DIR/checkpoints/
    on a cluster, without it         nowhere: a trial whose process is lost begins anew

The driver deletes a trial's checkpoint once the trial's record is whole.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from animefer_core.errors import InputError
from animefer_core.training.checkpoint import (
    EpochState,
    NoCheckpoints,
    TimedCheckpoints,
    read_checkpoint,
    write_checkpoint,
)
from sweep.settings import CHECKPOINTS, LOCAL, Settings

SUFFIX = ".safetensors"
HURRY = "keep-this-epoch"
"""The file whose presence asks trials to keep their epoch: both the driver and every trial reach it."""
CHECK_SECONDS = 60
"""How long a store may take to show that it can be written to."""
BLOCK = 2**24
"""Bytes copied at a time."""


class Room(Protocol):
    """One kind of place; every method may raise OSError."""

    def read(self, name: str) -> EpochState | None:
        """Return the state in a file, or None where there is none that is whole."""

    def write(self, name: str, state: EpochState) -> None:
        """Put a state into a file, in the place of an earlier one."""

    def delete(self, trial_ids: Collection[str]) -> None:
        """Delete what is there of some trials."""

    def is_there(self, name: str) -> bool:
        """Return whether there is a file of that name."""

    def mark(self, name: str) -> None:
        """Write an empty file."""

    def unmark(self, name: str) -> None:
        """Delete an empty file, if it is there."""

    def check(self) -> None:
        """Write a file, and delete it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where checkpoints are kept and how often; it travels to the workers."""

    where: str | None
    """A folder, absolute, or a URI that pyarrow knows; None: nowhere."""
    minutes: float
    """Least age of a trial's last checkpoint when the next is written; 0: every epoch."""

    def of(self, trial_id: str) -> TimedCheckpoints | NoCheckpoints:
        """Return what a trial goes on from and offers its epochs to."""
        if self.where is None:
            return NoCheckpoints()
        room, name = room_at(self.where), f"{trial_id}{SUFFIX}"
        return TimedCheckpoints(
            self.minutes, partial(room.read, name), partial(room.write, name), hurried=partial(room.is_there, HURRY)
        )

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self.where is not None

    def hurry(self) -> None:
        """Have every trial keep the epoch that it is in, wherever it runs."""
        if self.where is not None:
            room_at(self.where).mark(HURRY)

    def count(self, trial_ids: Iterable[str]) -> int:
        """Return how many of these trials have a checkpoint."""
        if self.where is None:
            return 0
        room = room_at(self.where)
        with contextlib.suppress(OSError):
            return sum(room.is_there(f"{trial_id}{SUFFIX}") for trial_id in trial_ids)
        return 0

    def calm(self) -> None:
        """Take that back."""
        if self.where is not None:
            room_at(self.where).unmark(HURRY)

    def check(self) -> None:
        """Raise InputError where no file can be written."""
        if self.where is None:
            return
        try:
            _within(CHECK_SECONDS, partial(_check_at, self.where))
        except (OSError, ValueError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"--storage {self.where}: no checkpoint can be written there ({reason}); give a folder, or a URI of a "
                "store that pyarrow reaches from here."
            ) from error

    def discard(self, *trial_ids: str) -> None:
        """Delete the checkpoints of these trials, where they have any."""
        if self.where is None or not trial_ids:
            return
        # What cannot be deleted now is left for the next call.
        with contextlib.suppress(OSError):
            room_at(self.where).delete(set(trial_ids))


def _check_at(where: str) -> None:
    room_at(where).check()


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Call in a thread that is left behind when it takes longer, and raise what the call raises, or TimeoutError.

    Some stores are asked again for a quarter of an hour, in a library that hears no signal.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if raised:
        raise raised[0]


NOWHERE = Place(where=None, minutes=0.0)


def place_for(settings: Settings, *, one_trial: bool) -> Place:
    """Return where the trials of a sweep, or one without Ray, keep their epochs."""
    where = settings.storage
    if where is None and (one_trial or settings.address == LOCAL):
        where = str(settings.out / CHECKPOINTS)
    return Place(where=where, minutes=settings.checkpoint_minutes)


def room_at(where: str) -> Room:
    """Return the room at a folder or URI; raises ValueError or OSError for a URI that leads nowhere."""
    if "://" not in where:
        return Folder(Path(where))
    # Only where it is asked for: it takes longer to load than a small trial's epoch.
    from pyarrow.fs import FileSystem

    return Store(*FileSystem.from_uri(where))


@dataclass(frozen=True)
class Folder:
    """A folder that is there when a trial is taken up again: this machine's, or a shared one."""

    path: Path

    def read(self, name: str) -> EpochState | None:
        """Return the state in a file, or None."""
        return read_checkpoint(self.path / name)

    def write(self, name: str, state: EpochState) -> None:
        """Put a state into a file, whole or not at all."""
        write_checkpoint(self.path / name, state)

    def delete(self, trial_ids: Collection[str]) -> None:
        """Delete files of some trials, also what a killed process left half written beside them."""
        for path in self.path.glob(f"*{SUFFIX}*"):
            if path.name.lstrip(".").partition(".")[0] in trial_ids:
                path.unlink(missing_ok=True)

    def is_there(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self.path / name).exists()

    def mark(self, name: str) -> None:
        """Write an empty file."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / name).touch()

    def unmark(self, name: str) -> None:
        """Delete an empty file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def check(self) -> None:
        """Write a file, and delete it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):
            pass


@dataclass(frozen=True)
class Store:
    """A store that pyarrow reaches (s3, gs, abfs, hdfs).

    Object stores show a file once it is whole; another store may show a cut one, which its digest betrays.
    """

    filesystem: Any
    """A pyarrow.fs.FileSystem."""
    path: str

    def read(self, name: str) -> EpochState | None:
        """Return the state in a file, or None."""
        with self._copy(name) as copy:
            try:
                with self.filesystem.open_input_stream(self._at(name)) as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target, BLOCK)
            except FileNotFoundError:
                return None
            return read_checkpoint(copy)

    def write(self, name: str, state: EpochState) -> None:
        """Put a state into a file."""
        with self._copy(name) as copy:
            write_checkpoint(copy, state)
            with copy.open("rb") as source, self.filesystem.open_output_stream(self._at(name)) as target:
                shutil.copyfileobj(source, target, BLOCK)

    def delete(self, trial_ids: Collection[str]) -> None:
        """Delete files of some trials."""
        from pyarrow.fs import FileSelector

        for file in self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True)):
            if file.base_name.endswith(SUFFIX) and file.base_name.removesuffix(SUFFIX) in trial_ids:
                self.filesystem.delete_file(file.path)

    def is_there(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        from pyarrow.fs import FileType

        return bool(self.filesystem.get_file_info(self._at(name)).type == FileType.File)

    def mark(self, name: str) -> None:
        """Write an empty file."""
        self.filesystem.create_dir(self.path, recursive=True)
        with self.filesystem.open_output_stream(self._at(name)) as file:
            file.write(b"")

    def unmark(self, name: str) -> None:
        """Delete an empty file, if it is there."""
        if self.is_there(name):
            self.filesystem.delete_file(self._at(name))

    def check(self) -> None:
        """Write a file, and delete it."""
        self.mark("animefer-can-write")
        self.unmark("animefer-can-write")

    def _at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _copy(self, name: str) -> Iterator[Path]:
        """Give a file of this machine on the way from or to the store."""
        with tempfile.TemporaryDirectory(prefix="animefer-") as folder:
            yield Path(folder) / name
