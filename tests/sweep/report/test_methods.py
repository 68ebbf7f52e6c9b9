import html
import re

import pytest

from sweep.frames import read_sweep
from sweep.importing import import_predictions
from sweep.report.captions import captions
from sweep.report.page import write_report
from sweep.report.tables import all_tables
from tests.sweep.exported import digits
from tests.sweep.records import Plan, plant

PLANS = {
    "usual": Plan(),
    "one-seed": Plan(seeds=(42,)),
    "folds": Plan(folds=3, models=("resnet18",)),
    "groups": Plan(groups=[f"{number // 2}" for number in range(6 * 17)]),
    "splits-and-shares": Plan(splits=(1, 2, 3), fractions=(0.5, 1.0)),
    "arms": Plan(vary=("init",)),
    "many": Plan(models=("resnet18", "resnet50", "vit_b_16"), strategies=("linear_probe", "partial", "full")),
}
OF_TRAINING_IMAGES = re.compile("training images|images of each share")
WITHOUT_REFERENCE = (
    *("Accuracy, precision, recall and F1", "Gain over the linear probe", "Other views", "How much data", "Folds"),
    *("Efficiency", "What no interval here knows of"),
)
"""Estimators that are those of another paragraph, or plain means."""


def methods(folder) -> str:
    page = write_report(folder).read_text(encoding="utf-8")
    section = page[page.index('<section id="methods">') : page.index('<section id="provenance">')]
    return " ".join(html.unescape(re.sub(r"<(?!/?strong)[^>]+>", " ", section)).split())


@pytest.mark.parametrize("name", PLANS)
def test_beside_every_total_interval_stands_what_is_known_of_the_training_images(tmp_path, name):
    sweep = read_sweep(plant(tmp_path, PLANS[name]))
    for table, caption in captions(sweep, all_tables(sweep)).items():
        if re.search("otal interval|Interval, 95", caption):
            assert OF_TRAINING_IMAGES.search(caption), table


@pytest.mark.parametrize("name", PLANS)
def test_every_estimator_has_its_paragraph_and_reference(tmp_path, name):
    paragraphs = re.split("<strong>", methods(plant(tmp_path, PLANS[name])))[1:]
    titles = [paragraph.split("</strong>")[0].rstrip(".:") for paragraph in paragraphs]
    assert {"Seed interval", "Total interval", "Calibration error", "ECE", "AURC", "Components"} <= set(titles)
    for title, paragraph in zip(titles, paragraphs, strict=True):
        assert title in WITHOUT_REFERENCE or re.search(r"\b(19|20)\d\d\b", paragraph), title


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("usual", "varying: the seeds (initialisation, order and augmentation together) and the test images."),
        ("one-seed", "varying: the test images alone, for there is one seed."),
        ("folds", "the training images as far as 3 folds tell"),
        ("groups", "and the groups of test images."),
        ("usual", "the training and validation images, which were the same in every trial of the main tables"),
    ],
)
def test_what_varied_is_told(tmp_path, name, told):
    assert told in methods(plant(tmp_path, PLANS[name]))


def test_of_imported_predictions_nothing_is_said_of_training(tmp_path):
    digits().to_csv(tmp_path / "made.csv", index=False)
    import_predictions(tmp_path / "made.csv", tmp_path / "out")
    text = methods(tmp_path / "out")
    assert "what of the training images varied is not known" in text
    assert "epoch is chosen" not in text
    assert "<strong>Efficiency" not in text
