"""The images that models misread, against the records' logits."""

import csv

import numpy as np
import pytest

from sweep.frames import read_sweep
from sweep.report.files import write_tables
from sweep.report.misread import how_many_misread, misread
from sweep.report.readable import readable
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Of four configurations with three seeds, but for one that lacks two."""
    missing = [("vit_s_16", "full", 1), ("vit_s_16", "full", 2)]
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(missing=missing)))


@pytest.fixture(scope="module")
def table(sweep):
    return misread(sweep)


def readings_of(sweep):
    """Return {image: [(configuration, true, predicted)]} of every completed trial, straight from its record."""
    found: dict[str, list] = {}
    for record in sweep.completed:
        given = record.predictions
        for row, label, guess in zip(
            given.test_index, given.test_labels, given.test_logits.argmax(axis=1), strict=True
        ):
            entry = ((record.model, record.strategy), int(label), int(guess))
            found.setdefault(sweep.split_file.images[row].path, []).append(entry)
    return found


def test_every_misread_image_has_a_row_and_no_other(sweep, table):
    expected = {path for path, seen in readings_of(sweep).items() if any(true != guess for _, true, guess in seen)}
    assert set(table["image"]) == expected
    assert table["image"].is_unique


def test_shares_and_readings_are_those_of_the_records(sweep, table):
    seen = readings_of(sweep)
    for row in table.to_dict("records"):
        wrong = [guess for _, true, guess in seen[row["image"]] if guess != true]
        assert row["n_models"] == 10
        assert row["misread_share"] == pytest.approx(len(wrong) / 10)
        assert row["predicted"] == sweep.classes[np.bincount(wrong).argmax()]
        assert row["true"] == row["image"].partition("/")[0]


def test_configurations_are_counted_whose_every_seed_was_wrong(sweep, table):
    seen = readings_of(sweep)
    for row in table.to_dict("records"):
        right: dict = {}
        for name, true, guess in seen[row["image"]]:
            right[name] = right.get(name, False) or guess == true
        assert row["always_misread_by"] == sum(not value for value in right.values())
        assert row["wrong_under_every_seed"] == (not any(right.values()))


def test_the_most_misread_stand_first(table):
    assert table["misread_share"].is_monotonic_decreasing


def test_the_file_holds_what_is_to_be_looked_at_again(sweep, table, tmp_path):
    write_tables(sweep, all_tables(sweep), tmp_path, ["csv"])
    with (tmp_path / "misread.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == table["image"].tolist()
    assert {row["wrong_under_every_seed"] for row in rows} <= {"True", "False"}


def test_the_finding_counts_and_names(table):
    every = table["wrong_under_every_seed"]
    text = how_many_misread(table.assign(wrong_under_every_seed=[True, *[False] * (len(table) - 1)]), 30)
    assert text == (
        f"Of 30 test images {len(table)} were misread by at least one of 10 models, 1 by all of them: "
        f"{table['image'][0]} (labelled {table['true'][0]})."
    )
    worst = table[~every].iloc[0]
    assert how_many_misread(table[~every], 30).endswith(
        f"none by all of them; most often {worst['image']} (labelled {worst['true']}), "
        f"by {100 * worst['misread_share']:.1f} %."
    )
    assert how_many_misread(table.head(0), 30) == "Every model read all of 30 test images rightly."


def test_the_words_say_under_how_many_configurations(table):
    row = readable("misread", table).iloc[0]
    assert row["configurations"] == f"{table['always_misread_by'][0]} of 4"
    assert row["wrong under every seed"] in ("yes", "no")


def test_folds_count_every_image_once_a_seed(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(folds=3, seeds=(1, 2), per_class=(4, 2, 3))))
    assert set(misread(sweep)["n_models"]) == {8}
    assert len(misread(sweep)) <= 54


def test_without_results_there_is_no_row(tmp_path):
    plan = Plan(models=("resnet18",), strategies=("full",), seeds=(1,), missing=[("resnet18", "full", 1)])
    assert len(misread(read_sweep(plant(tmp_path, plan)))) == 0
