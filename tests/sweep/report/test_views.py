"""Other views of the test images: what the records say, against the table and what is told of it."""

import numpy as np
import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report import figures
from sweep.report.captions import captions
from sweep.report.readable import readable
from sweep.report.sections import sections
from sweep.report.tables import all_tables
from sweep.report.views import views
from sweep.statistics import seed_interval, total_interval
from tests.sweep.records import Plan, plant

N_TEST = 30
GROUPS = [f"scene {number % 9}" for number in range(6 * 17)]


def sweep_of(folder, **plan):
    return read_sweep(plant(folder, Plan(**plan)))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Of three seeds; of the last configuration one seed met no other view."""
    return sweep_of(tmp_path_factory.mktemp("sweep"), without_views=[("vit_s_16", "full", 1)])


@pytest.fixture(scope="module")
def table(sweep):
    return views(sweep)


def differences(configuration, view, seeds):
    """Return plain minus view, (seeds, images): 1 where only the image as it is was right."""
    found = [record.predictions for record in configuration.records if record.seed in seeds]
    plain = np.array([each.test_logits.argmax(axis=1) == each.test_labels for each in found])
    altered = np.array([each.view_logits[view].argmax(axis=1) == each.test_labels for each in found])
    return plain.astype(float) - altered, altered


def finding(sweep):
    return next(section.finding for section in sections(sweep, all_tables(sweep)) if section.key == "views")


def test_a_row_a_configuration_and_view(table):
    names = ["resnet18/linear_probe", "resnet18/full", "vit_s_16/linear_probe", "vit_s_16/full"]
    assert (table["model"] + "/" + table["strategy"]).tolist() == [name for name in names for _ in range(3)]
    assert table["view"].tolist() == ["grey", "jpeg30", "mirrored"] * 4


def test_what_was_planted_is_what_is_lost(table):
    lost = table.groupby("view")["loss_of_accuracy"]
    assert lost.min().to_dict() == pytest.approx({"grey": 4 / N_TEST, "jpeg30": 1 / N_TEST, "mirrored": 0})
    assert lost.max().to_dict() == pytest.approx(lost.min().to_dict())


def test_plain_and_altered_accuracy_differ_by_the_loss(sweep, table):
    plain = np.mean(sweep.configurations[0].values("accuracy"))
    assert table.loc[0, "accuracy_mean"] + table.loc[0, "loss_of_accuracy"] == pytest.approx(plain)


def test_seeds_that_did_not_meet_the_views_have_no_part(sweep, table):
    assert table["n_seeds"].tolist() == [3] * 9 + [2] * 3
    lost, altered = differences(sweep.configurations[3], "jpeg30", {42, 2})
    assert table.loc[10, ["accuracy_mean", "loss_of_accuracy"]].tolist() == [altered.mean(), pytest.approx(lost.mean())]


def test_total_intervals_are_those_of_the_paired_differences_and_of_the_hits(sweep, table):
    lost, altered = differences(sweep.configurations[1], "grey", {42, 1, 2})
    for name, expected in (("loss_of_accuracy", total_interval(lost)), ("accuracy", total_interval(altered))):
        assert table.loc[3, f"{name}_total_ci_low"] == pytest.approx(expected.low)
        assert table.loc[3, f"{name}_total_ci_high"] == pytest.approx(expected.high)


def test_the_seed_interval_is_students_over_the_seeds_losses(tmp_path):
    sweep = sweep_of(tmp_path, views={"grey": 60}, seeds=(42, 1, 2, 3))
    table, (lost, _) = views(sweep), differences(sweep.configurations[0], "grey", {42, 1, 2, 3})
    expected = seed_interval(lost.mean(axis=1))
    limits = table.loc[0, ["loss_of_accuracy_ci_low", "loss_of_accuracy_ci_high"]].tolist()
    assert limits == pytest.approx([expected.low, expected.high])
    assert expected.sd > 0


def test_intervals_are_of_groups_where_images_belong_together(tmp_path):
    sweep = sweep_of(tmp_path, groups=GROUPS)
    configuration = sweep.configurations[1]
    groups = sweep.units_of(configuration.outcomes).groups
    lost, _ = differences(configuration, "grey", {42, 1, 2})
    expected = total_interval(lost, groups=groups)
    assert expected.high != pytest.approx(total_interval(lost).high)
    assert views(sweep).loc[3, "loss_of_accuracy_total_ci_high"] == pytest.approx(expected.high)


def test_the_order_of_a_records_images_does_not_matter(sweep, table, monkeypatch):
    for configuration in sweep.configurations:
        given = configuration.records[0].predictions
        order = np.random.default_rng(0).permutation(N_TEST)
        for name in ("test_logits", "test_labels", "test_index"):
            monkeypatch.setitem(vars(given), name, getattr(given, name)[order])
        monkeypatch.setitem(vars(given), "view_logits", {view: a[order] for view, a in given.view_logits.items()})
    pd.testing.assert_frame_equal(views(sweep), table)


def test_a_view_that_changes_nothing_has_no_interval(table):
    mirrored = table[table["view"] == "mirrored"]
    limits = mirrored[["loss_of_accuracy_total_ci_low", "loss_of_accuracy_total_ci_high"]]
    assert limits.isna().all(axis=None)
    assert mirrored["accuracy_total_ci_low"].notna().all()


def test_one_seed_has_a_total_interval_alone(tmp_path):
    table = views(sweep_of(tmp_path, seeds=(1,)))
    assert table["loss_of_accuracy_ci_low"].isna().all()
    assert table.loc[0, "loss_of_accuracy_total_ci_low"] < 4 / N_TEST < table.loc[0, "loss_of_accuracy_total_ci_high"]


def test_without_other_views_there_is_no_table_and_no_section(tmp_path):
    sweep = sweep_of(tmp_path, views={})
    tables = all_tables(sweep)
    assert "views" not in tables
    assert "views" not in {section.key for section in sections(sweep, tables)}


def test_the_finding_tells_what_each_view_costs_and_how_surely(sweep):
    assert finding(sweep) == (
        "Points of accuracy lost on other views of the same test images, least to most by configuration: "
        "grey, 13.3 (total interval above 0 for 4 of 4); JPEG quality 30, 3.3 (total interval above 0 for 0 of 4); "
        "mirrored, 0.0 (no interval)."
    )


def test_a_view_that_is_surely_easier_is_told(sweep):
    tables = all_tables(sweep)
    limits = ["loss_of_accuracy", "loss_of_accuracy_total_ci_low", "loss_of_accuracy_total_ci_high"]
    tables["views"].loc[0, limits] = [-0.1, -0.2, -0.05]
    text = next(section.finding for section in sections(sweep, tables) if section.key == "views")
    assert "grey, −10.0 to 13.3 (total interval above 0 for 3 of 4, below 0 for 1)" in text


def test_the_words_are_those_of_a_reader(table):
    words = readable("views", table)
    assert words.loc[1, "view"] == "JPEG quality 30"
    assert words.loc[1, "points lost"] == "3.3 ± 0.0"
    assert words.loc[2, "points lost, total interval"] == ""


def test_the_caption_says_what_the_views_are_and_that_no_row_is_corrected_for_the_others(sweep):
    caption = captions(sweep, all_tables(sweep))["views"]
    assert "JPEG quality 30 is the decoded square" in caption
    assert "with no correction for the number of rows" in caption


def test_the_map_holds_every_loss_in_points(table):
    figure = figures.views(table.assign(loss_of_accuracy=-table["loss_of_accuracy"])).figure
    assert figure.data[0].text[0][0] == "−13.3"
    figure = figures.views(table).figure
    assert np.ravel(figure.data[0].z) == pytest.approx(100 * table["loss_of_accuracy"].to_numpy())
    assert "total interval" in figure.data[0].hovertext[0][0]
    assert "total interval" not in figure.data[0].hovertext[0][2]


def test_a_configuration_without_other_views_has_no_row(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (42, 1, 2)]
    table = views(sweep_of(tmp_path, without_views=missing))
    assert len(table) == 9
    assert "full" not in set(table[table["model"] == "resnet18"]["strategy"])


def test_a_view_that_a_configuration_did_not_meet_is_an_empty_cell(table):
    assert figures.views(table.drop(index=4)).figure.data[0].z[1][1] is None
