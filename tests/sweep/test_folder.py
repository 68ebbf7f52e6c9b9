import json
import subprocess
import sys
from dataclasses import replace

import pytest

from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, write_record
from animefer_core.trial import identity
from sweep import folder
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.records import Plan, one_split, plant

VERSIONS = {"torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31"}


def one_trial(**options):
    settings = resolve({"models": "resnet18", "strategies": "full", "seeds": "1", **options})
    return grid(settings, one_split(), weights={"resnet18": "random"}, threads=1)


def note(path, trials, images="i", versions=VERSIONS):
    common = folder.fingerprint(trials[0], versions)
    folder.check_fits(path, images, common, trials)
    folder.note_call(path, images_digest=images, common=common, planned=trials, searched={}, settings_toml="", call={})


def test_a_second_call_adds_its_trials_and_itself(tmp_path):
    note(tmp_path, one_trial())
    note(tmp_path, one_trial(seeds="1,2"))
    sweep = folder.read_sweep_file(tmp_path)
    assert [trial["seed"] for trial in sweep["planned"]] == [1, 2]
    assert len(sweep["calls"]) == 2


def test_other_images_are_refused(tmp_path):
    note(tmp_path, one_trial())
    with pytest.raises(InputError, match="another set of images; choose a new folder by --out"):
        note(tmp_path, one_trial(), images="others")


def test_other_settings_and_software_are_refused_with_the_difference(tmp_path):
    note(tmp_path, one_trial())
    with pytest.raises(InputError, match="epochs_cap is 6 there and 7 here; image_size is 16 there and 32 here"):
        note(tmp_path, one_trial(epochs=7, image_size=32))
    with pytest.raises(InputError, match=r'torch is "2\.15" there and "2\.16" here'):
        note(tmp_path, one_trial(), versions=VERSIONS | {"torch": "2.16.0"})


def test_a_patch_release_is_no_difference(tmp_path):
    note(tmp_path, one_trial())
    note(tmp_path, one_trial(), versions=VERSIONS | {"torch": "2.15.7"})


def test_a_strategy_of_the_same_name_and_other_fields_is_refused(tmp_path):
    texts = [f'strategies = ["mine"]\n[strategy.mine]\nblocks = {blocks}\n' for blocks in (1, 2)]
    trials = []
    for text in texts:
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        trials.append(one_trial(config=tmp_path / "own.toml", strategies="mine"))
    note(tmp_path, trials[0])
    with pytest.raises(InputError, match="mine was trained there with another strategy"):
        note(tmp_path, trials[1])


def test_a_record_that_was_edited_is_moved_aside(tmp_path):
    (config,) = one_trial()
    directory = write_record(tmp_path / "trials", TrialRecord(**identity(config), status="failed"))
    assert [record.trial_id for record in folder.find_records(tmp_path, move_damaged=True).records] == [config.trial_id]
    values = json.loads((directory / "record.json").read_text())
    (directory / "record.json").write_text(json.dumps(values | {"seed": 9}))
    found = folder.find_records(tmp_path, move_damaged=False)
    assert found.records == ()
    assert (directory / "record.json").exists()
    found = folder.find_records(tmp_path, move_damaged=True)
    assert found.records == ()
    assert config.trial_id in found.set_aside[0]
    assert (tmp_path / "damaged" / f"{config.trial_id}-0" / "record.json").exists()


HOLD = """
import sys
from pathlib import Path
from sweep.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_writer_and_the_lock_goes_with_a_killed_one(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="another sweep is writing there"), folder.locked(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with folder.locked(tmp_path):
        pass


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), folder.locked(tmp_path / "file"):
        pass


@pytest.mark.parametrize("text", ["null", "3", "[]"])
def test_a_record_that_is_no_object_is_set_aside(tmp_path, text):
    results = plant(tmp_path, Plan())
    path = sorted(results.glob("trials/*/record.json"))[0]
    path.write_text(text)
    found = folder.find_records(results, move_damaged=True)
    assert len(found.set_aside) == 1
    assert path.parent.name not in {record.trial_id for record in found.records}


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]"])
def test_an_edited_sweep_file_is_one_sentence(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(InputError, match="was edited and lacks fields; restore it"):
        folder.read_sweep_file(tmp_path)


def test_other_weights_are_refused(tmp_path):
    (config,) = one_trial()
    note(tmp_path, [replace(config, weights_digest="a" * 64)])
    with pytest.raises(InputError, match="resnet18 was trained there with other weights; choose a new folder by --out"):
        note(tmp_path, [replace(config, weights_digest="b" * 64)])


def test_a_record_whose_predictions_were_cut_is_set_aside(tmp_path):
    results = plant(tmp_path, Plan())
    path = sorted(results.glob("trials/*/predictions.npz"))[0]
    path.write_bytes(path.read_bytes()[:-10])
    found = folder.find_records(results, move_damaged=True)
    (reason,) = found.set_aside
    assert "predictions.npz" in reason
    assert path.parent.name not in {record.trial_id for record in found.records}


def test_a_copy_set_aside_leaves_the_record_where_it_was(tmp_path):
    results = plant(tmp_path, Plan())
    directory = sorted(results.glob("trials/*"))[0]
    for _ in range(2):
        folder.copy_aside(results, directory)
    assert directory.exists()
    copies = sorted(path.name for path in (results / "earlier").iterdir())
    assert copies == [f"{directory.name}-0", f"{directory.name}-1"]
    assert not list(results.glob(f".{directory.name}*"))
