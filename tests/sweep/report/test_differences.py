import itertools

import numpy as np
import pytest

from sweep.frames import read_sweep
from sweep.matrices import paired
from sweep.report.differences import comparisons, effects, power, ranking, verdict
from sweep.statistics import total_interval, variance_model
from tests.sweep.records import Plan, plant

COMPARISONS = """metric,family,model_a,strategy_a,model_b,strategy_b,n_seeds,difference,ci_low,ci_high,total_ci_low,
total_ci_high,p,p_adjusted,verdict,smallest_detectable""".replace("\n", "")
RANKING = "model,strategy,validation_accuracy_mean,test_accuracy_mean,in_best_set,rank_low,rank_high"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(seeds=(42, 1, 2, 3, 4))))


@pytest.fixture(scope="module")
def matrices(sweep):
    return paired(sweep)


@pytest.fixture(scope="module")
def table(matrices):
    return comparisons(matrices)


def test_columns_are_those_that_scripts_read(table, sweep, matrices):
    assert ",".join(table.columns) == COMPARISONS
    assert ",".join(ranking(sweep, matrices).columns) == RANKING


def test_every_metric_has_every_pair_of_every_family(table):
    counts = table.groupby(["metric", "family"]).size().unstack()
    assert set(counts.index) == {"accuracy", "f1_macro", "f1_weighted", "loss"}
    assert (counts["all_pairs"] == 6).all()
    assert (counts["strategies_within_model"] == 2).all()
    assert (counts["models_within_strategy"] == 2).all()


def test_a_difference_is_a_less_b_of_the_metric(table, sweep):
    mean = {each.name: {m: np.mean(each.values(m)) for m in table["metric"].unique()} for each in sweep.configurations}
    for row in table.itertuples():
        a, b = f"{row.model_a}/{row.strategy_a}", f"{row.model_b}/{row.strategy_b}"
        assert row.difference == pytest.approx(mean[a][row.metric] - mean[b][row.metric])
        assert row.ci_low <= row.difference <= row.ci_high
        assert row.total_ci_low <= row.difference <= row.total_ci_high
        assert row.p <= row.p_adjusted


def test_p_and_intervals_are_the_variance_models(table, matrices):
    found = variance_model(matrices.values("accuracy")).family(
        np.array([[1, -1, 0, 0], [0, 0, 1, -1]], dtype=np.float64)
    )
    rows = table[(table["metric"] == "accuracy") & (table["family"] == "strategies_within_model")]
    np.testing.assert_allclose(rows["p_adjusted"], found.p_adjusted)
    np.testing.assert_allclose(rows["total_ci_low"], found.low)
    np.testing.assert_allclose(rows["smallest_detectable"], found.smallest_detectable)


@pytest.mark.parametrize(
    ("difference", "p_adjusted", "metric", "word"),
    [
        (0.1, 0.01, "accuracy", "better"),
        (-0.1, 0.01, "accuracy", "worse"),
        (0.1, 0.01, "loss", "worse"),
        (-0.1, 0.01, "loss", "better"),
        (0.1, 0.05, "accuracy", "undecided"),
        (0.0, 0.0, "accuracy", "undecided"),
        (0.1, float("nan"), "accuracy", "undecided"),
    ],
)
def test_the_verdict_is_of_a_against_b(difference, p_adjusted, metric, word):
    assert verdict(difference, p_adjusted, metric) == word


def test_with_one_seed_nothing_is_decided_and_no_p_is_given(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42,))))
    matrices = paired(sweep)
    table = comparisons(matrices)
    assert (table["verdict"] == "undecided").all()
    assert table[["p", "p_adjusted", "ci_low", "smallest_detectable"]].isna().all(axis=None)
    row = table.iloc[0]
    values = matrices.values("accuracy")
    assert row["total_ci_high"] == pytest.approx(total_interval(values[0] - values[1]).high)
    assert ranking(sweep, matrices)["in_best_set"].isna().all()
    assert power(matrices).empty


