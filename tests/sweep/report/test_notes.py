from pathlib import Path

import pytest

from animefer_core.data.catalog import Duplicates
from sweep.frames import read_sweep
from sweep.report.notes import notes
from tests.sweep.records import RANDOM_WEIGHTS, Plan, plant

SHARED = {42: {"device_name": "Other Card"}}


def codes(folder: Path, plan: Plan) -> list[str]:
    return [note.code for note in notes(read_sweep(plant(folder, plan)))]


def test_a_whole_sweep_has_no_notes(tmp_path):
    assert codes(tmp_path, Plan()) == []


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Plan(weights_digest=RANDOM_WEIGHTS), ["random-weights"]),
        (Plan(missing=[("resnet18", "full", 1)], seeds=(42, 1, 2, 3)), ["incomplete", "left-families"]),
        (Plan(failed=[("resnet18", "full", 1)], seeds=(42, 1, 2, 3)), ["incomplete", "left-families", "failed-trials"]),
        (Plan(seeds=(42,)), ["single-seed"]),
        (Plan(seeds=(42, 1)), ["few-seeds"]),
        (Plan(environment=SHARED), ["mixed-devices"]),
        (Plan(environment={1: {"precision": "bf16"}}), ["mixed-precisions"]),
        (Plan(environment={1: {"threads": 8}}), ["mixed-threads"]),
        (Plan(skipped=[("Sad/a.png", "is cut")]), ["skipped-files"]),
        (Plan(duplicates=Duplicates(across_classes=(("a", "b"),))), ["duplicates-across-classes"]),
        (Plan(duplicates=Duplicates(across_parts=(("a", "b"),))), ["duplicates-across-parts"]),
        (Plan(shared_device=True), ["shared-device"]),
        (Plan(environment={1: {"alone_after_out_of_memory": True}}), ["out-of-memory"]),
        (Plan(environment={1: {"resumed_after_epochs": [3]}}), ["resumed"]),
        (Plan(copies=True), ["repeated-test-images"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_what_weakens_a_sweep_has_its_note(tmp_path, plan, expected):
    assert codes(tmp_path, plan) == expected


def test_a_skipped_file_is_listed_with_its_reason(tmp_path):
    plan = Plan(skipped=[("Sad/a.png", "is cut")])
    assert notes(read_sweep(plant(tmp_path, plan)))[0].items == ["Sad/a.png: is cut"]


def test_configurations_that_are_compared_with_no_other_are_named(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (1, 2, 3)]
    found = notes(read_sweep(plant(tmp_path, Plan(missing=missing, seeds=(42, 1, 2, 3, 4)))))
    (note,) = [note for note in found if note.code == "left-families"]
    assert note.text.startswith("1 of 4 configurations left the families of comparisons")
    assert "the 5 of the others" in note.text
    assert note.items == ["resnet18/full: 2 seeds"]


@pytest.mark.parametrize("plan", [Plan(vary=("init",)), Plan(fractions=(0.5, 1.0))])
def test_what_arms_and_shares_lack_is_named(tmp_path, plan):
    folder = plant(tmp_path, plan)
    beside = [r for r in read_sweep(folder).trials.to_dict("records") if r["arm"] != "all" or r["train_fraction"] < 1]
    (folder / "trials" / beside[0]["trial_id"] / "record.json").unlink()
    (note,) = notes(read_sweep(folder))
    assert (note.code, len(note.items)) == ("incomplete-beside", 1)
    assert note.items[0].endswith(": missing")
