"""The command line: what it offers, and how it refuses."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.main import get_command

from animefer_core.data.faces import write_faces
from animefer_core.errors import InputError
from sweep.cli.look import print_comparison, status_lines
from sweep.cli.main import app
from sweep.frames import read_sweep
from sweep.report.compare import compare
from sweep.settings import PRESETS, Settings
from tests.sweep.records import Plan, plant, plant_with_images

OPTIONS = {
    "sweep": """address allow-duplicates checkpoint-minutes config data deterministic device dry-run epochs extra-views
        fit folds frozen-norm gpu-share image-size logger models no-extra-views no-pretrained normalisation out
        per-class precision preset pretrained save-models seeds skip-bad splits storage strategies test-share threads
        train-fraction trial-timeout validation-share vary weights-dir""",
    "trial": """again allow-duplicates checkpoint-minutes config data deterministic device epochs extra-views fit folds
        frozen-norm image-size model no-extra-views no-pretrained normalisation out per-class precision preset
        pretrained save-models seed skip-bad splits storage strategy test-share threads train-fraction validation-share
        vary weights-dir""",
    "search": """address allow-duplicates budget config data device epochs fit frozen-norm gpu-share image-size logger
        models no-pretrained normalisation out per-class precision preset pretrained search-seeds seeds skip-bad
        strategies test-share threads trial-timeout validation-share weights-dir""",
    "plan": """address allow-duplicates checkpoint-minutes config data deterministic device epochs explain extra-views
        fit folds frozen-norm gpu-share image-size models no-extra-views no-pretrained normalisation out
        per-class precision preset pretrained save-models seeds skip-bad splits storage strategies test-share
        threads train-fraction trial-timeout validation-share vary weights-dir""",
    "report": "anonymous format no-images price-per-hour",
    "status": "",
    "submit": "address wait",
    "import": "out",
    "compare": "",
}

TRIAL = ["--model", "resnet18", "--strategy", "full"]
FIRST = ("resnet18", "linear_probe", 42)
SECOND = ("resnet18", "linear_probe", 1)


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
        (["--data", faces, "--models", "pit_ti_224"], "no groups of layers"),
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
    went_on = animefer("data", "check", images, "--allow-duplicates")
    assert went_on.returncode == 0
    assert "identical in different classes: happy/copy.png = sad/0.png" in went_on.stdout


def test_identical_files_across_given_parts_are_listed_where_they_are_allowed(tmp_path):
    for part, labels in (("train", ("happy", "sad")), ("valid", ("happy", "sad")), ("test", ("happy", "sad"))):
        for shade, label in enumerate(labels):
            (tmp_path / part / label).mkdir(parents=True)
            Image.new("RGB", (8, 8), (len(part) * 9, 40 * shade, 7)).save(tmp_path / part / label / "0.png")
    (tmp_path / "test" / "sad" / "copy.png").write_bytes((tmp_path / "train" / "sad" / "0.png").read_bytes())
    result = animefer("data", "check", tmp_path, "--allow-duplicates")
    assert "identical in different parts: test/sad/copy.png = train/sad/0.png" in result.stdout, result.stderr


@pytest.mark.parametrize("command", ["sweep", "trial"])
def test_help_shows_every_default_and_the_name_of_a_strategys_table(command):
    words = " ".join(animefer(command, "--help").stdout.split())
    assert "[strategy.NAME]" in words
    for name in ("image_size", "validation_share", "per_class", "precision", "save_models", "fit", "frozen_norm"):
        usual = getattr(Settings, name)
        quick = PRESETS["quick"].get(name, usual)
        shown = f"[default: {usual}]" if usual == quick else f"[default: {usual}; quick: {quick:.3g}]"
        assert default_of(words, f"--{name.replace('_', '-')}") == shown


def test_help_shows_the_defaults_of_the_grid():
    words = " ".join(animefer("sweep", "--help").stdout.split())
    for name in ("models", "strategies", "seeds"):
        assert default_of(words, f"--{name}") == f"[default: {','.join(map(str, getattr(Settings, name)))}]"


def default_of(words, option):
    """Return what an option's help shows as its default, brackets included."""
    return re.search(rf" {option} .*?(\[default: [^]]*\])", words)[1]


