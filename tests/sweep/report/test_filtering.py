import json
import re
from pathlib import Path

import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.filtering import sorts_by, whose
from sweep.report.page import _galleries, json_data
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

OF_NO_CONFIGURATION = {"claims", "confused_pairs", "misread"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    plan = Plan(strategies=("linear_probe", "partial", "full"), fractions=(0.5, 1.0))
    sweep = read_sweep(plant(tmp_path_factory.mktemp("study"), plan))
    return sweep, all_tables(sweep)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("81.2 ± 1.3", "81.2"),
        ("−3.5 to 2.0", "-3.5"),
        ("< 0.001", "0.001"),
        ("3 of 5", "3"),
        ("1,234 needed", "1234"),
    ],
)
def test_words_are_sorted_by_the_number_that_they_begin_with(cell, number):
    assert sorts_by(cell) == {"data-value": number}


@pytest.mark.parametrize("cell", ["81.2", "−3.5", "", "no number", "2d_conv/full", "resnet18"])
def test_numbers_and_words_without_one_need_no_value(cell):
    assert sorts_by(cell) == {}


def test_every_row_of_every_table_says_whose_it_is(study):
    for name, table in study[1].items():
        if name not in OF_NO_CONFIGURATION:
            assert all(whose(table)), name


def test_both_sides_of_a_pair_are_named():
    row = {"model_a": "m", "strategy_a": "s", "model_b": "n", "strategy_b": "t"}
    assert whose(pd.DataFrame([row])) == [
        {"data-model": "m", "data-strategy": "s", "data-model-b": "n", "data-strategy-b": "t"}
    ]


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ("strategy", {"data-strategy": "a", "data-strategy-b": "b"}),
        ("model", {"data-model": "a", "data-model-b": "b"}),
        ("interaction", {"data-model": "a", "data-strategy": "b"}),
    ],
)
def test_effects_are_of_models_of_strategies_or_of_both(effect, expected):
    assert whose(pd.DataFrame([{"effect": effect, "a": "a", "b": "b"}])) == [expected]


def is_told(drawing) -> bool:
    """Whether every mark of a figure says of which model and which strategy it is, some way or other."""
    whole = drawing.model is not None and drawing.strategy is not None
    places = [*drawing.rows, *drawing.columns]
    by_place = all(any(getattr(place, name) for place in places) for name in ("model", "strategy"))
    told = {name for name in ("model", "strategy") if getattr(drawing, name)}
    by_trace = all(
        trace.customdata is not None or {*told, *(trace.meta or {})} >= {"model", "strategy"}
        for trace in drawing.figure.data
        # A line to read others by tells nothing of itself.
        if trace.hoverinfo != "skip"
    )
    return whole or by_place or by_trace


def test_every_figure_says_whose_its_marks_are(study):
    drawings = [drawing for gallery in _galleries(*study).values() for drawing in gallery.drawings]
    assert len(drawings) > 20
    assert [drawing.key for drawing in drawings if not is_told(drawing)] == []


def test_there_are_as_many_places_as_ticks(study):
    for gallery in _galleries(*study).values():
        for drawing in gallery.drawings:
            for places, axis in ((drawing.rows, "yaxis"), (drawing.columns, "xaxis")):
                if places:
                    assert list(drawing.figure.layout[axis].tickvals) == list(range(len(places))), drawing.key


def test_names_in_a_figures_json_cannot_end_its_block(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(models=("</script>",), classes=("</script><b>", "b"))))
    for gallery in _galleries(sweep, all_tables(sweep)).values():
        for drawing in gallery.drawings:
            text = str(json_data(drawing))
            assert "<" not in text.replace("<br>", "")
            assert {"data", "layout", "rows", "columns"} <= json.loads(text).keys()


def test_the_scripts_know_no_figure_by_name():
    folder = Path(__file__).parents[3] / "sweep" / "report" / "templates"
    for script in ("page.js", "filter.js", "tables.js", "save.js", "contents.js"):
        assert not re.search(r"figure-[a-z]", (folder / script).read_text(encoding="utf-8")), script
