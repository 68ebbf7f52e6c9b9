"""Images that fit into the object store, and images that do not, in a real Ray whose store is as small as it may be."""

import fcntl
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray

from animefer_core.data.pixels import ImageSet
from sweep.execution import sharing
from sweep.execution.cluster import QUIET
from sweep.execution.sharing import PREFIX, share

STORE = 80_000_000


@pytest.fixture(scope="module")
def small_store():
    ray.init(address="local", num_cpus=2, object_store_memory=STORE, include_dashboard=False, **QUIET)
    yield
    ray.shutdown()


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = {}
    monkeypatch.setattr(sharing, "_held", held)
    yield tmp_path
    for lock in held.values():
        lock.close()


def images(count):
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)
    rows = {"train": np.arange(count)}
    labels = np.zeros(count, np.int64)
    return ImageSet(pixels=pixels, labels=labels, classes=("a",), splits={"s": rows}, order=np.arange(count))


def seen(shared, folder):
    """What a worker's process finds, twice in one process."""
    tempfile.tempdir = folder
    (first, second) = shared.get(), shared.get()
    same = np.array_equal(first.pixels, second.pixels)
    return (
        type(first.pixels).__name__,
        int(first.pixels.sum(dtype=np.int64)),
        first.pixels.shape,
        len(first.labels),
        same,
    )


def seen_by_workers(shared, folder, times=1):
    return ray.get([ray.remote(seen).remote(shared, str(folder)) for _ in range(times)])


def test_a_small_set_is_in_the_store(small_store, own_folder):
    data = images(100)
    ((kind, total, shape, labels, same),) = seen_by_workers(share(data), own_folder)
    assert (kind, total, shape, labels, same) == ("ndarray", data.pixels.sum(), data.pixels.shape, 100, True)
    assert not list(own_folder.glob(f"{PREFIX}*"))


def test_a_set_larger_than_the_store_is_in_one_mapped_file_of_the_node(small_store, own_folder):
    data = images(9_001)
    assert data.pixels.nbytes > STORE
    found = seen_by_workers(share(data), own_folder, times=2)
    assert found == [("memmap", data.pixels.sum(dtype=np.int64), data.pixels.shape, 9_001, True)] * 2
    assert len(list(own_folder.glob(f"{PREFIX}*.npy"))) == 1


def test_another_set_of_as_many_images_is_another_file(small_store, own_folder):
    data = images(9_001)
    other = replace(data, pixels=255 - data.pixels)
    totals = [seen_by_workers(share(each), own_folder)[0][1] for each in (data, other)]
    assert totals == [each.pixels.sum(dtype=np.int64) for each in (data, other)]


def test_the_first_process_of_a_sweep_deletes_what_earlier_ones_left(small_store, own_folder):
    left = own_folder / f"{PREFIX}left.npy"
    for path in (left, left.with_name(f"{left.name}.lock")):
        path.touch()
    seen_by_workers(share(images(9_001)), own_folder)
    assert not left.exists()


def test_leftovers_of_another_user_are_passed_over(own_folder, monkeypatch):
    for name in ("1.npy", "1.npy.lock", "2.npy", "2.npy.lock"):
        (own_folder / f"{PREFIX}{name}").touch()
    allowed = Path.open

    def open_(path, *arguments, **options):
        if path.name == f"{PREFIX}1.npy.lock":
            raise PermissionError(13, "Permission denied", str(path))
        return allowed(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_)
    sharing._delete_what_nobody_holds(own_folder)
    assert sorted(path.name for path in own_folder.iterdir()) == [f"{PREFIX}1.npy", f"{PREFIX}1.npy.lock"]


def test_a_process_waits_while_another_writes(own_folder, monkeypatch):
    shared = sharing.SharedImages("images", ("block",), f"{PREFIX}1.npy")
    path = own_folder / shared.name
    monkeypatch.setattr(ray, "get", lambda _: images(3))
    monkeypatch.setattr(sharing, "_write", lambda path, blocks: np.save(path, images(3).pixels))
    writing = sharing._lock_of(path.with_name(f"{path.name}.writing"), fcntl.LOCK_EX)
    waiting = threading.Thread(target=shared.get, daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    assert not path.exists()
    writing.close()
    waiting.join(30)
    assert path.exists()


def test_files_that_no_process_maps_any_more_are_deleted_by_the_next(own_folder):
    for name in ("1.npy", "1.npy.lock", "1.npy.writing.lock"):
        (own_folder / f"{PREFIX}{name}").write_bytes(b"left by a killed sweep")
    held = sharing._lock_of(own_folder / f"{PREFIX}2.npy")
    (own_folder / f"{PREFIX}2.npy").write_bytes(b"in use")
    sharing._delete_what_nobody_holds(own_folder)
    assert sorted(path.name for path in own_folder.iterdir()) == [f"{PREFIX}2.npy", f"{PREFIX}2.npy.lock"]
    held.close()
