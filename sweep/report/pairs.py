"""All pairs of configurations at once, drawn: who is better than whom, and what is left undecided."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sweep.report.drawing import COLOURS, Drawing, faint, heat_map, plain, short
from sweep.report.filtering import configurations
from sweep.report.words import between, chance, count, name_of, names_of, number, span
from sweep.statistics.comparisons import FEWEST_FOR_POSTERIOR
from sweep.verdicts import UNDECIDED

MOST_CONFIGURATIONS = 40
"""More would leave a cell no room for its sign."""
SIGNS = {"better": "+", "worse": "−", UNDECIDED: "?"}
SCALE = [[0.0, faint(COLOURS[1])], [0.5, "rgba(128,128,128,0.10)"], [1.0, faint(COLOURS[0])]]
"""From worse to better; the page's card shows through, so that signs can be read in light and dark."""
OTHER_WAY = {"better": "worse", "worse": "better", UNDECIDED: UNDECIDED}

Row = dict[Any, Any]


def pairs(comparisons: pd.DataFrame, summary: pd.DataFrame) -> Drawing | None:
    """Return the matrix of all pairs in test accuracy, rows against columns, the highest mean on top.

    None where no pair was tested, or where there are more than 40 configurations.
    """
    found = tested(comparisons)
    names = _by_accuracy(found, summary)
    if not 1 < len(names) <= MOST_CONFIGURATIONS:
        return None
    places = {
        place.name: place for place in configurations(list(zip(summary["model"], summary["strategy"], strict=True)))
    }
    cells = {key: row for each in found.to_dict("records") for key, row in _both_ways(each)}
    rows = [[cells.get((a, b)) for b in names] for a in names]
    signs = [["" if row is None else SIGNS[row["verdict"]] for row in line] for line in rows]
    hover = [
        [_words(row, a, b) for row, b in zip(line, names, strict=True)] for line, a in zip(rows, names, strict=True)
    ]
    values = [[float("nan") if not sign else {"+": 1, "−": -1}.get(sign, 0) for sign in line] for line in signs]
    figure = heat_map(values, "%{text}", hover, names, names)
    # Always with its sign: colour alone would carry the meaning.
    figure.update_traces(text=signs, texttemplate="%{text}", coloraxis=None, colorscale=SCALE, zmin=-1, zmax=1)
    figure.update_traces(showscale=False)
    labels = [short(name) for name in names]
    figure.update_layout(xaxis={"tickangle": -60, "ticktext": labels, "title": {"text": "b"}}, yaxis_title_text="a")
    decided = int((found["verdict"] != UNDECIDED).sum())
    return Drawing(
        key="figure-pairs",
        title="Is the row better than the column? All pairs, test accuracy",
        description=f"{decided} of {count(len(found), 'pair')} are decided. The table beneath holds every pair.",
        figure=figure,
        height=190 + 24 * len(names),
        rows=[places[name] for name in names],
        columns=[places[name] for name in names],
    )


def tested(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all pairs in accuracy that have a corrected p."""
    chosen = (comparisons["metric"] == "accuracy") & (comparisons["family"] == "all_pairs")
    return comparisons[chosen & comparisons["p_adjusted"].notna()]


def under_pairs(comparisons: pd.DataFrame) -> str:
    """Say how the matrix is read, which family it is and how corrected, and what could have been shown."""
    found = tested(comparisons)
    n_configurations = len(_names(found))
    if not n_configurations:
        return ""
    large = n_configurations >= FEWEST_FOR_POSTERIOR
    method = "step-down max-T on draws of the variances' posterior" if large else "moderated variances, Holm's method"
    family = (
        f"All {count(len(found), 'pair')} are one family, corrected together ({method}): at most 5 % for any false "
        f"verdict, nominally. Smallest difference that could have been shown: "
        f"{between(100 * found['smallest_detectable'])} points, by pair."
    )
    if n_configurations > MOST_CONFIGURATIONS:
        return f"With {n_configurations} configurations the matrix of pairs is left out; the table has them. {family}"
    return (
        "+: the row (a) is better than the column (b); −: it is worse; ?: undecided, which is not equal; blank: the "
        f"same one, or not tested. {family}"
    )


def _names(found: pd.DataFrame) -> list[str]:
    both = [*names_of(found, "_a"), *names_of(found, "_b")]
    return list(dict.fromkeys(both))


def _by_accuracy(found: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    means = dict(zip(names_of(summary), summary["accuracy_mean"], strict=True))
    return sorted(_names(found), key=lambda name: -means[name])


def _both_ways(row: Row) -> Sequence[tuple[tuple[str, str], Row]]:
    """Return a pair's row as it stands and the other way round, by the names of (a, b)."""
    a, b = (name_of(row, f"_{side}") for side in "ab")
    turned = row | {"verdict": OTHER_WAY[row["verdict"]], "difference": 0 - row["difference"]}
    turned |= {"total_ci_low": 0 - row["total_ci_high"], "total_ci_high": 0 - row["total_ci_low"]}
    return ((a, b), row), ((b, a), turned)


def _words(row: Mapping[Any, Any] | None, a: str, b: str) -> str:
    if row is None:
        return plain(a) if a == b else f"a: {plain(a)}<br>b: {plain(b)}<br>not tested"
    lines = [f"a: {plain(a)}", f"b: {plain(b)}", f"a is {row['verdict']}"]
    lines.append(f"a − b: {number(100 * row['difference'], 1)} points, {count(row['n_seeds'], 'seed')}")
    if interval := span(row["total_ci_low"], row["total_ci_high"], 100):
        lines.append(f"total interval {interval}, of this pair alone")
    lines.append(f"adjusted p {chance(row['p_adjusted'])}; had to reach {number(100 * row['smallest_detectable'], 1)}")
    return "<br>".join(lines)
