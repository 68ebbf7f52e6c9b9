import pytest

from sweep.frames import read_sweep
from sweep.report.main_table import main_rows
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


def rows_of(folder, **plan):
    sweep = read_sweep(plant(folder, Plan(**plan)))
    tables = all_tables(sweep)
    return {f"{row['model']}/{row['strategy']}": row for row in main_rows(sweep, tables)}, tables


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return rows_of(
        tmp_path_factory.mktemp("usual"),
        seeds=(7, 3, 5),
        missing=[("vit_s_16", "full", 5)],
        failed=[("resnet18", "full", 3)],
    )


def test_trials_stand_in_the_order_of_the_plan(usual):
    assert all([trial.seed for trial in row["trials"]] == ["7", "3", "5"] for row in usual[0].values())


def test_a_trial_shows_what_its_table_has(usual):
    table = usual[1]["trials"]
    for row in usual[0].values():
        for trial in row["trials"]:
            (known,) = table[table["trial_id"] == trial.trial_id].to_dict("records")
            if known["status"] == "completed":
                assert trial.accuracy == f"{100 * known['accuracy']:.1f}"
                assert trial.minutes == f"{known['training_seconds'] / 60:.2f}"


def test_what_has_no_result_says_why(usual):
    failed, missing = usual[0]["resnet18/full"]["trials"][1], usual[0]["vit_s_16/full"]["trials"][2]
    assert (failed.accuracy, failed.state) == ("", "failed: OutOfMemoryError: no room for 2 GiB")
    assert (missing.accuracy, missing.minutes, missing.state) == ("", "", "no record yet")


def test_standing_is_that_of_the_ranking(usual):
    for ranked in usual[1]["ranking"].to_dict("records"):
        row = usual[0][f"{ranked['model']}/{ranked['strategy']}"]
        assert row["may_be_best"] == {True: "yes", False: "no"}.get(ranked["in_best_set"], "")
        assert row["rank"] == (
            "" if row["may_be_best"] == "" else f"{ranked['rank_low']:.0f} to {ranked['rank_high']:.0f}"
        )


def test_lowest_and_highest_are_those_of_the_seeds(usual):
    for row in usual[0].values():
        seeds = [float(trial.accuracy) for trial in row["trials"] if trial.accuracy]
        assert 100 * row["accuracy_min"] == pytest.approx(min(seeds), abs=0.051)
        assert 100 * row["accuracy_max"] == pytest.approx(max(seeds), abs=0.051)


def test_folds_have_a_line_each(tmp_path):
    rows, _ = rows_of(tmp_path, folds=3, seeds=(1, 2), per_class=(4, 2, 3))
    seeds = [trial.seed for trial in rows["resnet18/full"]["trials"]]
    assert sorted(seeds) == [f"{seed}, fold {fold}" for seed in (1, 2) for fold in (1, 2, 3)]


def test_trials_of_other_shares_and_arms_are_left_to_their_tables(tmp_path):
    rows, _ = rows_of(tmp_path, fractions=(0.5, 1.0), vary=("init",))
    assert all(len(row["trials"]) == 3 for row in rows.values())
