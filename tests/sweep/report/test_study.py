"""The study's own numbers, against its published tables and the sweep's."""

import pytest

from sweep.frames import read_sweep
from sweep.published import table
from sweep.report.readable import readable
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

MODELS = ("resnet18", "resnet50", "vit_b_16", "vit_s_16")
STRATEGIES = ("linear_probe", "partial", "full", "progressive")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    plan = Plan(models=MODELS, strategies=STRATEGIES)
    return all_tables(read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan)))


def test_every_number_of_table_2_stands_beside_ours(tables):
    rows = tables["study"][tables["study"]["table"] == 2]
    assert len(rows) == 16 * 7
    ours = tables["summary"].set_index(["model", "strategy"])
    for line in table(2).to_dict("records"):
        pair = (line["model"], line["strategy"])
        found = rows[(rows["model"] == pair[0]) & (rows["strategy"] == pair[1])].set_index("metric")
        assert found.loc["accuracy", "study_value"] == pytest.approx(line["accuracy"] / 100)
        assert found.loc["loss", "study_value"] == line["test_loss"]
        assert found.loc["accuracy", "mean"] == ours.loc[pair, "accuracy_mean"]
        assert found.loc["loss", "total_ci_high"] == ours.loc[pair, "loss_total_ci_high"]
        assert found.loc["seconds_per_epoch", "mean"] == ours.loc[pair, "seconds_per_epoch_mean"]


def test_every_number_of_table_3_stands_beside_ours(tables):
    rows = tables["study"][tables["study"]["table"] == 3]
    assert len(rows) == 8 * 6
    probe = rows[(rows["model"] == "resnet18") & (rows["strategy"] == "linear_probe")].set_index("class")
    assert probe.loc["Psycho-Crazy", "study_value"] == 0.77
    ours = tables["per_class"].set_index(["model", "strategy", "class"])
    assert probe.loc["Sad", "mean"] == ours.loc[("resnet18", "linear_probe", "Sad"), "f1_mean"]


def test_the_best_strategy_is_ours_on_validation(tables):
    summary = tables["summary"]
    tuned = summary[(summary["model"] == "vit_b_16") & (summary["strategy"] != "linear_probe")]
    best = tuned.loc[tuned["validation_accuracy_mean"].idxmax(), "strategy"]
    rows = tables["study"][(tables["study"]["table"] == 3) & (tables["study"]["model"] == "vit_b_16")]
    assert set(rows["strategy"]) == {"linear_probe", best}


def test_configurations_that_were_not_run_have_no_row(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, Plan(models=("resnet18",), strategies=("linear_probe",)))))
    assert set(tables["study"]["model"] + "/" + tables["study"]["strategy"]) == {"resnet18/linear_probe"}
    assert len(tables["study"]) == 7 + 6


def test_other_models_and_classes_have_no_table(tmp_path):
    assert "study" not in all_tables(read_sweep(plant(tmp_path, Plan(models=("resnet26d",), classes=("a", "b")))))


def test_it_is_told_in_points_and_nats(tables):
    words = readable("study", tables["study"])
    first = words.iloc[0]
    assert (first["configuration"], first["what"], first["the study"]) == (
        "resnet18/linear_probe",
        "accuracy (%)",
        "62.2",
    )
    assert "±" in first["here"]
    assert words.loc[words["what"] == "Psycho-Crazy, F1 (%)", "the study"].iloc[0] == "77.0"
