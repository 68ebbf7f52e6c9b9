"""A sweep whose results folder lies on a disk that fills up: a small tmpfs, which needs root to mount."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from animefer_core.record import read_record
from tests.sweep.cli.test_main import animefer

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="a file system can only be mounted by root"
)
SETTINGS = ["--models", "resnet18", "--strategies", "linear_probe,full", "--seeds", "1,2", "--epochs", "2"]
SETTINGS += ["--image-size", "16", "--no-pretrained", "--save-models", "none"]


@pytest.fixture
def disk(tmp_path):
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    assert animefer("data", "demo", "--out", folder, "--per-class", 12).returncode == 0
    return folder


def fill(disk):
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_fills_up_leaves_no_half_record_and_the_same_command_goes_on(faces, disk):
    out = disk / "out"
    command = ["sweep", "--data", faces, "--out", out, *SETTINGS]
    line = [sys.executable, "-m", "sweep.cli.main", *map(str, command)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert "0 of 4 trials are there, 4 to train" in driver.stderr.readline()
        fill(disk)
        (said,) = driver.stderr.read().splitlines()
    assert driver.returncode == 1
    assert said.startswith("Stopped: the record of resnet18/")
    assert "could not be written (No space left on device); " in said
    assert said.endswith("The same command goes on from there.")
    for path in out.glob("trials/*"):
        assert not path.is_dir() or not list(path.iterdir()), "neither a record nor a part of one"
    (disk / "ballast").unlink()
    again = animefer(*command)
    assert again.returncode == 0, again.stderr
    assert "4 to train" in again.stderr
    found = [read_record(path.parent) for path in out.glob("trials/*/record.json")]
    assert [record.status for record in found] == ["completed"] * 4


def test_a_disk_without_room_for_anything_is_told_before_training(faces, disk):
    fill(disk)
    result = animefer("sweep", "--data", faces, "--out", disk / "out", *SETTINGS)
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert "could not be written (No space left on device); make room there" in sentence


def test_a_read_only_results_folder_is_told_before_training(faces, disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    result = animefer("sweep", "--data", faces, "--out", disk / "out", *SETTINGS)
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence == (
        f"animefer: --out {disk / 'out'}: the folder cannot be written (Read-only file system); choose another."
    )


def test_a_model_that_finds_no_room_is_told_like_a_record(faces, disk):
    """The model of a ResNet-18, 45 MB, goes before its record."""
    result = animefer("sweep", "--data", faces, "--out", disk / "out", *SETTINGS[:-1], "all")
    assert result.returncode == 1
    *_, said = result.stderr.splitlines()
    assert said.startswith("Stopped: the record of resnet18/")
    assert "No space left on device" in said
    assert not list((disk / "out" / "trials").glob("*/*"))
