"""The matrix of all pairs, against the table of comparisons."""

import numpy as np
import pytest

from sweep.frames import read_sweep
from sweep.report.pairs import MOST_CONFIGURATIONS, pairs, under_pairs
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

SIGN = {"better": "+", "worse": "−", "undecided": "?"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    plan = Plan(models=("resnet18", "resnet50", "vit_s_16"), strategies=("linear_probe", "partial", "full"))
    return all_tables(read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan)))


@pytest.fixture(scope="module")
def tested(tables):
    table = tables["comparisons"]
    return table[(table["metric"] == "accuracy") & (table["family"] == "all_pairs")]


@pytest.fixture(scope="module")
def heat(tables):
    return pairs(tables["comparisons"], tables["summary"]).figure.data[0]


@pytest.fixture(scope="module")
def names(tables):
    """As the rows stand: by mean accuracy, the highest first."""
    table = tables["summary"].sort_values("accuracy_mean", ascending=False, kind="stable")
    return (table["model"] + "/" + table["strategy"]).tolist()


def test_each_cell_has_its_verdicts_sign_and_the_mirrored_one_the_other(heat, names, tested):
    assert {"better", "worse"} & set(tested["verdict"])
    for row in tested.to_dict("records"):
        a, b = (names.index(f"{row[f'model_{side}']}/{row[f'strategy_{side}']}") for side in "ab")
        assert heat.text[a][b] == SIGN[row["verdict"]]
        assert heat.text[b][a] == {"+": "−", "−": "+", "?": "?"}[SIGN[row["verdict"]]]


def test_colours_follow_the_signs(heat):
    value = {"+": 1, "−": -1, "?": 0}
    for line, signs in zip(heat.z, heat.text, strict=True):
        assert list(line) == [value.get(sign) for sign in signs]
    assert heat.texttemplate == "%{text}"


def test_nothing_stands_against_itself(heat):
    assert {heat.text[place][place] for place in range(9)} == {""}


def test_hover_tells_difference_interval_and_adjusted_p(heat, names, tested):
    row = tested.to_dict("records")[0]
    a, b = (names.index(f"{row[f'model_{side}']}/{row[f'strategy_{side}']}") for side in "ab")
    low, high = (f"{100 * row[f'total_ci_{end}']:.1f}".replace("-", "−") for end in ("low", "high"))
    assert f"total interval {low} to {high}, of this pair alone" in heat.hovertext[a][b]
    assert "adjusted p" in heat.hovertext[a][b]
    there, back = (
        float(heat.hovertext[i][j].split("a − b: ")[1].split()[0].replace("−", "-")) for i, j in ((a, b), (b, a))
    )
    assert there == -back == pytest.approx(100 * row["difference"], abs=0.06)


def test_the_words_beneath_name_family_correction_and_the_smallest_difference(tables, tested):
    text = under_pairs(tables["comparisons"])
    ends = [f"{100 * end:.1f}" for end in (tested["smallest_detectable"].min(), tested["smallest_detectable"].max())]
    assert "All 36 pairs are one family, corrected together (step-down max-T" in text
    assert f"could have been shown: {ends[0]} to {ends[1]} points" in text


def test_fewer_than_eight_are_corrected_by_holms_method(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path)))
    assert "Holm's method" in under_pairs(tables["comparisons"])


def test_pairs_that_were_not_tested_have_no_matrix(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, Plan(seeds=(1,)))))
    assert pairs(tables["comparisons"], tables["summary"]) is None
    assert under_pairs(tables["comparisons"]) == ""


def test_a_configuration_that_left_the_family_is_not_in_the_matrix(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (1, 2, 3)]
    tables = all_tables(read_sweep(plant(tmp_path, Plan(seeds=(42, 1, 2, 3, 4), missing=missing))))
    assert np.shape(pairs(tables["comparisons"], tables["summary"]).figure.data[0].z) == (3, 3)


def test_a_larger_sweep_has_the_table_alone_and_says_so(tables, monkeypatch):
    monkeypatch.setattr("sweep.report.pairs.MOST_CONFIGURATIONS", 8)
    assert MOST_CONFIGURATIONS == 40
    assert pairs(tables["comparisons"], tables["summary"]) is None
    assert under_pairs(tables["comparisons"]).startswith("With 9 configurations the matrix of pairs is left out;")
