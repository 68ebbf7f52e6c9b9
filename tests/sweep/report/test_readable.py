import pytest

from sweep.frames import read_sweep
from sweep.report.readable import readable
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    plan = Plan(missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)], failed=[("resnet18", "full", 1)])
    return all_tables(read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan)))


def test_the_summary_says_how_many_seeds(tables):
    assert readable("summary", tables["summary"])["seeds"].tolist() == ["3 of 3", "2 of 3", "3 of 3", "1 of 3"]


def test_one_seed_has_no_plus_minus(tables):
    words = readable("summary", tables["summary"])["accuracy (%)"].tolist()
    assert ["±" in text for text in words] == [True, True, True, False]


def test_every_cell_of_every_table_is_text(tables):
    for name, table in tables.items():
        words = readable(name, table)
        assert len(words) == len(table)
        assert words.map(lambda cell: isinstance(cell, str)).all(axis=None), name


def test_columns_of_which_nothing_is_known_are_left_out(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, Plan(seeds=(1,)))))
    assert not {"p", "adjusted p", "seed interval"} & set(readable("comparisons", tables["comparisons"]).columns)


def test_differences_are_in_points_and_those_of_the_loss_in_nats(tables):
    table = tables["comparisons"]
    words = readable("comparisons", table)
    for metric, scale, digits in (("accuracy", 100, 1), ("loss", 1, 3)):
        row = table.index[table["metric"] == metric][0]
        assert words.loc[row, "difference"] == f"{scale * table.loc[row, 'difference']:.{digits}f}".replace("-", "−")


def test_where_no_number_suffices_it_says_so(tables):
    words = readable("power", tables["power"].assign(seeds_needed=None, verdict="undecided"))
    assert set(words["seeds needed"]) == {"no number"}


def test_of_decided_pairs_nothing_is_needed(tables):
    assert set(readable("power", tables["power"].assign(verdict="worse"))["images needed"]) == {"decided"}


def test_a_part_of_the_interaction_is_one_configurations(tmp_path):
    effects = all_tables(read_sweep(plant(tmp_path)))["effects"]
    row = effects.index[effects["effect"] == "interaction"][0]
    words = readable("effects", effects.assign(verdict="worse")).loc[row]
    assert (words["a"], words["b"], words["a is"]) == ("resnet18/linear_probe", "", "below the sum")


def test_a_standard_deviation_of_nothing_has_no_interval(tables):
    table = tables["variance"].assign(sd=0.0, sd_low=0.0, sd_high=0.0)
    assert "95 % interval" not in readable("variance", table).columns


def test_an_estimate_stands_with_its_interval_and_unit(tables):
    claims = tables["claims"].copy()
    claims.loc[0, ["estimate", "low", "high", "unit"]] = [1.25, -0.5, 3.0, "points"]
    assert readable("claims", claims).loc[0, "estimate"] == "1.2 (−0.5 to 3.0) points"
