"""The report says what each configuration was given before the sweep."""

import json
from dataclasses import replace

import pytest

from sweep.frames import read_sweep
from sweep.report.notes import notes
from sweep.report.page import write_report
from sweep.report.tuning import tuning
from sweep.search.tuned import Searched
from tests.sweep.records import Plan, plant
from tests.sweep.report.test_page import words

FOUND = Searched(
    model="vit_s_16",
    strategy="progressive",
    candidates=16,
    epochs=50,
    seeds=(1001,),
    split_digest="s",
    validation_loss=0.9,
    validation_accuracy=0.7,
    start_validation_loss=1.25,
)


@pytest.fixture
def sweep(tmp_path):
    """Return a reader of a planted sweep in which `full` was found so, or not."""

    def of(found=None, **plan):
        folder = plant(tmp_path / "sweep", Plan(**plan))
        content = json.loads((folder / "sweep.json").read_text())
        content["search"] = {} if found is None else {"full": found.as_dict()}
        (folder / "sweep.json").write_text(json.dumps(content))
        return read_sweep(folder)

    return of


def test_a_searched_configuration_names_its_budget_and_seeds(sweep):
    assert tuning(sweep(FOUND))["vit_s_16/full"] == (
        "The best by validation loss of 16 candidates of up to 50 epochs each, progressive as it stands the first, "
        "trained with seed 1001 (none of them here) and without the test images. Validation loss 1.2500 → 0.9000."
    )


def test_a_seed_that_is_used_again_is_said(sweep):
    told = tuning(sweep(replace(FOUND, seeds=(1001, 42))))["vit_s_16/full"]
    assert "seeds 1001 and 42 (42 here as well)" in told


def test_a_start_that_failed_is_said(sweep):
    told = tuning(sweep(replace(FOUND, start_validation_loss=None)))["vit_s_16/full"]
    assert "Validation loss none, it failed → 0.9000" in told


def test_every_other_configuration_was_given_no_search(sweep):
    told = tuning(sweep(FOUND))
    assert told["vit_s_16/linear_probe"] == "No search: the strategy as it stands."


def test_the_page_has_it(sweep, tmp_path):
    sweep(FOUND)
    page = words(write_report(tmp_path / "sweep").read_text(encoding="utf-8"))
    assert "Tuning" in page
    assert "vit_s_16/full The best by validation loss of 16 candidates" in page
    assert "resnet18/linear_probe No search: the strategy as it stands." in page


def test_a_model_without_a_search_beside_one_that_had_one_is_noted(sweep):
    told = {note.code: note for note in notes(sweep(FOUND))}
    assert list(told["unequal-tuning"].items) == [
        "progressive, resnet18: no search",
        "progressive, vit_s_16: 16 candidates of up to 50 epochs with 1 seed",
    ]


def test_a_model_alone_is_not_unequal(sweep):
    assert "unequal-tuning" not in {note.code for note in notes(sweep(FOUND, models=("vit_s_16",)))}


def test_without_a_search_nothing_is_noted(sweep):
    assert "unequal-tuning" not in {note.code for note in notes(sweep())}
