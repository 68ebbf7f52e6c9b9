from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sweep.frames import Sweep, read_sweep
from sweep.report.spread import within
from sweep.report.tables import (
    all_tables,
    confusion,
    efficiency,
    per_class,
    summary,
)
from sweep.statistics import calibration_interval, class_f1_values, total_interval
from tests.sweep.records import Plan, plant

CONTRACT = (
    ["model", "strategy", "n_seeds", "n_planned"]
    + [
        f"{metric}_{suffix}"
        for metric in ("accuracy", "f1_macro", "f1_weighted", "loss")
        for suffix in ("mean", "sd", "ci_low", "ci_high", "total_ci_low", "total_ci_high")
    ]
    + ["ece_mean", "ece_sd", "ece_ci_low", "ece_ci_high", "calibration_error"]
    + ["calibration_error_total_ci_low", "calibration_error_total_ci_high", "percent_trainable"]
    + ["epochs_run_mean", "seconds_per_epoch_mean", "images_per_second_mean"]
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    plan = Plan(missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)], failed=[("resnet18", "full", 1)])
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))


@pytest.fixture(scope="module")
def rows(sweep) -> list[dict]:
    return summary(sweep).to_dict("records")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Sweep:
    plan = Plan(strategies=("full",), seeds=(1,), missing=[("resnet18", "full", 1), ("vit_s_16", "full", 1)])
    return read_sweep(plant(tmp_path_factory.mktemp("empty"), plan))


@pytest.mark.parametrize("column", CONTRACT)
def test_summary_has_the_column(sweep, column):
    assert column in summary(sweep).columns


def test_summary_has_a_row_a_configuration_with_its_seeds(rows):
    assert [(row["n_seeds"], row["n_planned"]) for row in rows] == [(3, 3), (2, 3), (3, 3), (1, 3)]


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_weighted", "loss", "ece"])
def test_seed_interval_is_students_over_the_records(sweep, rows, metric):
    values = [record.test[metric] for record in sweep.configurations[0].records]
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (rows[0][f"{metric}_ci_low"], rows[0][f"{metric}_ci_high"]) == pytest.approx(expected)


def test_total_interval_is_that_of_hits_over_seeds_and_images(sweep, rows):
    record = [record.predictions for record in sweep.configurations[0].records]
    hits = np.array([part.test_logits.argmax(axis=1) == part.test_labels for part in record])
    expected = total_interval(hits)
    assert (rows[0]["accuracy_total_ci_low"], rows[0]["accuracy_total_ci_high"]) == (expected.low, expected.high)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_weighted", "loss"])
def test_total_interval_holds_the_mean(rows, metric):
    assert all(row[f"{metric}_total_ci_low"] < row[f"{metric}_mean"] < row[f"{metric}_total_ci_high"] for row in rows)


def test_calibration_error_is_that_of_the_outcomes(sweep, rows):
    outcomes = sweep.configurations[0].outcomes
    expected = calibration_interval(outcomes.confidence, outcomes.correct)
    assert rows[0]["calibration_error"] == expected.mean


def test_groups_widen_the_total_interval(tmp_path, rows):
    groups = [f"{name}" for name in range(6) for _ in range(17)]
    grouped = summary(read_sweep(plant(tmp_path, Plan(groups=groups)))).to_dict("records")[0]
    width = grouped["accuracy_total_ci_high"] - grouped["accuracy_total_ci_low"]
    assert width > rows[0]["accuracy_total_ci_high"] - rows[0]["accuracy_total_ci_low"]


@pytest.mark.parametrize("suffix", ["sd", "ci_low", "ci_high"])
def test_one_seed_leaves_the_seed_interval_empty(rows, suffix):
    assert np.isnan(rows[3][f"accuracy_{suffix}"])


def test_one_seed_keeps_its_total_interval(rows):
    assert rows[3]["accuracy_total_ci_low"] < rows[3]["accuracy_mean"]


def test_f1s_total_interval_stays_inside_its_range(tmp_path):
    table = summary(read_sweep(plant(tmp_path, Plan(classes=("a", "b"), per_class=(3, 2, 5)))))
    assert table["f1_macro_total_ci_high"].max() <= 1


def test_too_few_test_images_leave_calibration_empty(tmp_path):
    table = summary(read_sweep(plant(tmp_path, Plan(classes=("a", "b"), per_class=(3, 2, 3)))))
    assert table["calibration_error"].isna().all()


def test_without_completed_trials_all_but_the_names_is_empty(empty):
    table = summary(empty)
    assert table["n_seeds"].tolist() == [0, 0]
    assert table.drop(columns=["model", "strategy", "n_seeds", "n_planned"]).isna().all(axis=None)


def test_per_class_averages_the_records(sweep):
    table = per_class(sweep)
    values = [record.test["per_class"][2]["f1"] for record in sweep.configurations[0].records]
    assert table.loc[2, ["class", "f1_mean"]].tolist() == ["Happy", pytest.approx(np.mean(values))]


def test_per_class_totals_are_those_of_the_outcomes_and_hold_the_mean(sweep):
    table, outcomes = per_class(sweep), sweep.configurations[0].outcomes
    expected = total_interval(class_f1_values(outcomes.predicted, outcomes.labels, 2))
    assert table.loc[2, "f1_total_ci_low"] == expected.low
    known = table[table["f1_total_ci_low"].notna()]
    assert (known["f1_total_ci_low"] <= known["f1_mean"]).all()
    assert known["f1_total_ci_high"].between(known["f1_mean"], 1).all()


def test_where_nothing_varied_there_is_no_interval():
    labels = np.arange(12) % 3
    perfect = np.broadcast_to(labels, (4, 12))
    found = within(total_interval(class_f1_values(perfect, labels, 0)), 1.0)
    assert found.mean == 1
    assert np.isnan([found.low, found.high]).all()


def test_intervals_of_metrics_that_cannot_be_negative_are_not(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, Plan(seeds=(1, 2)))))
    assert tables["summary"]["loss_total_ci_low"].min() >= 0
    assert tables["calibration"][["loss_total_ci_low", "brier_total_ci_low"]].min(axis=None) >= 0


def test_a_class_without_test_images_has_no_total_interval(tmp_path):
    table = per_class(read_sweep(plant(tmp_path, Plan(counts={"Sad": (8, 4, 0)}))))
    assert table.loc[table["class"] == "Sad", "f1_total_ci_low"].isna().all()


def test_confusions_shares_of_a_true_class_sum_to_one(sweep):
    sums = confusion(sweep).groupby(["model", "strategy", "true"])["share_mean"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(4 * 6))


def test_energy_is_of_trials_that_had_the_card_to_themselves(sweep):
    taken = {1: {"energy_joules": 100.0}, 2: {"energy_joules": 300.0}, 3: {"energy_joules": 9e9, "shared_device": True}}
    records = [replace(r, efficiency={**r.efficiency, **taken.get(r.seed, {})}) for r in sweep.records]
    assert efficiency(sweep)["energy_joules_mean"].isna().all()
    assert efficiency(replace(sweep, records=tuple(records)))["energy_joules_mean"][0] == 200


def test_efficiency_is_the_mean_over_seeds(sweep):
    histories = [record.history for record in sweep.configurations[0].records]
    expected = np.mean([np.mean([epoch["seconds"] for epoch in history]) for history in histories])
    assert efficiency(sweep)["seconds_per_epoch_mean"][0] == pytest.approx(expected)
