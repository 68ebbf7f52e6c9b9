"""What the page says first, on sweeps whose truth is planted; the whole first screens are in first_screens/."""

import html
import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.first_screen import FirstScreen, _what_decides, first_screen
from sweep.report.page import write_report
from sweep.report.tables import all_tables
from sweep.report.words import name_of
from sweep.verdicts import UNDECIDED
from tests.sweep.records import Plan, plant

FROZEN = Path(__file__).parent / "first_screens"
NAMES = ("resnet18/linear_probe", "resnet18/full", "vit_s_16/linear_probe", "vit_s_16/full")


def skill(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


PLANTED = {
    "clear_winner": Plan(skill=skill(1.5, 2, 2, 3.2), seeds=range(1, 6), seed_spread=0.05, per_class=(8, 20, 40)),
    "tie_of_three": Plan(skill=skill(0.5, 2.4, 2.45, 2.5), seeds=range(1, 6), seed_spread=0.05, per_class=(8, 20, 40)),
    "want_of_seeds": Plan(skill=skill(1.9, 1.9, 1.9, 2.3), seeds=(1, 2), seed_spread=0.15, per_class=(8, 40, 60)),
    "want_of_images": Plan(
        skill=skill(2, 2, 2.05, 2.2), seeds=range(1, 9), seed_spread=0.02, taste=0.8, per_class=(8, 10, 10)
    ),
    "lucky_on_validation": Plan(
        skill=skill(1.5, 2, 2.2, 3.2),
        lucky="vit_s_16/linear_probe",
        seeds=range(1, 6),
        seed_spread=0.05,
        per_class=(8, 20, 40),
    ),
}


def header_of(page: str) -> str:
    """Return the text of the page's header, a line a paragraph."""
    text = re.sub(r"\s+", " ", page[page.index("<header>") : page.index("</header>")])
    text = re.sub(r"<br>|</(p|div|h1|li|strong|dt)>", "\n", text)
    lines = html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\xa0", " ").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip()) + "\n"


def screen(folder: Path, plan: Plan) -> FirstScreen:
    sweep = read_sweep(plant(folder, plan))
    return first_screen(sweep, all_tables(sweep), [])


@pytest.mark.parametrize("name", PLANTED)
def test_the_first_screen_of_a_planted_sweep_is_this(name, tmp_path):
    page = write_report(plant(tmp_path / "planted", PLANTED[name])).read_text(encoding="utf-8")
    assert header_of(page) == (FROZEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("clear_winner", "vit_s_16/full is best on validation, and by the test images better than all three others."),
        ("tie_of_three", "vit_s_16/full is best on validation; two others may be as good."),
        ("want_of_seeds", "Nothing is decided: any of the four configurations may be the best."),
        ("want_of_images", "Nothing is decided: any of the four configurations may be the best."),
        (
            "lucky_on_validation",
            "vit_s_16/linear_probe is best on validation, but by the test images it is not among the best.",
        ),
    ],
)
def test_the_verdict_is_what_was_planted(name, verdict, tmp_path):
    assert screen(tmp_path, PLANTED[name]).verdict == verdict


def test_what_lacks_decides_what_would_help(tmp_path):
    seeds = " ".join(screen(tmp_path / "seeds", PLANTED["want_of_seeds"]).sentences)
    images = " ".join(screen(tmp_path / "images", PLANTED["want_of_images"]).sentences)
    assert seeds.partition("an even chance to tell it from ")[2].endswith(" more seeds.")
    assert "test images" not in seeds.partition("an even chance")[2]
    assert ", not with a few more seeds but with about" in images
    assert images.endswith("test images in place of 60.")


def test_the_most_accurate_is_never_one_that_the_test_images_have_ruled_out(tmp_path):
    found = screen(tmp_path, PLANTED["lucky_on_validation"])
    (accurate,) = [choice for choice in found.choices if choice.purpose == "Most accurate"]
    assert accurate.name == "vit_s_16/full"
    assert "chosen by these images themselves" in accurate.why


def test_the_quickest_is_sought_among_those_that_may_be_the_best(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, PLANTED["tie_of_three"])))
    found = screen(tmp_path / "again", PLANTED["tie_of_three"])
    (quick,) = [choice for choice in found.choices if choice.purpose == "Best for its training time"]
    seconds = tables["efficiency"].set_index(["model", "strategy"])["training_seconds_mean"]
    assert seconds.idxmin() == ("resnet18", "linear_probe")
    assert quick.name == "vit_s_16/linear_probe"