def test_a_configuration_that_left_has_intervals_but_no_verdict(tmp_path):
    failed = [("resnet18", "full", 2), ("resnet18", "full", 3)]
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(42, 1, 2, 3, 4), failed=failed)))
    matrices = paired(sweep)
    table = comparisons(matrices)
    left = table[
        (table["model_a"] + table["strategy_a"] == "resnet18full")
        | (table["model_b"] + table["strategy_b"] == "resnet18full")
    ]
    assert len(left) == 4 * (3 + 1 + 1)
    assert (left["verdict"] == "undecided").all()
    assert left["p"].isna().all()
    assert (left["n_seeds"] == 3).all()
    assert left["total_ci_low"].notna().all()
    places = ranking(sweep, matrices).set_index(["model", "strategy"])
    assert places["in_best_set"].isna().sum() == 1
    assert places.loc[("resnet18", "full"), ["rank_low", "rank_high"]].isna().all()


def test_effects_are_contrasts_of_the_cells(matrices):
    cells = matrices.values("accuracy").mean(axis=(1, 2)).reshape(2, 2)
    table = effects(matrices)
    table = table[table["metric"] == "accuracy"].set_index("effect")
    assert table.loc["model", "difference"] == pytest.approx(cells[0].mean() - cells[1].mean())
    assert table.loc["strategy", "difference"] == pytest.approx(cells[:, 0].mean() - cells[:, 1].mean())
    rest = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    # With two of each the four cells are one contrast, up to its sign.
    np.testing.assert_allclose(table.loc["interaction", "difference"], rest[0, 0])


def test_no_contrast_of_the_interaction_says_another_one_again(tmp_path):
    for models, strategies, cells in ((2, 3, 3), (3, 2, 3), (3, 3, 9), (2, 2, 1)):
        plan = Plan(models=list("abc")[:models], strategies=("linear_probe", "partial", "full")[:strategies])
        table = effects(paired(read_sweep(plant(tmp_path / f"{models}{strategies}", plan))))
        rest = table[(table["metric"] == "accuracy") & (table["effect"] == "interaction")]
        assert len(rest) == cells


def test_a_grid_with_a_hole_has_no_effects(tmp_path):
    missing = [("vit_s_16", "full", seed) for seed in Plan.seeds]
    assert effects(paired(read_sweep(plant(tmp_path, Plan(missing=missing))))).empty


def test_ranks_hold_the_observed_place_and_the_best_is_in_the_set(sweep, matrices):
    table = ranking(sweep, matrices)
    place = table["test_accuracy_mean"].rank(ascending=False)
    assert ((table["rank_low"] <= place.apply(np.floor)) & (place.apply(np.ceil) <= table["rank_high"])).all()
    assert table["in_best_set"][table["test_accuracy_mean"].idxmax()]


def test_power_names_every_pair_and_never_promises_below_its_limit(matrices):
    table = power(matrices)
    pairs = [(a.name, b.name) for a, b in itertools.combinations(matrices.configurations, 2)]
    of_a, of_b = (table[f"model_{side}"] + "/" + table[f"strategy_{side}"] for side in "ab")
    assert list(zip(of_a, of_b, strict=True)) == pairs
    assert (table["limit_of_seeds"] <= table["smallest_detectable"] + 1e-12).all()
    hopeless, decided = table["difference"].abs() <= table["limit_of_seeds"], table["verdict"] != "undecided"
    assert table["seeds_needed"][hopeless | decided].isna().all()
    assert table["seeds_needed"][~hopeless & ~decided].notna().all()


def test_what_would_decide_an_undecided_pair_is_more_than_is_there(tmp_path):
    plan = Plan(models=("resnet18", "resnet50", "vit_b_16", "vit_s_16"), strategies=("linear_probe", "partial", "full"))
    table = power(paired(read_sweep(plant(tmp_path, plan))))
    assert (table["verdict"] == "undecided").any()
    assert (table["seeds_needed"].dropna() > table["n_seeds"].loc[table["seeds_needed"].dropna().index]).all()
    assert (table["units_needed"].dropna() > table["n_units"].loc[table["units_needed"].dropna().index]).all()
