import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sweep.frames import Sweep, read_sweep
from sweep.report import figures
from sweep.report.gains import of_best
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    plan = Plan(missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)], classes=("a", "b", "c"))
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))


def test_every_seed_has_its_point(sweep):
    drawing = figures.results(sweep, all_tables(sweep)["summary"])[0]
    points = [x for trace in drawing.figure.data if trace.marker.size == 6 for x in trace.x]
    assert sorted(points) == sorted(100 * record.test["accuracy"] for record in sweep.completed)


def test_a_single_seed_has_no_seed_interval_drawn(sweep):
    drawing = figures.results(sweep, all_tables(sweep)["summary"])[0]
    means = next(trace for trace in drawing.figure.data if trace.name == "full" and trace.marker.size == 11)
    assert [length > 0 for length in means.error_x.array] == [True, False]


def test_majority_class_is_that_of_the_training_images(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(classes=("a", "b"), counts={"a": (2, 4, 30)})))
    assert [value for _, value, _ in figures.baselines(sweep)] == [1 / 2, 5 / 35]


def test_confusion_matrices_are_shares_of_the_true_class(sweep):
    drawing = figures.confusion_matrices(sweep, all_tables(sweep)["confusion"])[0]
    assert np.sum(drawing.figure.data[0].z, axis=1) == pytest.approx([100, 100, 100])


def test_cells_of_a_confusion_matrix_tell_share_spread_and_count(sweep):
    table = all_tables(sweep)["confusion"]
    heat = figures.confusion_matrices(sweep, table)[0].figure.data[0]
    row = table.to_dict("records")[1]
    assert heat.hovertext[0][1] == (
        f"true a<br>predicted b<br>{100 * row['share_mean']:.1f} % (SD {100 * row['share_sd']:.1f}), "
        f"{row['count_mean']:.1f} images, mean of 3 seeds"
    )


def test_cells_of_a_confusion_matrix_hold_counts_for_who_wants_them(sweep):
    table = all_tables(sweep)["confusion"]
    heat = figures.confusion_matrices(sweep, table)[0].figure.data[0]
    assert [text for row in heat.text for text in row] == [f"{images:.1f}" for images in table["count_mean"][:9]]


def test_of_many_classes_only_cells_with_images_have_words(tmp_path):
    plan = Plan(models=("resnet18",), seeds=(1,), classes=[f"{number:02}" for number in range(20)], per_class=(1, 1, 2))
    heat = figures.confusion_matrices(sweep := read_sweep(plant(tmp_path, plan)), all_tables(sweep)["confusion"])[0]
    assert heat.figure.data[0].text is None
    words, shares = np.array(heat.figure.data[0].hovertext), np.array(heat.figure.data[0].z)
    assert ((words != "") == (shares > 0)).all()


def test_costs_have_a_mark_a_seed(sweep):
    assert [len(each.figure.data[1].x) for each in figures.costs(sweep)] == [10, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("throughput", "images_per_second_mean"),
        ("inference", "eval_images_per_second_mean"),
        ("seconds", "seconds_per_epoch_mean"),
        ("total", "training_seconds_mean"),
        ("trainable", "percent_trainable"),
    ],
)
def test_bars_of_costs_are_the_tables_means(sweep, key, column):
    drawing = next(each for each in figures.costs(sweep) if each.key == f"figure-cost-{key}")
    assert list(drawing.figure.data[0].x) == pytest.approx(all_tables(sweep)["efficiency"][column].tolist())


def test_costs_say_on_what_they_were_measured(sweep):
    told = "Measured on Planted Processor in 10 trials, each alone on its device."
    assert all(each.description.startswith(told) for each in figures.costs(sweep))


def test_company_on_the_device_is_said(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(shared_device=True, seeds=(1,))))
    assert "4 of them on a device that others used too" in figures.measured_on(sweep)


def test_nothing_was_measured_where_nothing_completed(tmp_path):
    plan = Plan(models=("resnet18",), strategies=("full",), seeds=(1,), missing=[("resnet18", "full", 1)])
    assert figures.measured_on(read_sweep(plant(tmp_path, plan))) == ""


def test_a_seeds_mark_tells_seed_value_and_trial(sweep):
    drawing = figures.results(sweep, all_tables(sweep)["summary"])[0]
    told = {text for trace in drawing.figure.data if trace.marker.size == 6 for text in trace.hovertext}
    assert told == {
        f"{r.model}/{r.strategy}<br>seed {r.seed}: {100 * r.test['accuracy']:.1f} %<br>trial {r.trial_id}"
        for r in sweep.completed
    }


