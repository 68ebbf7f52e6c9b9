"""The command line: what it offers, and how it refuses."""

import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.main import get_command

from sweep.cli.main import app

OPTIONS = {
    "sweep": """address allow-duplicates config data device dry-run epochs frozen-norm gpu-share image-size models
        no-pretrained normalisation out per-class precision preset pretrained save-models seeds skip-bad strategies
        test-share threads validation-share weights-dir""",
    "trial": """allow-duplicates config data device epochs frozen-norm image-size model no-pretrained normalisation out
        per-class precision preset pretrained save-models seed skip-bad strategy test-share threads validation-share
        weights-dir""",
    "report": "format",
    "status": "",
}


def animefer(*arguments, cwd=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "sweep.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=clean, timeout=300)


@pytest.mark.parametrize("command", OPTIONS)
def test_no_option_comes_or_goes_unnoticed(command):
    parameters = get_command(app).commands[command].params
    flags = {flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {flag.removeprefix("--") for flag in flags if flag.startswith("--")} == set(OPTIONS[command].split())


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    assert animefer("data", "demo", "--out", folder, "--per-class", 4).returncode == 0
    return folder


def folder_with(tmp_path, name, content):
    for label in ("happy", "sad"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            image = Image.new("RGB", (8, 8), (number * 9, 40 * (label == "sad"), 7))
            image.save(tmp_path / "images" / label / f"{number}.png")
    (tmp_path / "images" / "happy" / name).write_bytes(content)
    return tmp_path / "images"


def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(faces, tmp_path):
    cases = [
        (["--data", tmp_path / "nowhere"], "nowhere"),
        (["--data", tmp_path], str(tmp_path)),
        (["--data", faces, "--models", "resnet19"], "resnet18"),
        (["--data", faces, "--models", "convnext_tiny"], "neither a ResNet nor a ViT"),
        (["--data", faces, "--strategies", "ful"], "full"),
        (["--data", faces, "--seeds", "1,one"], "--seeds"),
        (["--data", faces, "--models", "vit_b_16", "--image-size", "50", "--no-pretrained"], "--image-size 50"),
        (["--data", faces, "--weights-dir", tmp_path / "none"], "--weights-dir"),
        (["--data", faces, "--threads", "9999", "--no-pretrained", "--models", "resnet18"], "--threads 9999"),
    ]
    for arguments, words in cases:
        result = animefer("sweep", *arguments, "--out", tmp_path / "out")
        assert result.returncode == 2, (arguments, result.stderr)
        assert words in result.stderr
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "out" / "trials").exists()


def test_a_broken_image_stops_the_sweep_until_it_is_skipped(tmp_path):
    images = folder_with(tmp_path, "cut.jpg", b"\xff\xd8\xff\xe0 no more")
    stopped = animefer("data", "check", images)
    assert stopped.returncode == 2
    assert "happy/cut.jpg" in stopped.stderr
    assert "--skip-bad" in stopped.stderr
    went_on = animefer("data", "check", images, "--skip-bad")
    assert went_on.returncode == 0
    assert "left out: happy/cut.jpg" in went_on.stdout


def test_identical_files_across_classes_stop_the_sweep_until_they_are_allowed(tmp_path):
    images = folder_with(tmp_path, "notes.txt", b"")
    (images / "happy" / "copy.png").write_bytes((images / "sad" / "0.png").read_bytes())
    stopped = animefer("data", "check", images)
    assert stopped.returncode == 2
    assert "copy.png" in stopped.stderr
    assert animefer("data", "check", images, "--allow-duplicates").returncode == 0


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in animefer("sweep", "--data", tmp_path / "nowhere", "--debug").stderr


def test_a_dry_run_trains_nothing_and_names_what_it_would(faces, tmp_path):
    arguments = ["--data", faces, "--models", "resnet18", "--seeds", "1,2", "--no-pretrained", "--dry-run"]
    result = animefer("sweep", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("would train resnet18/") == 8
    assert not (tmp_path / "out" / "sweep.json").exists()


def test_report_and_status_refuse_a_folder_that_is_no_sweeps(tmp_path):
    for command in ("report", "status"):
        result = animefer(command, tmp_path)
        assert result.returncode == 2
        assert "sweep.json" in result.stderr
