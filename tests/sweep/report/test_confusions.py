"""Pairs of classes that are taken for one another, against the confusion matrices that they come from."""

import numpy as np
import pandas as pd
import pytest

from sweep.frames import read_sweep
from sweep.report.confusions import best_and_worst_class, confused_pairs, most_confused, worst_of
from sweep.report.first_screen import best_on_validation
from sweep.report.readable import readable
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

CLASSES = ("a", "b", "c")


def confusion(*matrices):
    """Return the table of confusion of configurations whose shares, true by predicted, are these."""
    rows = [
        {"model": f"m{number}", "strategy": "full", "true": true, "predicted": predicted, "share_mean": share}
        for number, matrix in enumerate(matrices)
        for true, line in zip(CLASSES, matrix, strict=True)
        for predicted, share in zip(CLASSES, line, strict=True)
    ]
    return pd.DataFrame(rows)


FIRST = [[0.7, 0.1, 0.2], [0.3, 0.7, 0.0], [0.0, 0.0, 1.0]]
SECOND = [[0.5, 0.3, 0.2], [0.5, 0.5, 0.0], [0.1, 0.0, 0.9]]


@pytest.fixture(scope="module")
def pairs():
    return confused_pairs(confusion(FIRST, SECOND))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return all_tables(read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(per_class=(8, 4, 40)))))


def test_pairs_stand_in_their_more_frequent_direction_the_most_confused_first(pairs):
    assert list(zip(pairs["true"], pairs["predicted"], strict=True)) == [("b", "a"), ("a", "c")]


def test_shares_are_means_over_configurations_with_their_ends(pairs):
    row = pairs.iloc[0]
    found = [row[name] for name in ("share_mean", "share_low", "share_high", "reverse_share_mean", "asymmetry")]
    assert found == pytest.approx([0.4, 0.3, 0.5, 0.2, 0.2])
    assert row["n_configurations"] == 2


def test_a_pair_that_nobody_confuses_has_no_row(pairs):
    assert {"b", "c"} not in [{row["true"], row["predicted"]} for row in pairs.to_dict("records")]


def test_a_class_without_test_images_is_never_the_true_one():
    unknown = [np.nan] * 3
    pairs = confused_pairs(confusion([unknown, [0.1, 0.9, 0.0], [0.4, 0.0, 0.6]]))
    assert set(pairs["predicted"]) == {"a"}
    assert pairs["reverse_share_mean"].isna().all()
    assert "the reverse" not in most_confused(pairs)


def test_the_finding_tells_the_worst_pair_its_reverse_and_the_most_one_sided(pairs):
    assert most_confused(pairs) == (
        "Over all 2 configurations, most often b is read as a: 40.0 % of its test images; the reverse happens to "
        "20.0 %."
    )
    other = pairs.assign(asymmetry=[0.1, 0.2])
    assert most_confused(other).endswith("The most one-sided pair is a read as c, 20.0 % against 5.0 %.")


def test_without_a_mistake_it_says_so():
    assert most_confused(confused_pairs(confusion(np.eye(3)))) == "No test image was taken for another class."


def test_real_rows_are_those_of_the_matrices(tables):
    shares = tables["confusion"].groupby(["true", "predicted"])["share_mean"].mean()
    assert len(tables["confused_pairs"]) == 15
    for row in tables["confused_pairs"].to_dict("records"):
        assert row["share_mean"] == pytest.approx(shares[row["true"], row["predicted"]])
        assert row["asymmetry"] == pytest.approx(row["share_mean"] - shares[row["predicted"], row["true"]])
        assert row["asymmetry"] >= 0


def test_the_words_are_in_percent(pairs):
    row = readable("confused_pairs", pairs).iloc[0]
    assert row["lowest and highest (%)"] == "30.0 to 50.0"
    assert row["asymmetry (points)"] == "20.0"


def test_best_and_worst_class_are_told_with_their_numbers(tables):
    means = tables["per_class"].groupby("class")["f1_mean"].mean()
    text = best_and_worst_class(tables["per_class"], None)
    best, worst = means.idxmax(), means.idxmin()
    assert f"Best recognised by F1, mean over configurations: {best}, {100 * means[best]:.1f} %" in text
    assert f"Worst: {worst}, {100 * means[worst]:.1f} %" in text


def test_a_class_without_test_images_is_not_the_worst(tables):
    table = tables["per_class"].copy()
    rows = table["class"] == "Sad"
    table.loc[rows, ["support", "f1_mean"]] = [0, 0.0]
    assert "Sad" not in best_and_worst_class(table, None)


def test_the_best_on_validation_leads_with_its_own_classes(tables):
    chosen = best_on_validation(tables["summary"])
    own = tables["per_class"][
        (tables["per_class"]["model"] == chosen["model"]) & (tables["per_class"]["strategy"] == chosen["strategy"])
    ].set_index("class")["f1_mean"]
    text = best_and_worst_class(tables["per_class"], chosen)
    assert text.startswith(
        f"{chosen['model']}/{chosen['strategy']}, best on validation: F1 is highest for {own.idxmax()}, "
        f"{100 * own.max():.1f} %, and lowest for {own.idxmin()}, {100 * own.min():.1f} %. Best recognised"
    )


def test_classes_that_are_alike_as_printed_are_all_named(tables):
    chosen = best_on_validation(tables["summary"])
    table = tables["per_class"].copy()
    table.loc[table["class"].isin(["Sad", "Happy"]), "f1_mean"] = 0.9901
    table.loc[table["class"] == "Sad", "f1_mean"] = 0.9902
    assert "F1 is highest for Happy and Sad, 99.0 %" in best_and_worst_class(table, chosen)


def test_the_best_on_validation_leads_with_its_own_mistake(tables):
    chosen = best_on_validation(tables["summary"])
    rows = tables["confusion"]
    rows = rows[(rows["model"] == chosen["model"]) & (rows["strategy"] == chosen["strategy"])]
    worst = rows[rows["true"] != rows["predicted"]].sort_values("share_mean").iloc[-1]
    assert worst_of(chosen, tables["confusion"]) == (
        f"{chosen['model']}/{chosen['strategy']}, best on validation, most often reads {worst['true']} as "
        f"{worst['predicted']}: {100 * worst['share_mean']:.1f} % of its test images."
    )


def test_one_configuration_alone_is_not_set_apart(tables):
    chosen = best_on_validation(tables["summary"])
    rows = tables["confusion"]
    assert worst_of(chosen, rows[(rows["model"] == chosen["model"]) & (rows["strategy"] == chosen["strategy"])]) == ""
    assert worst_of(None, rows) == ""


def test_classes_that_are_alike_have_no_best(tables):
    assert best_and_worst_class(tables["per_class"].assign(f1_mean=0.5), None).startswith(
        "All classes are recognised alike"
    )