def test_a_means_mark_tells_its_seeds_and_both_intervals(sweep):
    drawing = figures.results(sweep, all_tables(sweep)["summary"])[0]
    marks = next(trace for trace in drawing.figure.data if trace.name == "full" and trace.marker.size == 11)
    assert "3 of 3 seeds<br>seed interval" in marks.hovertext[0]
    assert "<br>total interval" in marks.hovertext[0]
    assert "1 of 3 seeds<br>total interval" in marks.hovertext[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Sweep, dict[str, pd.DataFrame]]:
    sweep = read_sweep(plant(tmp_path_factory.mktemp("whole"), Plan(strategies=("linear_probe", "partial", "full"))))
    return sweep, all_tables(sweep)


def held(figure: go.Figure) -> np.ndarray:
    """Return gain, low and high of every bar, in points."""
    bars = figure.data[0]
    means = np.array(bars.x)
    return np.array([means, means - np.array(bars.error_x.arrayminus), means + np.array(bars.error_x.array)])


def test_bars_of_gains_hold_the_table(whole):
    sweep, tables = whole
    rows = tables["gains"][tables["gains"]["metric"] == "accuracy"]
    assert len(rows) == 4
    found = held(figures.gains(sweep, tables["gains"]).figure)
    assert found == pytest.approx(100 * rows[["gain", "total_ci_low", "total_ci_high"]].to_numpy().T)


def test_gains_by_class_hold_the_table(whole):
    sweep, tables = whole
    rows = of_best(tables["gains"], tables["summary"])
    drawings = figures.class_gains(sweep, rows)
    assert len(drawings) == 2
    found = np.hstack([held(drawing.figure) for drawing in drawings])
    assert found == pytest.approx(100 * rows[["gain", "total_ci_low", "total_ci_high"]].to_numpy().T)


def test_the_studys_gains_are_hollow_marks(whole):
    sweep, tables = whole
    rows = tables["gains"][tables["gains"]["metric"] == "accuracy"]
    marks = figures.gains(sweep, tables["gains"]).figure.data[1]
    assert list(marks.x) == pytest.approx((100 * rows["study_gain"]).tolist())
    assert marks.marker.symbol == "diamond-open"


def test_without_the_studys_gains_there_are_no_marks(whole):
    sweep, tables = whole
    assert len(figures.gains(sweep, tables["gains"].assign(study_gain=np.nan)).figure.data) == 1


def test_a_gain_that_is_not_known_has_no_bar(whole):
    sweep, tables = whole
    table = tables["gains"].assign(study_gain=np.nan)
    table.loc[table.index[0], ["gain", "total_ci_low", "total_ci_high"]] = np.nan
    assert list(figures.gains(sweep, table).figure.data[0].y) == [1, 2, 3]


def test_a_gain_without_an_interval_has_no_whisker(whole):
    sweep, tables = whole
    table = tables["gains"].assign(total_ci_low=np.nan, total_ci_high=np.nan)
    bars = figures.gains(sweep, table).figure.data[0]
    assert set(bars.error_x.array) == {0.0}
    assert not any("interval" in text for text in bars.hovertext)


def test_no_gain_is_drawn_beyond_a_hundred_points(whole):
    sweep, tables = whole
    table = tables["gains"].assign(total_ci_low=-1.5, total_ci_high=2.5)
    assert list(figures.gains(sweep, table).figure.layout.xaxis.range) == [-102, 102]


def test_hostile_names_are_plain_in_gains(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(models=("<b>m</b>",), classes=("x & y", "<i>z</i>"))))
    tables = all_tables(sweep)
    drawings = [figures.gains(sweep, tables["gains"])]
    drawings += figures.class_gains(sweep, of_best(tables["gains"], tables["summary"]))
    texts = [text for each in drawings for text in each.figure.data[0].hovertext]
    texts += [text for each in drawings for text in each.figure.layout.yaxis.ticktext]
    assert {re.sub(r"<br>.*", "", text) for text in texts} == {
        "&lt;b&gt;m&lt;/b&gt;/full",
        "x &amp; y",
        "&lt;i&gt;z&lt;/i&gt;",
    }


def test_the_class_map_holds_the_tables_means(sweep):
    table = all_tables(sweep)["per_class"]
    assert np.ravel(figures.class_f1(sweep, table).figure.data[0].z) == pytest.approx(100 * table["f1_mean"].to_numpy())
