import html
import json
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from sweep.frames import read_sweep
from sweep.importing import import_predictions
from sweep.report.anonymous import anonymous
from sweep.report.page import write
from tests.sweep.exported import digits
from tests.sweep.records import Plan, plant

SECRET = "jdoe"
"""Stands in everything that tells whose a sweep is."""
TOML = f"""data = "/home/{SECRET}/faces"
weights_dir = "{SECRET}-weights"
storage = "s3://{SECRET}/x"
address = "{SECRET}.example.org:6379"
models = ["resnet18"]
logger = ["wandb"]
"""


def told(folder: Path) -> Path:
    """Return a sweep's folder with the secret in every place that the project itself would write it."""
    environment = {seed: {"host": f"{SECRET}-{seed % 2}.example.org"} for seed in Plan.seeds}
    error = {
        "type": "OSError",
        "message": f"no quota left for {SECRET} in /home/{SECRET}/faces",
        "traceback": f'File "/home/{SECRET}/x.py", line 1',
    }
    skipped = [("Sad/a.png", f"cannot be opened: /home/{SECRET}/faces/Sad/a.png {SECRET}@host")]
    failed = [("resnet18", "full", 1)]
    plant(folder, Plan(environment=environment, error=error, skipped=skipped, failed=failed, fractions=(0.5, 1.0)))
    _also_say(folder / "sweep.json")
    (folder / "sweep.toml").write_text(TOML, encoding="utf-8")
    cut = sorted((folder / "trials").glob("*/record.json"))
    cut[0].write_text("{")
    earlier = folder / "earlier" / f"{cut[1].parent.name}-1"
    earlier.mkdir(parents=True)
    for name in ("record.json", "predictions.npz"):
        if (cut[1].parent / name).exists():
            (earlier / name).write_bytes((cut[1].parent / name).read_bytes())
    return folder


def _also_say(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content["name"] = f"{SECRET}s-faces"
    command = [f"/home/{SECRET}/bin/animefer", "sweep", "--data", f"{SECRET}-faces", f"--out={SECRET}/out", "--seeds"]
    command += ["42,1", "--config", f"{SECRET}.toml", "--address", f"{SECRET}:1", "--no-pretrained"]
    call = content["calls"][0]
    call |= {"command": command, "host": f"{SECRET}-0.example.org"}
    call["settings"] |= {"data": f"{SECRET}-faces", "out": f"{SECRET}/out", "weights_dir": f"/home/{SECRET}"}
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    # The folder's own path is in messages too.
    return told(tmp_path_factory.mktemp(SECRET) / SECRET)


@pytest.fixture(scope="module")
def texts(folder) -> dict[str, str]:
    files = write(folder, ["html", "csv", "md", "tex"], unnamed=True)
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_what_was_planted_is_there_without_the_option(folder):
    files = write(folder, ["html", "csv"])
    named = {path.name for path in files if SECRET in path.read_text(encoding="utf-8")}
    assert named >= {"report.html", "trials.csv", "ledger.csv"}


def test_page_and_tables_do_not_tell_whose_the_sweep_is(texts):
    assert [name for name, text in texts.items() if SECRET in unquote(html.unescape(text))] == []


def test_the_same_host_has_the_same_name_everywhere(texts):
    assert {"host-1", "host-2"} == {
        line.split(",")[-2] for line in texts["ledger.csv"].splitlines()[1:] if "host-" in line
    }
    assert "host-1" in texts["report.html"]


def test_the_command_keeps_what_is_no_place(texts):
    line = "animefer sweep --data path-1 --out=path-2 --seeds 42,1 --config path-3 --address path-4 --no-pretrained"
    assert line in html.unescape(texts["report.html"])


def test_a_failed_trial_keeps_the_kind_of_its_error(texts):
    assert "OSError" in texts["report.html"]
    assert "OSError" in texts["trials.csv"]


def test_a_record_that_cannot_be_read_is_still_named(texts):
    assert "cannot be read" in texts["report.html"]


def test_the_settings_stay_a_file_to_run(folder):
    _, settings = anonymous(read_sweep(folder), TOML)
    values = tomllib.loads(settings)
    assert values["models"] == ["resnet18"]
    assert values["logger"] == ["wandb"]
    assert values["data"].startswith("path-")


def test_a_place_that_is_none_keeps_its_word(folder):
    _, settings = anonymous(read_sweep(folder), 'data = "demo"\naddress = "local"')
    assert tomllib.loads(settings) == {"data": "demo", "address": "local"}


def test_settings_that_are_no_toml_are_left_out(folder):
    _, settings = anonymous(read_sweep(folder), f"data = {SECRET}")
    assert settings == "# Left out: the file is no whole TOML file.\n"


def test_an_imported_files_path_is_left_out(tmp_path):
    digits().to_csv(tmp_path / f"{SECRET}.csv", index=False)
    import_predictions(tmp_path / f"{SECRET}.csv", tmp_path / SECRET)
    for path in write(tmp_path / SECRET, ["html", "csv", "md", "tex"], unnamed=True):
        assert SECRET not in path.read_text(encoding="utf-8")


def test_no_number_changes(folder, tmp_path):
    named, unnamed = read_sweep(folder), anonymous(read_sweep(folder), None)[0]
    kept = [name for name in named.trials.columns if name not in ("host", "error")]
    assert named.trials[kept].equals(unnamed.trials[kept])
