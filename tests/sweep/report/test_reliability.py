"""Reliability and risk-coverage curves, against what the records' logits say, and as they are drawn."""

import numpy as np
import pytest

from sweep.frames import read_sweep
from sweep.report.diagrams import coverage_curves, reliability_diagrams
from sweep.report.readable import readable
from sweep.report.reliability import MOST_POINTS, reliability, risk_coverage
from sweep.statistics import aurc, equal_mass_bins, total_interval
from tests.sweep.records import Plan, plant

N_TEST = 6 * 12


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(per_class=(8, 4, 12))))


@pytest.fixture(scope="module")
def table(sweep):
    return reliability(sweep)


@pytest.fixture(scope="module")
def curves(sweep):
    return risk_coverage(sweep)


def of_first(table):
    return table[(table["model"] == "resnet18") & (table["strategy"] == "linear_probe")]


def test_a_row_a_configuration_and_bin(table):
    assert len(table) == 4 * 15
    assert of_first(table)["bin"].tolist() == list(range(1, 16))
    assert of_first(table)["n_images"].sum() == N_TEST


def test_bins_are_each_seeds_own_by_confidence(sweep, table):
    outcomes = sweep.configurations[0].outcomes
    expected = []
    for sure, right in zip(outcomes.confidence, outcomes.correct, strict=True):
        order = np.argsort(sure, kind="stable")
        of_rank = np.arange(N_TEST) * 15 // N_TEST
        expected.append([(sure[order][of_rank == b].mean(), right[order][of_rank == b].mean()) for b in range(15)])
    found = of_first(table)[["confidence_mean", "accuracy_mean"]].to_numpy()
    assert found == pytest.approx(np.mean(expected, axis=0))


def test_bins_average_to_the_accuracy(sweep, table):
    rows = of_first(table)
    mean = np.average(rows["accuracy_mean"], weights=rows["n_images"])
    assert mean == pytest.approx(np.mean(sweep.configurations[0].values("accuracy")))


def test_the_interval_is_that_of_what_images_add_to_a_bin(sweep, table):
    outcomes = sweep.configurations[0].outcomes
    inside = equal_mass_bins(outcomes.confidence) == 4
    rate = outcomes.correct[inside].mean()
    total = total_interval(rate + np.where(inside, outcomes.correct - rate, 0) * N_TEST / inside[0].sum())
    row = of_first(table).iloc[4]
    assert total.mean == pytest.approx(row["accuracy_mean"])
    assert row["accuracy_total_ci_low"] == pytest.approx(max(0, total.low))
    assert row["accuracy_total_ci_high"] == pytest.approx(min(1, total.high))


def test_intervals_hold_their_bin_and_are_shares(table):
    known = table.dropna(subset="accuracy_total_ci_low")
    assert (known["accuracy_total_ci_low"] <= known["accuracy_mean"]).all()
    assert (known["accuracy_mean"] <= known["accuracy_total_ci_high"]).all()
    assert known["accuracy_total_ci_low"].ge(0).all()
    assert known["accuracy_total_ci_high"].le(1).all()


def test_a_bin_in_which_nothing_varied_has_no_interval(table):
    certain = table[table["accuracy_mean"].isin([0.0, 1.0])]
    assert len(certain) > 0
    assert certain["accuracy_total_ci_low"].isna().all()


def test_curves_have_few_points_and_end_at_all_images(sweep, curves):
    rows = of_first(curves)
    assert len(rows) == MOST_POINTS
    assert rows["coverage"].is_monotonic_increasing
    assert rows["coverage"].iloc[-1] == 1
    assert rows["risk_mean"].iloc[-1] == pytest.approx(1 - np.mean(sweep.configurations[0].values("accuracy")))


def test_their_mean_is_near_the_area_under_the_whole_curve(sweep, curves):
    outcomes = sweep.configurations[0].outcomes
    assert of_first(curves)["risk_mean"].mean() == pytest.approx(
        aurc(outcomes.confidence, outcomes.correct).mean(), abs=0.01
    )


def test_the_risk_at_a_coverage_is_that_of_the_surest_images(sweep, curves):
    outcomes = sweep.configurations[0].outcomes
    row = of_first(curves).iloc[20]
    answered = round(row["coverage"] * N_TEST)
    wrong = [
        1 - right[np.argsort(-sure, kind="stable")[:answered]].mean()
        for sure, right in zip(outcomes.confidence, outcomes.correct, strict=True)
    ]
    assert row["risk_mean"] == pytest.approx(np.mean(wrong))


def test_one_seed_has_no_seed_interval(tmp_path):
    table = risk_coverage(read_sweep(plant(tmp_path, Plan(seeds=(1,)))))
    assert table["risk_ci_low"].isna().all()


def test_too_few_images_have_no_bins_and_still_a_curve(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(classes=("a", "b"), per_class=(3, 2, 3))))
    assert len(reliability(sweep)) == 0
    assert len(risk_coverage(sweep)) == 4 * 6
    assert reliability_diagrams(reliability(sweep)) == []


def test_the_words_are_in_percent(table, curves):
    assert readable("reliability", table).iloc[0]["bin"] == "1"
    assert readable("risk_coverage", curves).iloc[49]["coverage (%)"] == "100.0"


def test_a_diagram_a_model_holds_a_line_a_strategy(table):
    drawings = reliability_diagrams(table)
    assert [drawing.title for drawing in drawings] == ["resnet18: reliability", "vit_s_16: reliability"]
    line = drawings[0].figure.data[1]
    rows = of_first(table)
    assert list(line.x) == pytest.approx(100 * rows["confidence_mean"])
    assert list(line.y) == pytest.approx(100 * rows["accuracy_mean"])
    known = rows["accuracy_total_ci_high"].notna().to_numpy()
    ends = np.array(line.y) + np.array(line.error_y.array)
    assert ends[known] == pytest.approx(100 * rows["accuracy_total_ci_high"][known])
    assert np.array(line.error_y.array)[~known] == pytest.approx(0)


def test_agreement_is_drawn(table):
    line = reliability_diagrams(table)[0].figure.data[0]
    assert (list(line.x), list(line.y)) == ([0, 100], [0, 100])


def test_curves_are_drawn_as_the_table_has_them(curves):
    drawings = coverage_curves(curves)
    assert len(drawings) == 2
    assert list(drawings[0].figure.data[0].y) == pytest.approx(100 * of_first(curves)["risk_mean"])


def test_hostile_names_are_plain(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(models=("<b>m</b>",), seeds=(1, 2), per_class=(8, 4, 12))))
    table = reliability(sweep).assign(strategy="<i>s</i>")
    for drawing in (*reliability_diagrams(table), *coverage_curves(risk_coverage(sweep).assign(strategy="<i>s</i>"))):
        texts = [text for trace in drawing.figure.data for text in trace.hovertext or ()]
        assert all("<i>" not in text and "&lt;i&gt;" in text for text in texts)
