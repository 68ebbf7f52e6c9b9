"""The fronts of accuracy against what it costs."""

import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.pareto import COSTS, accuracy_by_cost, on_the_fronts, with_costs
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

TIME, MEMORY, _ = COSTS


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return all_tables(read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan())))


def planted(points):
    """Return a summary and a table of efficiency of configurations with these (accuracy, seconds)."""
    names = pd.DataFrame({"model": [f"m{number}" for number in range(len(points))], "strategy": "full"})
    accuracy = [accuracy for accuracy, _ in points]
    summary = names.assign(accuracy_mean=accuracy, accuracy_ci_low=accuracy, accuracy_ci_high=accuracy, n_seeds=3)
    costs = {cost.column: [seconds for _, seconds in points] for cost in COSTS}
    return summary, names.assign(**costs)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(0.9, 60), (0.8, 30), (0.7, 60)], [True, True, False]),
        ([(0.9, 60), (0.9, 30)], [False, True]),
        ([(0.9, 60), (0.8, 60)], [True, False]),
        ([(0.9, 60), (0.9, 60)], [True, True]),
    ],
    ids=["dearer and worse", "as good and cheaper", "as cheap and better", "alike"],
)
def test_on_the_front_is_what_no_other_beats(points, front):
    assert with_costs(*planted(points), TIME)["front"].tolist() == front


def test_what_has_no_cost_is_on_no_front():
    assert with_costs(*planted([(0.9, float("nan")), (0.8, 30)]), TIME)["name"].tolist() == ["m1/full"]


def test_the_sentence_names_them_the_cheapest_first():
    text = on_the_fronts(*planted([(0.9, 60), (0.8, 30), (0.7, 60)]))
    assert "for training time m1/full and m0/full; for peak memory m1/full and m0/full; for parameters" in text
    assert text.endswith("none is tested here.")


def test_one_configuration_has_no_front():
    assert on_the_fronts(*planted([(0.9, 60)])) == ""
    assert accuracy_by_cost(*planted([(0.9, 60)]), TIME) is None


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.key)
def test_every_configuration_has_a_mark(tables, cost):
    figure = accuracy_by_cost(tables["summary"], tables["efficiency"], cost).figure
    found = {y: x for trace in figure.data[1:] for x, y in zip(trace.x, trace.y, strict=True)}
    costs, means = tables["efficiency"][cost.column] / cost.unit, 100 * tables["summary"]["accuracy_mean"]
    assert found == pytest.approx(dict(zip(means, costs, strict=True)))


def test_the_front_is_outlined_told_and_joined(tables):
    rows = with_costs(tables["summary"], tables["efficiency"], MEMORY)
    assert 0 < rows["front"].sum() < len(rows)
    drawing = accuracy_by_cost(tables["summary"], tables["efficiency"], MEMORY)
    line, *marks = drawing.figure.data
    assert sorted(line.x) == pytest.approx(sorted(rows[rows["front"]]["cost"]))
    outlined = [x for trace in marks for x, width in zip(trace.x, trace.marker.line.width, strict=True) if width]
    assert sorted(outlined) == pytest.approx(sorted(line.x))
    told = [text for trace in marks for text in trace.hovertext if text.endswith("on the front")]
    assert len(told) == len(outlined)
    assert all(name in drawing.description for name in rows[rows["front"]]["name"])


def test_costs_that_hardly_differ_have_an_axis_with_ticks(tables):
    near = accuracy_by_cost(*planted([(0.9, 400 * 2**20), (0.8, 100 * 2**20)]), MEMORY)
    far = accuracy_by_cost(*planted([(0.9, 600 * 2**20), (0.8, 100 * 2**20)]), MEMORY)
    assert [each.figure.layout.xaxis.type for each in (near, far)] == ["linear", "log"]
    assert ["logarithmic" in each.description for each in (near, far)] == [False, True]


def test_hostile_names_are_plain():
    summary, efficiency = planted([(0.9, 60), (0.8, 30)])
    summary, efficiency = (table.assign(strategy="<b>s</b>") for table in (summary, efficiency))
    trace = accuracy_by_cost(summary, efficiency, MEMORY).figure.data[1]
    assert "<b>" not in str([trace.name, *trace.hovertext])
