"""Which classes are taken for one another, and in which direction: all configurations' confusion matrices as one."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.words import between, count, listed, name_of, number

CONFUSED_COLUMNS = [
    *("true", "predicted", "n_configurations", "share_mean", "share_low", "share_high"),
    *("reverse_share_mean", "asymmetry"),
]


def confused_pairs(confusion: pd.DataFrame) -> pd.DataFrame:
    """Return one row a pair of classes that are confused at all, in the direction in which that is the more frequent.

    `confusion` is the table of that name. `share_mean` is the share of the true class's images that are read as the
    other, the mean over configurations of their means over seeds, with the least and the greatest of these;
    `reverse_share_mean` the same the other way round, and `asymmetry` the former less the latter. Fractions, the most
    confused pair first; a direction whose true class has no test image is none.
    """
    if not len(confusion):
        return pd.DataFrame(columns=CONFUSED_COLUMNS)
    classes = list(dict.fromkeys(confusion["true"]))
    shares = confusion["share_mean"].to_numpy().reshape(-1, len(classes), len(classes))
    rows: list[dict[str, Any]] = []
    for pair in combinations(range(len(classes)), 2):
        there, back = (shares[:, true, predicted] for true, predicted in (pair, pair[::-1]))
        # A class without a test image has no share: then only the other direction is known.
        (true, predicted), there, back = (
            (pair[::-1], back, there) if np.isnan(there).any() or back.mean() > there.mean() else (pair, there, back)
        )
        if there.mean() > 0:
            rows.append(
                {"true": classes[true], "predicted": classes[predicted], "n_configurations": len(there)}
                | {"share_mean": there.mean(), "share_low": there.min(), "share_high": there.max()}
                | {"reverse_share_mean": back.mean(), "asymmetry": there.mean() - back.mean()}
            )
    table = pd.DataFrame(rows, columns=CONFUSED_COLUMNS)
    return table.sort_values("share_mean", ascending=False, kind="stable", ignore_index=True)


def worst_of(best: Mapping[Any, Any] | None, confusion: pd.DataFrame) -> str:
    """Say which mistake the configuration that is best on validation makes most often, where there are others."""
    if best is None or not _of_several(confusion):
        return ""
    here = _rows_of(best, confusion)
    mistakes = here[(here["true"] != here["predicted"]) & (here["share_mean"] > 0)]
    if not len(mistakes):
        return f"{name_of(best)}, best on validation, takes no test image for another class."
    row = max(mistakes.to_dict("records"), key=lambda each: each["share_mean"])
    return (
        f"{name_of(best)}, best on validation, most often reads {row['true']} as "
        f"{row['predicted']}: {number(100 * row['share_mean'], 1)} % of its test images."
    )


def most_confused(pairs: pd.DataFrame) -> str:
    """Say which pair of `confused_pairs` is confused most, and how far in one direction alone."""
    if not len(pairs):
        return "No test image was taken for another class."
    row = pairs.to_dict("records")[0]
    several = row["n_configurations"] > 1
    over = f"Over all {count(row['n_configurations'], 'configuration')}, most" if several else "Most"
    back = row["reverse_share_mean"]
    reverse = f"; the reverse happens to {number(100 * back, 1)} %" if pd.notna(back) else ""
    one_sided = max(
        pairs.dropna(subset="asymmetry").to_dict("records"), key=lambda each: each["asymmetry"], default=row
    )
    found = (
        f"{over} often {row['true']} is read as {row['predicted']}: {number(100 * row['share_mean'], 1)} % of its test "
        f"images{reverse}."
    )
    if (one_sided["true"], one_sided["predicted"]) == (row["true"], row["predicted"]) or pd.isna(back):
        return found
    return (
        f"{found} The most one-sided pair is {one_sided['true']} read as {one_sided['predicted']}, "
        f"{number(100 * one_sided['share_mean'], 1)} % against {number(100 * one_sided['reverse_share_mean'], 1)} %."
    )


def best_and_worst_class(per_class: pd.DataFrame, best: Mapping[Any, Any] | None) -> str:
    """Say which class has the highest and which the lowest F1: of `best`, and over configurations; how that varies."""
    tested = per_class[(per_class["support"] > 0) & per_class["f1_mean"].notna()]
    means = tested.groupby("class", sort=False)["f1_mean"].mean()
    if not len(means):
        return ""
    several = _of_several(tested)

    def told(name: str) -> str:
        of_class = 100 * tested[tested["class"] == name]["f1_mean"]
        across = f" (by configuration {between(of_class)})" if several else ""
        return f"{name}, {number(of_class.mean(), 1)} %{across}"

    easy, hard = str(means.idxmax()), str(means.idxmin())
    if means[easy] == means[hard]:
        return f"All classes are recognised alike: F1 {told(easy)}."
    over = "by F1, mean over configurations" if several else "by F1"
    found = f"Best recognised {over}: {told(easy)}. Worst: {told(hard)}. Classes are not tested against one another."
    if best is None or not several:
        return found
    here = _rows_of(best, tested)
    of_best = here.set_index("class")["f1_mean"]
    return f"{name_of(best)}, best on validation: {_extremes(of_best)}. {found}" if len(here) else found


def _of_several(table: pd.DataFrame) -> bool:
    return len(table[["model", "strategy"]].drop_duplicates()) > 1


def _rows_of(best: Mapping[Any, Any], table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table that are of the same configuration as a row of another."""
    rows: pd.DataFrame = table[(table["model"] == best["model"]) & (table["strategy"] == best["strategy"])]
    return rows


def _extremes(f1: "pd.Series[float]") -> str:
    """Name the classes of the highest and the lowest F1, all that have it as it is printed."""
    printed = (100 * f1).round(1)
    high, low = (
        listed([str(name) for name in printed.index[printed == end]]) for end in (printed.max(), printed.min())
    )
    return f"F1 is highest for {high}, {number(printed.max(), 1)} %, and lowest for {low}, {number(printed.min(), 1)} %"
