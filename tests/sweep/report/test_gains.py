"""Gains over the linear probe: a planted one, the table of comparisons, the study's, and where there are none."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sweep.frames import IMPORTED, Sweep, read_sweep
from sweep.report.gains import COLUMNS, of_best
from sweep.report.readable import readable
from sweep.report.tables import all_tables
from sweep.statistics import class_f1_values, total_interval
from tests.sweep.records import EMOTIONS, Plan, metrics, plant

MODELS = ("resnet18", "resnet50", "vit_b_16", "vit_s_16")
STRATEGIES = ("linear_probe", "partial", "full", "progressive")
LIMITS = ["total_ci_low", "total_ci_high"]


def read(folder, **plan) -> tuple[Sweep, dict[str, pd.DataFrame]]:
    sweep = read_sweep(plant(folder, Plan(**plan)))
    return sweep, all_tables(sweep)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return read(tmp_path_factory.mktemp("study"), models=MODELS, strategies=STRATEGIES)


@pytest.fixture(scope="module")
def probe_second(tmp_path_factory):
    """The linear probe is a in some of its pairs and b in others; one left the families, one lacks a seed."""
    missing = [*(("vit_s_16", "full", seed) for seed in (1, 2, 3)), ("resnet18", "partial", 4)]
    strategies = ("full", "linear_probe", "partial")
    return read(tmp_path_factory.mktemp("second"), strategies=strategies, seeds=(42, 1, 2, 3, 4), missing=missing)


def with_right(sweep: Sweep, right: dict[str, int]) -> Sweep:
    """Return the sweep with so many test images of every class right, by strategy; the others go to the next class.

    As many images are then called a class as belong to it, so that its F1 is its recall.
    """
    size, records = len(sweep.classes), []
    for record in sweep.records:
        labels = record.predictions.test_labels
        place = np.array([np.count_nonzero(labels[:row] == label) for row, label in enumerate(labels)])
        guess = np.where(place < right[record.strategy], labels, (labels + 1) % size)
        logits = np.eye(size, dtype=np.float32)[guess]
        predictions = replace(record.predictions, test_logits=logits)
        records.append(replace(record, predictions=predictions, test=metrics(logits, labels, sweep.classes)))
    return replace(sweep, records=tuple(records))


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1"])
@pytest.mark.parametrize(("right", "gain"), [(4, 0.4), (1, -0.2)])
def test_a_planted_gain_is_found(tmp_path, metric, right, gain):
    sweep, _ = read(tmp_path)
    table = all_tables(with_right(sweep, {"linear_probe": 2, "full": right}))["gains"]
    rows = table[table["metric"] == metric]
    assert len(rows) == (2 * 6 if metric == "f1" else 2)
    assert rows["gain"].to_numpy() == pytest.approx(gain)


def test_a_gain_of_nothing_has_neither_sign_nor_interval(tmp_path):
    sweep, _ = read(tmp_path)
    table = all_tables(with_right(sweep, {"linear_probe": 2, "full": 2}))["gains"]
    assert [math.copysign(1, gain) for gain in table["gain"]] == [1.0] * len(table)
    assert (table["gain"] == 0).all()
    assert table[LIMITS].isna().all(axis=None)


def test_every_number_of_every_strategy_but_the_probe_has_a_row(study):
    table = study[1]["gains"]
    assert list(table.columns) == COLUMNS
    names = list(dict.fromkeys(table["model"] + "/" + table["strategy"]))
    assert names == [f"{model}/{strategy}" for model in MODELS for strategy in STRATEGIES[1:]]
    (found,) = {tuple(rows["metric"]) for _, rows in table.groupby(["model", "strategy"])}
    assert found == ("accuracy", "f1_macro", "loss", *["f1"] * 6)
    assert table["class"].dropna().tolist() == 12 * list(EMOTIONS)


@pytest.mark.parametrize("family", ["all_pairs", "strategies_within_model"])
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "loss"])
def test_whole_numbers_are_those_of_the_comparisons(probe_second, metric, family):
    tables = probe_second[1]
    pairs = tables["comparisons"]
    pairs = pairs[(pairs["metric"] == metric) & (pairs["family"] == family) & (pairs["model_a"] == pairs["model_b"])]
    rows = tables["gains"][tables["gains"]["metric"] == metric]
    assert len(rows) == 4
    for row in rows.to_dict("records"):
        own = pairs[pairs["model_a"] == row["model"]].to_dict("records")
        (pair,) = [
            each for each in own if {each["strategy_a"], each["strategy_b"]} == {row["strategy"], "linear_probe"}
        ]
        numbers = [pair["difference"], pair["total_ci_low"], pair["total_ci_high"]]
        if pair["strategy_a"] == "linear_probe":
            numbers = [-numbers[0], -numbers[2], -numbers[1]]
        assert [row["gain"], row["total_ci_low"], row["total_ci_high"]] == numbers
        assert row["n_seeds"] == pair["n_seeds"]


def test_every_number_of_a_pair_is_over_the_same_seeds(probe_second):
    table = probe_second[1]["gains"]
    seeds = table.groupby(["model", "strategy"])["n_seeds"].agg(["min", "max"])
    assert (seeds["min"] == seeds["max"]).all()
    assert seeds.loc[("vit_s_16", "full"), "min"] == 2
    assert seeds.loc[("vit_s_16", "partial"), "min"] == 4


def test_a_pair_that_left_the_families_is_on_the_seeds_that_it_shares(probe_second):
    sweep, tables = probe_second
    a, b = (
        next(each for each in sweep.configurations if each.name == f"vit_s_16/{name}").outcomes
        for name in ("full", "linear_probe")
    )
    rows = tables["gains"].set_index(["model", "strategy", "class"])
    for number, name in enumerate(sweep.classes):
        of_a, of_b = (class_f1_values(each.predicted[each.rows(a.seeds)], a.labels, number) for each in (a, b))
        assert rows.loc[("vit_s_16", "full", name), "gain"] == pytest.approx((of_a - of_b).mean())


@pytest.mark.parametrize("grouped", [False, True])
def test_a_classs_interval_is_the_total_one_of_its_differences(tmp_path, grouped):
    groups = [f"scene {place % 7}" for place in range(6 * 17)] if grouped else None
    sweep, tables = read(tmp_path, groups=groups)
    rows = tables["gains"].set_index(["model", "strategy", "class"])
    outcomes = {each.name: each.outcomes for each in sweep.configurations}
    for model in ("resnet18", "vit_s_16"):
        a, b = outcomes[f"{model}/full"], outcomes[f"{model}/linear_probe"]
        for number, name in enumerate(sweep.classes):
            values = class_f1_values(a.predicted, a.labels, number) - class_f1_values(b.predicted, b.labels, number)
            expected = total_interval(values, 0.95, *sweep.units_of(a))
            row = rows.loc[(model, "full", name)]
            assert row[LIMITS].tolist() == [expected.low, expected.high]
            assert row["gain"] == expected.mean


def test_a_gain_in_f1_is_the_difference_of_the_tables_means(study):
    tables = study[1]
    means = tables["per_class"].set_index(["model", "strategy", "class"])["f1_mean"]
    rows = tables["gains"][tables["gains"]["metric"] == "f1"].to_dict("records")
    for row in rows:
        named = (row["model"], row["class"])
        difference = means[named[0], row["strategy"], named[1]] - means[named[0], "linear_probe", named[1]]
        assert row["gain"] == pytest.approx(difference)


def test_a_class_without_test_images_is_blank(tmp_path):
    table = read(tmp_path, counts={"Sad": (8, 4, 0)})[1]["gains"]
    rows = table[table["class"] == "Sad"]
    assert len(rows) == 2
    assert rows[["gain", *LIMITS]].isna().all(axis=None)
    assert table.loc[table["class"] != "Sad", "gain"].notna().all()


@pytest.mark.parametrize(
    "plan",
    [
        {"strategies": ("partial", "full")},
        {"strategies": ("linear_probe",)},
        {"missing": [(model, "linear_probe", seed) for model in ("resnet18", "vit_s_16") for seed in (42, 1, 2)]},
        {"per_class": (2, 2, 0), "counts": {"Happy": (2, 2, 1)}},
    ],
    ids=["no probe", "nothing beside it", "no results of it", "a single test image"],
)
def test_without_a_probe_or_anything_beside_it_there_is_no_table(tmp_path, plan):
    assert "gains" not in read(tmp_path, **plan)[1]


def test_models_without_a_probe_are_left_out(tmp_path):
    missing = [("resnet18", "linear_probe", seed) for seed in (42, 1, 2)]
    assert set(read(tmp_path, missing=missing)[1]["gains"]["model"]) == {"vit_s_16"}


def test_a_pair_without_a_common_seed_is_blank(tmp_path):
    missing = [("resnet18", "full", 42), ("resnet18", "full", 1), ("resnet18", "linear_probe", 2)]
    table = read(tmp_path, missing=missing)[1]["gains"]
    rows = table[table["model"] == "resnet18"]
    assert set(rows["n_seeds"]) == {0}
    assert rows["gain"].isna().all()


def test_one_seed_has_the_interval_of_the_test_images(tmp_path):
    table = read(tmp_path, seeds=(1,))[1]["gains"]
    assert table[LIMITS].notna().all(axis=None)


@pytest.mark.parametrize(
    ("model", "strategy", "metric", "gain"),
    [
        ("resnet18", "partial", "accuracy", 0.1289),
        ("vit_b_16", "progressive", "accuracy", 0.1622),
        ("vit_s_16", "full", "f1_macro", 0.1534),
        ("vit_b_16", "progressive", "loss", -0.1021),
    ],
)
def test_the_studys_gain_stands_beside_ours(study, model, strategy, metric, gain):
    rows = study[1]["gains"].set_index(["model", "strategy", "metric"])
    assert rows.loc[(model, strategy, metric), "study_gain"].item() == pytest.approx(gain)


def test_by_class_the_studys_gain_is_that_of_its_best_strategy(study):
    rows = study[1]["gains"]
    rows = rows[(rows["metric"] == "f1") & rows["study_gain"].notna()]
    assert list(dict.fromkeys(rows["model"] + "/" + rows["strategy"])) == [
        "resnet18/partial",
        "resnet50/partial",
        "vit_b_16/progressive",
        "vit_s_16/full",
    ]
    found = rows.set_index(["model", "class"])["study_gain"]
    assert found["resnet50", "Embarrassed"] == pytest.approx(0.38)
    assert found["vit_b_16", "Psycho-Crazy"] == pytest.approx(0.13)


def test_the_study_is_not_set_beside_other_models_or_imported_predictions(tmp_path):
    sweep, tables = read(tmp_path, models=("resnet26d", "resnet18"))
    assert set(tables["gains"].dropna(subset="study_gain")["model"]) == {"resnet18"}
    imported = replace(sweep, fingerprint={"source": IMPORTED})
    assert all_tables(imported)["gains"]["study_gain"].isna().all()


def test_the_best_strategy_is_the_one_on_validation(study):
    _, tables = study
    rows = of_best(tables["gains"], tables["summary"])
    tuned = tables["summary"][tables["summary"]["strategy"] != "linear_probe"]
    best = tuned.loc[tuned.groupby("model")["validation_accuracy_mean"].idxmax()]
    expected = set(zip(best["model"], best["strategy"], strict=True))
    assert set(zip(rows["model"], rows["strategy"], strict=True)) == expected
    assert len(rows) == 4 * 6


@pytest.mark.parametrize(("strategies", "n_rows"), [(("linear_probe", "full"), 2 * 6), (STRATEGIES, 0)])
def test_without_validation_images_only_a_single_strategy_stands_for_its_model(tmp_path, strategies, n_rows):
    tables = read(tmp_path, strategies=strategies)[1]
    assert len(of_best(tables["gains"], tables["summary"].assign(validation_accuracy_mean=np.nan))) == n_rows


def test_gains_are_told_in_points_and_nats(study):
    table = study[1]["gains"]
    words = readable("gains", table)
    for row, scale, digits in ((0, 100, 1), (2, 1, 3), (3, 100, 1)):
        expected = f"{scale * table.loc[row, 'gain']:.{digits}f}".replace("-", "−")
        assert words.loc[row, "gain"] == expected
    assert words.loc[:3, "what"].tolist() == [
        "accuracy (points)",
        "macro F1 (points)",
        "loss (nats)",
        "Angry, F1 (points)",
    ]
    assert words.loc[0, "the study"] == "12.9"
