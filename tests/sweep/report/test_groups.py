"""Where test images belong together, every interval of a sweep's tables is of their groups."""

import numpy as np
import pytest
from scipy import special

from sweep.frames import read_sweep
from sweep.matrices import paired
from sweep.report.differences import comparisons, power, ranking
from sweep.report.spread import calibration, ensembles, variance
from sweep.report.tables import per_class, summary
from sweep.statistics import (
    aurc_interval,
    brier_values,
    calibration_interval,
    class_f1_values,
    compare_all,
    f1_values,
    group_values,
    loss_values,
    rank_intervals,
    sources,
    total_interval,
)
from tests.sweep.records import Plan, plant

PER_CLASS, N_CLASSES, N_TEST = 17, 6, 5
# Groups of unequal size, across the classes; the images of one in seven stand alone.
GROUPS = [f"scene {place**2 % 11}" if place % 7 else None for place in range(PER_CLASS * N_CLASSES)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(seeds=(42, 1, 2, 3, 4), groups=GROUPS)))


@pytest.fixture(scope="module")
def groups():
    """Of the test images, which are the last of every class."""
    tested = [place for place in range(len(GROUPS)) if place % PER_CLASS >= PER_CLASS - N_TEST]
    names = [GROUPS[place] or f"image {place}" for place in tested]
    return np.array([names.index(name) for name in names])


@pytest.fixture(scope="module")
def outcomes(sweep):
    """Of the last configuration, whose intervals all differ where groups are left out."""
    return sweep.configurations[-1].outcomes


def limits(table, metric):
    return table.iloc[-1][[f"{metric}_total_ci_low", f"{metric}_total_ci_high"]].tolist()


def test_the_sweep_has_groups_of_several_test_images(groups):
    sizes = np.bincount(groups)
    assert 8 < np.count_nonzero(sizes) < 25
    assert len(set(sizes.tolist())) > 3


@pytest.mark.parametrize(
    ("metric", "per_image"),
    [
        ("accuracy", lambda each: each.correct),
        ("f1_macro", lambda each: f1_values(each.predicted, each.labels, N_CLASSES)),
        ("f1_weighted", lambda each: f1_values(each.predicted, each.labels, N_CLASSES, "weighted")),
        ("loss", lambda each: each.loss),
    ],
)
def test_comparisons_are_of_groups(sweep, groups, metric, per_image):
    table = comparisons(paired(sweep))
    rows = table[(table["metric"] == metric) & (table["family"] == "all_pairs")]
    expected = compare_all([per_image(each.outcomes) for each in sweep.configurations], groups=groups)
    np.testing.assert_allclose(rows["total_ci_low"].astype(float), expected.low)
    np.testing.assert_allclose(rows["p_adjusted"].astype(float), expected.p_adjusted)


def test_ranks_and_power_are_of_groups(sweep, groups):
    matrices = paired(sweep)
    correct = [each.outcomes.correct for each in sweep.configurations]
    ranks = ranking(sweep, matrices)[["rank_low", "rank_high"]].to_numpy(dtype=int)
    np.testing.assert_array_equal(ranks, rank_intervals(correct, groups=groups))
    assert power(matrices)["n_units"].unique().tolist() == [len(set(groups.tolist()))]


@pytest.mark.parametrize("left_out", [True, False])
def test_a_pair_beside_the_families_is_of_groups(tmp_path, groups, left_out):
    """A configuration with too few seeds, and all of them where there is a single seed."""
    failed = [("resnet18", "full", 2), ("resnet18", "full", 3)] if left_out else ()
    plan = Plan(seeds=(42, 1, 2, 3, 4) if left_out else (42,), groups=GROUPS, failed=failed)
    sweep = read_sweep(plant(tmp_path, plan))
    table = comparisons(paired(sweep))
    row = table[(table["metric"] == "accuracy") & table["p"].isna()].iloc[0]
    a, b = (
        next(
            each.outcomes
            for each in sweep.configurations
            if each.name == f"{row[f'model_{side}']}/{row[f'strategy_{side}']}"
        )
        for side in "ab"
    )
    shared = [seed for seed in a.seeds if seed in b.seeds]
    expected = total_interval(a.correct[a.rows(shared)].astype(float) - b.correct[b.rows(shared)], groups=groups)
    assert (row["total_ci_low"], row["total_ci_high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1s_total_interval_is_of_groups(sweep, outcomes, groups, average):
    values = f1_values(outcomes.predicted, outcomes.labels, N_CLASSES, average)
    expected = total_interval(values, groups=groups)
    assert expected.high < 1
    assert limits(summary(sweep), f"f1_{average}") == pytest.approx([expected.low, expected.high])


def test_the_total_intervals_of_accuracy_and_loss_are_of_groups(sweep, outcomes, groups):
    table = summary(sweep)
    for metric, values in (("accuracy", outcomes.correct), ("loss", outcomes.loss)):
        expected = total_interval(values, groups=groups)
        assert limits(table, metric) == pytest.approx([expected.low, expected.high])


def test_f1_of_a_class_is_of_groups(sweep, outcomes, groups):
    table = per_class(sweep)
    expected = total_interval(class_f1_values(outcomes.predicted, outcomes.labels, N_CLASSES - 1), groups=groups)
    assert limits(table, "f1") == pytest.approx([expected.low, min(1, expected.high)])


def test_calibration_is_of_groups(sweep, outcomes, groups):
    log_p = special.log_softmax(outcomes.logits.astype(float), axis=-1)
    expected = {
        "calibration_error": calibration_interval(outcomes.confidence, outcomes.correct, groups=groups),
        "loss": total_interval(loss_values(log_p, outcomes.labels), groups=groups),
        "brier": total_interval(brier_values(log_p, outcomes.labels), groups=groups),
        "aurc": aurc_interval(outcomes.confidence, outcomes.correct, groups=groups),
    }
    table = calibration(sweep)
    for metric, interval in expected.items():
        assert limits(table, metric) == pytest.approx([interval.low, interval.high])
    assert limits(summary(sweep), "calibration_error") == limits(table, "calibration_error")


def test_sources_of_spread_are_of_groups(sweep, outcomes, groups):
    table = variance(sweep).set_index("source")
    expected = sources(group_values(outcomes.correct, groups))
    assert table.loc["groups of test images", "sd"].iloc[-1] == pytest.approx(expected.image.sd)


def test_an_ensembles_interval_is_of_groups(sweep, outcomes, groups):
    mean_p = special.softmax(outcomes.logits.astype(float), axis=-1).mean(axis=0)
    expected = total_interval((mean_p.argmax(axis=-1) == outcomes.labels)[None], groups=groups)
    row = ensembles(sweep).iloc[-1]
    found = (row["accuracy_images_ci_low"], row["accuracy_images_ci_high"])
    assert found == pytest.approx((expected.low, expected.high))


def test_an_ensemble_averages_probabilities(tmp_path):
    """Not logits, whose mean would be right on other images."""
    sweep = read_sweep(plant(tmp_path, Plan(per_class=(1, 1, 100))))
    table, otherwise = ensembles(sweep), 0
    for row, each in zip(table.itertuples(), sweep.configurations, strict=True):
        logits, labels = each.outcomes.logits.astype(float), each.outcomes.labels
        mean_p = special.softmax(logits, axis=-1).mean(axis=0)
        assert row.accuracy == np.mean(mean_p.argmax(axis=-1) == labels)
        assert row.loss == pytest.approx(-np.log(mean_p[np.arange(labels.size), labels]).mean())
        otherwise += row.accuracy != np.mean(logits.mean(axis=0).argmax(axis=-1) == labels)
    assert otherwise