def test_a_search_that_cannot_be_is_one_sentence_and_exit_code_2(faces, tmp_path):
    name = "full_tuned_resnet18"
    (tmp_path / "own.toml").write_text(f"[strategy.{name}]\nblocks = 1\n")
    (tmp_path / "seeds.toml").write_text("seeds = [7, 1001]\n")
    cases = [
        (["--search-seeds", "42"], "--search-seeds: 42 is one of the sweep's --seeds"),
        (["--seeds", "5", "--search-seeds", "4,5"], "--search-seeds: 5 is"),
        (["--config", tmp_path / "seeds.toml"], "--search-seeds: 1001 is"),
        (["--budget", "1"], "--budget 1"),
        (["--budget", "x"], "--budget: 'x'"),
        (["--search-seeds", "a"], "--search-seeds: 'a'"),
        (["--config", tmp_path / "own.toml", "--strategies", "full", "--models", "resnet18"], f"{name!r} is taken"),
    ]
    for arguments, words in cases:
        result = animefer("search", "--data", faces, "--out", tmp_path / "out", *arguments)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), (arguments, result.stderr)
        assert words in result.stderr
        assert not (tmp_path / "out").exists()


def test_no_command_comes_or_goes_unnoticed():
    assert set(get_command(app).commands) == {*OPTIONS, "data"}


def test_a_plan_explains_a_strategy_of_ones_own(tmp_path):
    (tmp_path / "own.toml").write_text("[strategy.gentle]\nblocks = 2\nmax_epochs = 9\n")
    result = animefer("plan", "--explain", "resnet18", "gentle", "--config", tmp_path / "own.toml", "--epochs", "3")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1].startswith("  epochs  1 to  3: head and blocks 1 to 2, 10,496,518 parameters")


def test_an_unknown_model_or_strategy_cannot_be_explained():
    assert "there is no model 'resnet99'" in animefer("plan", "--explain", "resnet99", "full").stderr
    assert "there is no strategy 'fool'" in animefer("plan", "--explain", "resnet18", "fool").stderr


