"""What the sections of figures say, against the records."""

from dataclasses import replace

import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.findings import of_calibration, of_curves, of_data, of_ensembles
from tests.sweep.records import Plan, plant


def sweep_of(folder, **plan):
    return read_sweep(plant(folder, Plan(**plan)))


def with_best(sweep, best):
    return replace(sweep, records=tuple(replace(record, best_epoch=best) for record in sweep.records))


@pytest.mark.parametrize(
    ("best", "told"),
    [
        (3, "of epoch 3.0, means over seeds, by configuration. In 12 of 12 trials they are those of the last epoch"),
        (2, "of epoch 2.0, means over seeds, by configuration. No trial was still at its best when it ended."),
    ],
)
def test_the_curves_tell_whether_training_had_ended(tmp_path, best, told):
    assert told in of_curves(with_best(sweep_of(tmp_path), best))


def test_without_results_there_are_no_curves_to_tell_of(tmp_path):
    plan = {"models": ("resnet18",), "strategies": ("full",), "seeds": (1,), "missing": [("resnet18", "full", 1)]}
    assert of_curves(sweep_of(tmp_path, **plan)) == ""


def test_even_classes_are_said_to_be_even(tmp_path):
    assert of_data(sweep_of(tmp_path)) == "102 images of 6 classes; every class has 8 training images."


def test_uneven_classes_are_named(tmp_path):
    sweep = sweep_of(tmp_path, counts={"Happy": (12, 4, 5), "Sad": (5, 4, 5), "Scared": (5, 4, 5)})
    assert of_data(sweep) == (
        "100 images of 6 classes; of training images the most, 12, are of Happy, the fewest, 5, of Sad and Scared."
    )


def test_folds_count_every_image_once(tmp_path):
    assert (
        of_data(sweep_of(tmp_path, folds=3, seeds=(1,), per_class=(4, 2, 3)))
        == "54 images of 6 classes; every class has 9 images."
    )


def test_one_seeds_epochs_are_no_means(tmp_path):
    text = of_curves(sweep_of(tmp_path, models=("resnet18",), strategies=("full",), seeds=(1,)))
    assert text.startswith("Training ran for 3.0 epochs; the weights that were kept are of epoch 3.0. In 1 of 1 trial")


def test_an_ensembles_sign_and_that_of_the_best_are_told():
    table = pd.DataFrame(
        {"model": ["a", "b"], "strategy": "full", "accuracy": [0.60, 0.71], "single_accuracy_mean": [0.62, 0.73]}
    )
    told = of_ensembles(table, {"model": "b", "strategy": "full"})
    assert told == (
        "One model that averages its seeds' probabilities has 2.0 points lower accuracy than they have by themselves "
        "on average, by configuration −2.0; this is not tested. That of b/full, best on validation, has 71.0 % where "
        "its seeds have 73.0 %."
    )
    assert "has 2.0 points higher" in of_ensembles(table.assign(accuracy=[0.64, 0.75]), None)


@pytest.mark.parametrize(
    ("low", "told"),
    [
        (
            [0.0, 0.0],
            "No configuration is shown to be badly calibrated: the calibration error is 1.0 to 2.0 %; for none of 2",
        ),
        ([0.0, 0.001], "The calibration error is 1.0 to 2.0 %; for 1 of 2"),
    ],
)
def test_a_calibration_error_whose_limit_is_nothing_is_not_shown(low, told):
    table = pd.DataFrame({"calibration_error": [0.01, 0.02], "calibration_error_total_ci_low": low})
    assert of_calibration(table).startswith(told)
