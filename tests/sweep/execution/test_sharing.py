"""Images that fit into the object store, and images that do not, in a real Ray whose store is as small as it may be."""

import tempfile

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
    return tmp_path


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


def test_files_that_no_process_maps_any_more_are_deleted_by_the_next(own_folder):
    for name in ("1.npy", "1.npy.lock", "1.npy.writing.lock"):
        (own_folder / f"{PREFIX}{name}").write_bytes(b"left by a killed sweep")
    held = sharing._lock_of(own_folder / f"{PREFIX}2.npy")
    (own_folder / f"{PREFIX}2.npy").write_bytes(b"in use")
    sharing._delete_what_nobody_holds(own_folder)
    assert sorted(path.name for path in own_folder.iterdir()) == [f"{PREFIX}2.npy", f"{PREFIX}2.npy.lock"]
    held.close()
