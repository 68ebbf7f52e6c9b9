"""What is refused before anything trains, and what a call leaves in its folder."""

import json

import pytest
import torch

from animefer_core.data.faces import write_faces
from animefer_core.data.pixels import decode
from animefer_core.errors import InputError
from animefer_core.models.zoo import build
from animefer_core.record import TrialRecord, write_record
from animefer_core.trial import identity
from sweep.frames import read_sweep
from sweep.prepare import prepared
from sweep.report.notes import notes
from sweep.settings import resolve

VIT = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "faces"
    write_faces(folder, per_class=8, seed=0)
    return folder


@pytest.fixture
def settings(faces, tmp_path):
    """Return settings for one linear probe on the faces, with the options of a call."""

    def of(**options):
        usual = {
            "data": str(faces),
            "out": tmp_path / "out",
            "models": "resnet18",
            "strategies": "linear_probe",
            "seeds": "1",
            "pretrained": False,
            "image_size": 32,
        }
        return resolve(usual | options)

    return of


def call(settings, *, dry_run=False):
    with prepared(settings, one_trial=False, command=None if dry_run else ["animefer", "sweep"]) as work:
        return work


def test_weights_of_another_model_are_refused_with_their_file(settings, tmp_path):
    torch.save(build("resnet18", 3, 32).model.state_dict(), tmp_path / f"{VIT}.pth")
    with pytest.raises(InputError, match=rf"{VIT}\.pth: The weights are not those of {VIT}"):
        call(settings(models=VIT, pretrained=True, weights_dir=tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_refused(settings, tmp_path):
    with pytest.raises(InputError, match="--device cuda:7"):
        call(settings(device="cuda:7"))
    assert not (tmp_path / "out").exists()


def test_a_call_notes_what_it_was_and_what_it_ran_on(settings, tmp_path):
    work = call(settings(seeds="1,2", gpu_share="0.5"))
    (noted,) = json.loads((tmp_path / "out" / "sweep.json").read_text())["calls"]
    assert noted["command"] == ["animefer", "sweep"]
    assert noted["trials"] == [config.trial_id for config in work.plan.trials]
    assert noted["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"device", "gpu_share", "address", "seeds", "data"} <= noted["settings"].keys()
    assert noted["settings"]["seeds"] == [1, 2]


def test_storage_that_cannot_be_written_is_refused(settings, tmp_path):
    with pytest.raises(InputError, match="--storage nope://bucket"):
        call(settings(storage="nope://bucket"))
    assert not (tmp_path / "out").exists()


def test_storage_determinism_and_loggers_change_no_trials_id(settings, tmp_path):
    usual = call(settings(), dry_run=True)
    other = call(
        settings(storage=str(tmp_path), checkpoint_minutes="0", deterministic=True, logger="mlflow"), dry_run=True
    )
    assert usual.plan.trials == other.plan.trials


@pytest.mark.parametrize(("status", "left"), [("completed", False), ("failed", True)])
def test_a_call_deletes_the_checkpoints_of_completed_trials_alone(settings, tmp_path, status, left):
    (config,) = call(settings()).plan.trials
    kept = tmp_path / "out" / "checkpoints" / f"{config.trial_id}.safetensors"
    kept.parent.mkdir()
    kept.touch()
    write_record(tmp_path / "out" / "trials", TrialRecord(**identity(config), status=status))
    call(settings(), dry_run=True)
    assert kept.exists()
    call(settings())
    assert kept.exists() == left


def test_a_dry_run_leaves_a_new_folder_unmade(settings, tmp_path):
    assert len(call(settings(), dry_run=True).plan.to_run) == 1
    assert not (tmp_path / "out").exists()


def test_a_dry_run_moves_no_damaged_record(settings, tmp_path):
    (config,) = call(settings()).plan.trials
    directory = write_record(tmp_path / "out" / "trials", TrialRecord(**identity(config), status="failed"))
    (directory / "record.json").write_text("{")
    assert "record.json" in call(settings(), dry_run=True).set_aside[0]
    assert (directory / "record.json").exists()
    assert "moved to damaged" in call(settings()).set_aside[0]
    assert not (directory / "record.json").exists()


def test_strategies_of_an_earlier_call_stay_in_the_file(settings, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[strategy.gentle]\nblocks = 1\nlr_head = 1e-3\nmax_epochs = 2\npatience = 5\n")
    call(settings(config=own, strategies="gentle"))
    call(settings())
    again = resolve({"config": tmp_path / "out" / "sweep.toml", "strategies": "gentle"})
    assert again.known_strategies["gentle"].max_epochs == 2


def test_another_split_in_the_folder_is_planned_beside_the_first(settings, tmp_path):
    first = call(settings(seeds="1,2"))
    for config in first.plan.trials:
        write_record(tmp_path / "out" / "trials", TrialRecord(**identity(config), status="failed"))
    second = call(settings(validation_share=0.25))
    assert {config.split_digest for config in second.plan.trials}.isdisjoint(
        config.split_digest for config in first.plan.trials
    )
    sweep = read_sweep(tmp_path / "out")
    assert [trial.trial_id for trial in sweep.planned] == [config.trial_id for config in first.plan.trials]
    assert [len(each.planned) for each in sweep.others] == [1]
    assert len(sweep.trials) == 3


def test_a_trial_that_was_trained_again_after_damage_is_told(tmp_path):
    from tests.sweep.records import Plan, plant

    plant(tmp_path / "sweep", Plan(seeds=(1, 2)))
    sweep = read_sweep(tmp_path / "sweep")
    assert sweep.tested_twice == ()
    again = sweep.completed[0].trial_id
    (tmp_path / "sweep" / "damaged" / f"{again}-0").mkdir(parents=True)
    told = {note.code: note for note in notes(read_sweep(tmp_path / "sweep"))}
    assert list(told["tested-twice"].items) == [again]


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_are_fitted_as_asked_and_the_config_says_so(settings, faces, fit):
    work = call(settings(fit=fit), dry_run=True)
    paths = [path for path in faces.rglob("*") if path.suffix in (".jpg", ".png")]
    expected = [decode(path, work.data.pixels.shape[-1], fit) for path in paths]
    assert sorted(each.tobytes() for each in work.data.pixels) == sorted(each.tobytes() for each in expected)
    assert {config.fit for config in work.plan.trials} == {fit}
