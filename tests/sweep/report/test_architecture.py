"""Strategy by architecture: maps, sentence and table against the sweep's tables."""

import numpy as np
import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.architecture import architecture, grid_in_words, interaction, is_a_grid
from sweep.report.sections import sections
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

MODELS = ("resnet18", "resnet50", "vit_s_16")
STRATEGIES = ("linear_probe", "partial", "full")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(models=MODELS, strategies=STRATEGIES)))


@pytest.fixture(scope="module")
def tables(sweep):
    return all_tables(sweep)


@pytest.fixture(scope="module")
def effects(tables):
    return tables["effects"][tables["effects"]["metric"] == "accuracy"]


def test_the_first_map_holds_the_means(tables):
    means, _ = architecture(tables["summary"], tables["gains"], 1 / 6)
    assert np.ravel(means.figure.data[0].z) == pytest.approx(100 * tables["summary"]["accuracy_mean"].to_numpy())
    assert list(means.figure.layout.yaxis.ticktext) == list(MODELS)
    assert list(means.figure.layout.xaxis.ticktext) == list(STRATEGIES)
    assert means.figure.layout.coloraxis.cmin == pytest.approx(100 / 6)


def test_the_second_map_holds_the_gains_without_the_probe(tables):
    _, gains = architecture(tables["summary"], tables["gains"], 1 / 6)
    rows = tables["gains"][tables["gains"]["metric"] == "accuracy"]
    assert np.ravel(gains.figure.data[0].z) == pytest.approx(100 * rows["gain"].to_numpy())
    assert list(gains.figure.layout.xaxis.ticktext) == ["partial", "full"]


def test_hover_tells_seeds_and_intervals(tables):
    means, gains = architecture(tables["summary"], tables["gains"], 1 / 6)
    assert "3 of 3 seeds<br>total interval" in means.figure.data[0].hovertext[0][0]
    assert "3 seeds<br>total interval" in gains.figure.data[0].hovertext[0][0]


def test_without_a_probe_there_is_one_map(tables):
    assert len(architecture(tables["summary"], None, 1 / 6)) == 1


def test_a_combination_without_results_is_an_empty_cell(tables):
    summary = tables["summary"].copy()
    summary.loc[4, "n_seeds"] = 0
    summary.loc[4, "accuracy_mean"] = np.nan
    figure = architecture(summary, None, 1 / 6)[0].figure.data[0]
    assert figure.z[1][1] is None
    assert figure.text[1][1] == ""
    assert figure.hovertext[1][1] == "no completed seed"
    assert grid_in_words(summary)[1][1][2] == ""


def test_the_table_is_a_row_a_model_and_a_column_a_strategy(tables):
    head, rows = grid_in_words(tables["summary"])
    assert head == ["model", *STRATEGIES]
    assert [row[0] for row in rows] == list(MODELS)
    assert rows[0][1].startswith(f"{100 * tables['summary']['accuracy_mean'][0]:.1f} ± ")


def test_one_model_or_strategy_is_no_grid(tables):
    assert is_a_grid(tables["summary"])
    for column, name in (("model", "resnet18"), ("strategy", "full")):
        assert not is_a_grid(tables["summary"][tables["summary"][column] == name])


def test_a_decided_interaction_names_the_farthest(effects):
    rows = effects[effects["effect"] == "interaction"].reset_index(drop=True)
    told = interaction(rows.assign(verdict=["better", "worse", *["undecided"] * 7], difference=[0.01, -0.05, *[0] * 7]))
    assert told == (
        "What a strategy brings depends on the model: 2 of 9 combinations lie off what model and strategy say by "
        "themselves, farthest resnet18/partial (5.0 points below) and resnet18/linear_probe (1.0 points above)."
    )


def test_of_two_models_and_strategies_the_one_contrast_is_told(effects):
    row = effects[effects["effect"] == "interaction"].head(1).assign(verdict="worse", difference=-0.086)
    assert interaction(row) == (
        "What a strategy brings depends on the model: resnet18/linear_probe lies 8.6 points below what model and "
        "strategy say by themselves."
    )


def test_one_decided_of_several_is_named(effects):
    rows = effects[effects["effect"] == "interaction"].reset_index(drop=True)
    rows = rows.assign(verdict=["better", *["undecided"] * 8], difference=[0.05, *[0.0] * 8])
    assert "1 of 9 combinations lies off" in interaction(rows)
    assert interaction(rows).endswith("by themselves: resnet18/linear_probe (5.0 points above).")


def test_an_undecided_interaction_says_what_had_to_be_reached(effects):
    rows = effects[effects["effect"] == "interaction"].reset_index(drop=True)
    rows = rows.assign(verdict="undecided", difference=[0.02, *[0.0] * 8], smallest_detectable=0.044)
    assert interaction(rows) == (
        "Whether what a strategy brings depends on the model is undecided: farthest off what the two say by themselves "
        "is resnet18/linear_probe (2.0 points above), where 4.4 points had to be reached."
    )


def test_an_interaction_that_is_not_tested_is_not_told(effects):
    assert "is not tested" in interaction(effects.assign(p=np.nan))
    assert "is not tested" in interaction(effects.head(0))


def test_the_section_opens_with_it(sweep, tables, effects):
    section = next(each for each in sections(sweep, tables) if each.key == "architecture")
    assert section.finding == interaction(effects)


def test_hostile_names_are_plain(tables):
    summary = tables["summary"].assign(model="<b>m</b>", strategy=[f"<i>{n}</i>" for n in range(9)])
    drawing = architecture(pd.DataFrame(summary), None, 1 / 6)[0]
    assert "<b>" not in str(drawing.figure.data[0].hovertext)
    assert drawing.figure.layout.yaxis.ticktext[0] == "&lt;b&gt;m&lt;/b&gt;"