def test_without_arguments_the_commands_are_named():
    result = animefer()
    assert result.returncode == 0
    assert all(command in result.stdout for command in OPTIONS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trial", *TRIAL, "--seed", "x"], "animefer: --seed: 'x' is no integer of at least 0.\n"),
        (["trial", *TRIAL], "animefer trial: Missing option '--seed'; see `animefer trial --help`.\n"),
        (["sweep", "--sedes", "3"], "animefer sweep: No such option: --sedes"),
        (["swep"], "animefer: No such command 'swep'"),
        (["data"], "animefer data: Missing command"),
        (["status"], "animefer status: Missing argument"),
        (["data", "demo", "--out", "out", "--per-class", "x"], "animefer data demo: Invalid value for '--per-class'"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_sentence(tmp_path, arguments, sentence):
    result = animefer(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback_of_a_command_line_that_cannot_be_read():
    assert "Traceback" in animefer("sweep", "--sedes", "3", "--debug").stderr


def test_another_number_of_drawn_faces_in_one_folder_names_the_way_out(tmp_path):
    write_faces(tmp_path / "faces", 1, 0)
    with pytest.raises(InputError, match=r"--per-class .* --out"):
        write_faces(tmp_path / "faces", 2, 0)


def test_status_tells_failed_from_missing_and_quotes_the_command_to_go_on(tmp_path):
    folder = plant(tmp_path / "my sweep", Plan(failed={FIRST}, missing={SECOND}))
    (folder / "sweep.toml").write_text("", encoding="utf-8")
    lines = list(status_lines(folder))
    assert lines[0] == "10 of 12 trials completed, 1 failed, 1 missing (no record yet)"
    assert lines[1].startswith("failed: resnet18/linear_probe seed 42: ")
    assert shlex.split(lines[-1].removeprefix("to go on: ")) == [
        *("animefer", "sweep", "--config", str(folder / "sweep.toml"), "--out", str(folder))
    ]


def test_status_names_no_settings_file_that_is_not_there(tmp_path):
    lines = list(status_lines(plant(tmp_path / "alone", Plan(missing={SECOND}))))
    assert "sweep.toml" not in lines[-1]
    assert "sweep.json" in lines[-1]


def test_status_names_the_earlier_call_that_the_settings_file_does_not_cover(tmp_path):
    folder = plant(tmp_path / "twice", Plan(missing={SECOND}))
    (folder / "sweep.toml").write_text("")
    plan = json.loads((folder / "sweep.json").read_text())
    first = {**plan["calls"][0], "trials": [trial["trial_id"] for trial in plan["planned"]]}
    last = {**plan["calls"][0], "command": ["animefer", "sweep", "--seeds", "42"], "trials": []}
    (folder / "sweep.json").write_text(json.dumps({**plan, "calls": [first, last]}))
    assert list(status_lines(folder))[-1].endswith("as it was called before: animefer sweep --data faces")


def test_status_of_a_finished_sweep_is_one_line(tmp_path):
    assert len(list(status_lines(plant(tmp_path / "done")))) == 1


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in animefer("sweep", "--data", tmp_path / "nowhere", "--debug").stderr


def test_a_dry_run_trains_nothing_and_names_what_it_would(faces, tmp_path):
    arguments = ["--data", faces, "--models", "resnet18", "--seeds", "1,2", "--no-pretrained", "--dry-run"]
    result = animefer("sweep", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("would train resnet18/") == 8
    assert not (tmp_path / "out" / "sweep.json").exists()


def test_a_comparison_is_a_table_and_a_paragraph(tmp_path):
    folder = plant(tmp_path, Plan(models=("resnet18", "[bold]x[/bold]" * 15)))
    other = f"{'[bold]x[/bold]' * 15}/full"
    printed = io.StringIO()
    print_comparison(folder, "resnet18/full", other, Console(file=printed))
    head, first, second, difference, blank, words = printed.getvalue().splitlines()
    assert head.split() == ["test", "accuracy", "95", "%", "total", "interval", "p", "seeds", "×", "images"]
    assert (first.split()[0], second.split()[0], difference.split()[0], blank) == (
        "resnet18/full",
        other,
        "difference",
        "",
    )
    found = compare(read_sweep(folder), "resnet18/full", other)
    assert words == found.words
    assert "named beforehand, not corrected for others" in words
    for line, row in zip(found.lines, (first, second, difference), strict=True):
        assert f"{line.value:.1f}".replace("-", "−") in row
        assert row.endswith("3 × 30")


def test_a_comparison_fits_a_narrow_terminal(tmp_path):
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=True, width=60, no_color=True)
    print_comparison(plant(tmp_path), "resnet18/full", "vit_s_16/full", console)
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).splitlines()) <= 60


def test_report_and_status_refuse_a_folder_that_is_no_sweeps(tmp_path):
    for command in ("report", "status"):
        result = animefer(command, tmp_path)
        assert result.returncode == 2
        assert "sweep.json" in result.stderr


def test_a_report_without_images_is_asked_for_by_name(tmp_path):
    folder = plant_with_images(tmp_path)
    for options, pictures in ([], True), (["--no-images"], False):
        assert animefer("report", folder, *options).returncode == 0
        assert ("<img" in (folder / "report.html").read_text(encoding="utf-8")) == pictures


def test_predictions_made_elsewhere_get_tables_and_a_report(tmp_path):
    rows = ["model,strategy,seed,part,image,label,predicted"]
    for model, period in (("forest", 5), ("stump", 2)):
        for seed in (1, 2, 3):
            for number in range(40):
                label = "ab"[number % 2]
                predicted = "ab"[(number + (number + seed) % period // (period - 1)) % 2]
                part = "test" if number < 30 else "validation"
                rows.append(f"{model},default,{seed},{part},image {number},{label},{predicted}")
    (tmp_path / "predictions.csv").write_text("\n".join(rows))
    imported = animefer("import", tmp_path / "predictions.csv", "--out", tmp_path / "out")
    assert imported.returncode == 0, imported.stderr
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "tables" / "comparisons.csv").exists()
    compared = animefer("compare", tmp_path / "out", "forest/default", "stump/default")
    assert "forest/default is " in compared.stdout
    assert "3 seeds × 30 images" in compared.stdout
    refused = animefer("compare", tmp_path / "out", "forest/default", "stamp/default")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_completed_trial_meets_the_test_images_again_only_where_asked(faces, tmp_path):
    usual = ["trial", *TRIAL, "--seed", 1, "--data", faces, "--out", tmp_path / "out", "--no-pretrained"]
    usual += ["--image-size", 32, "--epochs", 1]
    assert animefer(*usual).returncode == 0
    (first,) = (tmp_path / "out" / "trials").glob("*/record.json")
    content = first.read_bytes()
    refused = animefer(*usual)
    assert (refused.returncode, first.read_bytes()) == (0, content)
    assert "has met the test images" in " ".join(refused.stderr.split())
    assert animefer(*usual, "--again").returncode == 0
    assert first.read_bytes() != content
    (earlier,) = (tmp_path / "out" / "earlier").glob("*/record.json")
    assert earlier.read_bytes() == content
    assert read_sweep(tmp_path / "out").tested_twice == (first.parent.name,)


@pytest.fixture(scope="module")
def in_folds(tmp_path_factory):
    """A folder with one configuration and seed trained on two folds, and what was printed."""
    out = tmp_path_factory.mktemp("folds")
    options = ["--folds", 2, "--per-class", 6, "--epochs", 1, "--save-models", "none", "--out", out]
    return out, options, animefer("trial", *TRIAL, "--seed", 1, *options)


def test_a_trial_under_folds_is_one_on_each(in_folds):
    out, _, done = in_folds
    assert done.returncode == 0
    records = [json.loads(path.read_text()) for path in out.glob("trials/*/record.json")]
    tested = [
        row
        for record in records
        for row in np.load(out / "trials" / record["trial_id"] / "predictions.npz")["test_index"]
    ]
    assert sorted(tested) == list(range(36))


def test_both_stand_as_one_seed_in_the_tables(in_folds):
    out, *_ = in_folds
    assert animefer("report", out, "--format", "csv").returncode == 0
    (row,) = csv.DictReader((out / "tables" / "summary.csv").read_text().splitlines())
    assert (row["n_seeds"], row["n_planned"]) == ("1", "1")


def test_the_same_again_trains_none_of_them(in_folds):
    _, options, _ = in_folds
    again = animefer("trial", *TRIAL, "--seed", 1, *options)
    assert (again.returncode, again.stderr.count("is there already")) == (0, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--folds", 7], "--folds 7: class Angry of"),
        (["--folds", 3, "--splits", "1,2"], "--splits: it does not go with --folds"),
        (["--train-fraction", 0.01], "--train-fraction 0.01: class Angry has"),
        (["--vary", "weather"], "--vary: 'weather' is none of init, order, augmentation, split"),
    ],
)
def test_images_that_cannot_be_divided_so_are_refused_in_one_sentence(tmp_path, options, sentence):
    refused = animefer("sweep", "--per-class", 6, "--out", tmp_path / "out", *options)
    *_, last = refused.stderr.strip().splitlines()
    assert (refused.returncode, last.startswith(f"animefer: {sentence}"), last[-1]) == (2, True, ".")
    assert not (tmp_path / "out" / "trials").exists()
