import ast
import inspect
import re
from pathlib import Path

import pytest

import sweep.report.notes
from animefer_core.data.catalog import Duplicates
from sweep.frames import read_sweep
from sweep.report.notes import notes
from sweep.report.page import write_report
from tests.sweep.records import RANDOM_WEIGHTS, Plan, plant

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
SHARED = {42: {"device_name": "Other Card"}}


WARNINGS = Path(__file__).parents[3] / "docs" / "warnings.md"


def codes_of_notes() -> set[str]:
    """Return every code that notes.py can give: written in a Note, or first in what a loop over `code` runs through."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(sweep.report.notes))):
        if isinstance(node, ast.keyword) and node.arg == "code":
            assert isinstance(node.value, ast.Constant) or node.value.id == "code"
            found |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
        elif isinstance(node, ast.For) and "code" in {name.id for name in ast.walk(node.target) if hasattr(name, "id")}:
            found |= {row.elts[0].value for row in node.iter.elts}
    return found


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
        (Plan(environment={1: {"weights_normalisation": HALF}}), ["other-normalisation"]),
        (Plan(environment={1: {"weights_normalisation": HALF, "normalisation": HALF}}), []),
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


def test_every_code_is_explained_in_the_docs_and_nothing_else_is():
    headings = re.findall(r"^## (.+)$", WARNINGS.read_text(encoding="utf-8"), re.M)
    assert headings == sorted(codes_of_notes())


def test_every_explanation_says_what_it_means_what_it_weakens_and_what_to_do():
    for explanation in WARNINGS.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert re.findall(r"^\*\*(.+?)\*\*", explanation, re.M) == ["Means.", "Weakens.", "To do."], explanation[:30]


def test_the_page_names_the_explanation_of_every_note_and_links_to_nothing(tmp_path):
    page = write_report(plant(tmp_path, Plan(seeds=(42, 1), shared_device=True))).read_text(encoding="utf-8")
    assert {"docs/warnings.md#few-seeds", "docs/warnings.md#shared-device"} <= set(re.findall(r"docs/[\w.#-]+", page))
    assert 'href="docs' not in page


def test_a_model_normalised_unlike_its_weights_is_named_with_both(tmp_path):
    (note,) = notes(read_sweep(plant(tmp_path, Plan(environment={1: {"weights_normalisation": HALF}}))))
    assert note.items[0] == (
        "resnet18: mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225 in place of 0.5 0.5 0.5 and 0.5 0.5 0.5"
    )


def test_a_skipped_file_is_listed_with_its_reason(tmp_path):
    plan = Plan(skipped=[("Sad/a.png", "is cut")])
    assert notes(read_sweep(plant(tmp_path, plan)))[0].items == ["Sad/a.png: is cut"]


def test_configurations_that_are_compared_with_no_other_are_named(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (1, 2, 3)]
    found = notes(read_sweep(plant(tmp_path, Plan(missing=missing, seeds=(42, 1, 2, 3, 4)))))
    (note,) = [note for note in found if note.code == "left-families"]
    assert note.text.startswith("1 of 4 configurations left the families of comparisons")
    assert "having too few of the 5 seeds that the others share" in note.text
    assert note.items == ["resnet18/full: 2 seeds"]


@pytest.mark.parametrize("plan", [Plan(vary=("init",)), Plan(fractions=(0.5, 1.0))])
def test_what_arms_and_shares_lack_is_named(tmp_path, plan):
    folder = plant(tmp_path, plan)
    beside = [r for r in read_sweep(folder).trials.to_dict("records") if r["arm"] != "all" or r["train_fraction"] < 1]
    (folder / "trials" / beside[0]["trial_id"] / "record.json").unlink()
    (note,) = notes(read_sweep(folder))
    assert (note.code, len(note.items)) == ("incomplete-beside", 1)
    assert note.items[0].endswith(": missing")