def test_one_seed_decides_nothing_and_has_no_choice_by_time(tmp_path):
    found = screen(tmp_path, Plan(seeds=(42,)))
    assert found.verdict.endswith("cannot be told: that takes two seeds that several have in common.")
    assert "with its only seed; the 95 % interval is for other images of this kind." in found.sentences[0]
    assert [choice.purpose for choice in found.choices] == ["Most accurate", "Best calibrated"]


def test_one_configuration_is_not_called_the_best(tmp_path):
    found = screen(tmp_path, Plan(models=("resnet18",), strategies=("full",)))
    assert re.fullmatch(r"resnet18/full scores \d+\.\d % on the test images\.", found.verdict)
    assert not found.choices


def test_without_completed_trials_there_is_nothing_to_compare(tmp_path):
    found = screen(
        tmp_path, Plan(models=("resnet18",), strategies=("full",), missing=[("resnet18", "full", 1)], seeds=(1,))
    )
    assert found.verdict == "No trial has completed yet, so there is nothing to compare."


def test_who_is_not_compared_is_named(tmp_path):
    lacking = [("resnet18", "full", seed) for seed in (1, 2)]
    found = screen(tmp_path, Plan(missing=lacking, skill=skill(1, 1, 1, 3)))
    told = "Not compared, for want of seeds in common with the others: resnet18/full."
    assert told in found.sentences


def test_folds_that_are_under_way_are_not_called_nothing(tmp_path):
    folder = plant(tmp_path, Plan(models=("resnet18",), seeds=(1, 2), folds=3))
    sweep = read_sweep(folder)
    last = sweep.division.splits[2].digest
    for record in sweep.completed:
        if record.split_digest == last:
            shutil.rmtree(folder / "trials" / record.trial_id)
    found = first_screen(sweep := read_sweep(folder), all_tables(sweep), [])
    assert len(sweep.completed) == found.completed == 8
    assert found.verdict == (
        "No seed has a record in every fold yet, so there is nothing to compare: 8 trials have completed, in single "
        "folds."
    )


def test_two_that_are_level_on_validation_are_said_to_be(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(1, 2, 3))))
    tables = all_tables(sweep)
    level = {**tables, "summary": tables["summary"].assign(validation_accuracy_mean=0.5)}
    assert "is best on validation, level with three others" in " ".join(
        [first_screen(sweep, level, []).verdict, *first_screen(sweep, level, []).sentences]
    )


def test_a_single_test_image_is_named_as_what_tells_nothing_apart(tmp_path):
    found = screen(tmp_path, Plan(classes=("a", "b"), counts={"a": (4, 2, 1), "b": (4, 2, 0)}))
    assert found.verdict.endswith("is better than the others a single test image, or group of them, cannot tell.")


def test_what_neither_seeds_nor_images_decide_is_a_sentence_of_its_own():
    row = {"verdict": UNDECIDED, "n_seeds": 3, "seeds_needed": math.nan, "units_needed": math.nan, "units": "images"}
    names = {"model_a": "a", "strategy_a": "full", "model_b": "b", "strategy_b": "full", "n_units": 9}
    assert _what_decides("a/full", ["b/full"], pd.DataFrame([row | names])) == [
        "Neither more seeds alone nor more test images alone would tell it from b/full."
    ]


def test_nothing_is_called_best_calibrated_where_all_may_be(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(1, 2, 3))))
    tables = all_tables(sweep)

    def chosen(**columns):
        summary = tables["summary"].assign(**columns)
        found = first_screen(sweep, {**tables, "summary": summary}, []).choices
        return next(choice for choice in found if choice.purpose == "Best calibrated")

    errors = [0.0, 0.02, 0.03, 0.04]
    none = chosen(calibration_error=errors, calibration_error_total_ci_low=0.0)
    assert none.name == "Undecided"
    assert none.why == "calibration errors are 0.0 to 4.0 %; none of 4 configurations is shown to be above 0"
    one = chosen(calibration_error=errors, calibration_error_total_ci_low=[0.0, 0.0, 0.0, 0.01])
    assert one.name == "resnet18/linear_probe"
    # The better one on validation, of two that are alike as printed.
    best = tables["summary"]["validation_accuracy_mean"].idxmax()
    level = chosen(calibration_error=0.0101, calibration_error_total_ci_low=0.001)
    assert level.name == name_of(tables["summary"].loc[best])


def test_the_best_on_validation_may_be_the_one_that_is_not_compared(tmp_path):
    lacking = [("vit_s_16", "full", seed) for seed in (1, 2)]
    found = screen(tmp_path, Plan(missing=lacking, skill=skill(0, 0, 0, 9)))
    assert found.verdict.startswith("vit_s_16/full is best on validation; it is not compared, for want of seeds")
