"""Images on their way to the workers: decoded once by the driver, once on every node.

in Ray's object store              where they take half of it at most: all processes of a node read one copy
in a memory-mapped file of a node  where they do not fit: they pass through the store in blocks, and the first process
                                   of a node writes the file that all of them map
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from animefer_core.data.pixels import ImageSet
from sweep.execution.cluster import alive

LARGEST_PART = 0.5
"""Of the object store, which holds records and models as well."""
BLOCK_BYTES = 64_000_000
PREFIX = "animefer-images-"


@dataclass(frozen=True)
class SharedImages:
    """An image set by reference; it travels to the workers."""

    without_pixels: Any
    """Reference to the image set; its pixels are empty where `blocks` hold them."""
    blocks: Sequence[Any]
    """References to the pixels, a run of images each; empty where the image set has its own."""
    name: str
    """Of the file in which a node keeps the blocks."""

    def get(self) -> ImageSet:
        """Return the image set, in a process of any node. Raises OSError where the node's file cannot be written."""
        data: ImageSet = ray.get(self.without_pixels)
        return replace(data, pixels=self._mapped()) if self.blocks else data

    def _mapped(self) -> npt.NDArray[np.uint8]:
        path = Path(tempfile.gettempdir()) / self.name
        if self.name not in _held:
            _held[self.name] = _lock_of(path)
            _delete_what_nobody_holds(path.parent)
        with _lock_of(path.with_name(f"{self.name}.writing"), fcntl.LOCK_EX):
            if not path.exists():
                _write(path, self.blocks)
        mapped: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
        return mapped


_held: dict[str, Any] = {}
"""Names of files that this process maps -> their locks, which last as long as it does."""


def share(data: ImageSet) -> SharedImages:
    """Put an image set into the object store of the cluster that is joined, or its pixels in blocks."""
    smallest = min(node["Resources"].get("object_store_memory", 0) for node in alive())
    # By chance: a file that an earlier sweep left must never be taken for this one's.
    name = f"{PREFIX}{secrets.token_hex(8)}.npy"
    if data.pixels.nbytes <= LARGEST_PART * smallest:
        return SharedImages(ray.put(data), (), name)
    per_block = max(1, int(min(BLOCK_BYTES, smallest / 8)) // data.pixels[0].nbytes)
    # Ray writes what its store cannot hold to the disk, block by block.
    blocks = [ray.put(data.pixels[first : first + per_block]) for first in range(0, len(data.pixels), per_block)]
    return SharedImages(ray.put(replace(data, pixels=data.pixels[:0])), blocks, name)


def _write(path: Path, blocks: Sequence[Any]) -> None:
    """Write the blocks of pixels, one after another, as one array's file that is there whole or not at all."""
    first = ray.get(blocks[0])
    images = (len(blocks) - 1) * len(first) + len(ray.get(blocks[-1]))
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        array = np.lib.format.open_memmap(beside, "w+", first.dtype, (images, *first.shape[1:]))
        for number, block in enumerate(blocks):
            array[number * len(first) :][: len(first)] = ray.get(block)
        array.flush()
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _lock_of(path: Path, kind: int = fcntl.LOCK_SH) -> Any:
    """Return an open file that holds a lock beside `path`, until it is closed or its process ends, however it does."""
    file = path.with_name(f"{path.name}.lock").open("a", encoding="ascii")
    fcntl.flock(file, kind)
    return file


def _delete_what_nobody_holds(folder: Path) -> None:
    """Delete the files of earlier sweeps, whose processes are gone; those of other users are theirs."""
    for lock in folder.glob(f"{PREFIX}*.npy.lock"):
        with contextlib.suppress(PermissionError, BlockingIOError), lock.open("a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            images = lock.with_name(lock.name.removesuffix(".lock"))
            for path in (images, *folder.glob(f"{images.name}.*")):
                path.unlink(missing_ok=True)
