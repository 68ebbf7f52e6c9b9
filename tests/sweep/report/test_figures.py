import numpy as np
import pytest

from sweep.frames import Sweep, read_sweep
from sweep.report import figures
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    plan = Plan(missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)], classes=("a", "b", "c"))
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))


def test_plain_leaves_plotly_nothing_to_read():
    assert figures.plain("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_a_long_label_keeps_its_ends():
    assert figures.short("a" * 40 + "/full", 11) == "aaaaa…/full"


def test_every_seed_has_its_point(sweep):
    drawing = figures.accuracy(sweep, all_tables(sweep)["summary"])
    points = [x for trace in drawing.figure.data if trace.marker.size == 6 for x in trace.x]
    assert sorted(points) == sorted(100 * record.test["accuracy"] for record in sweep.completed)


def test_a_single_seed_has_no_seed_interval_drawn(sweep):
    drawing = figures.accuracy(sweep, all_tables(sweep)["summary"])
    means = next(trace for trace in drawing.figure.data if trace.name == "full" and trace.marker.size == 11)
    assert [length > 0 for length in means.error_x.array] == [True, False]


def test_majority_class_is_that_of_the_training_images(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(classes=("a", "b"), counts={"a": (2, 4, 30)})))
    assert [value for _, value, _ in figures.baselines(sweep)] == [1 / 2, 5 / 35]


def test_curves_are_means_over_seeds(sweep):
    drawing = next(each for each in figures.curves(sweep) if each.key == "figure-curve-0-validation-loss")
    line = next(trace for trace in drawing.figure.data if trace.mode == "lines+markers" and trace.name == "full")
    records = [r for r in sweep.completed if (r.model, r.strategy) == ("resnet18", "full")]
    expected = np.mean([[epoch["validation_loss"] for epoch in record.history] for record in records], axis=0)
    assert list(line.y) == pytest.approx(expected)


def test_a_single_seeds_curve_has_no_band(sweep):
    drawing = next(each for each in figures.curves(sweep) if each.key == "figure-curve-1-validation-loss")
    bands = {trace.name: len(trace.x) for trace in drawing.figure.data if trace.fill == "toself"}
    assert bands == {"linear_probe": 6, "full": 0}


def test_confusion_matrices_are_shares_of_the_true_class(sweep):
    drawing = figures.confusion_matrices(sweep, all_tables(sweep)["confusion"])[0]
    assert np.sum(drawing.figure.data[0].z, axis=1) == pytest.approx([100, 100, 100])


def test_costs_have_a_mark_a_seed(sweep):
    assert [len(each.figure.data[1].x) for each in figures.costs(sweep)] == [10, 10, 10]


def test_accuracy_by_time_has_a_mark_a_configuration(sweep):
    tables = all_tables(sweep)
    drawing = figures.accuracy_by_time(sweep, tables["summary"], tables["efficiency"])
    assert sum(len(trace.x) for trace in drawing.figure.data) == 4


def test_the_class_map_holds_the_tables_means(sweep):
    table = all_tables(sweep)["per_class"]
    assert np.ravel(figures.class_f1(sweep, table).figure.data[0].z) == pytest.approx(100 * table["f1_mean"].to_numpy())
