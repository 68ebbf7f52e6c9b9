"""The sections of the report that are tables: each opens with a sentence that states what was found.

ranking ─ differences ─ what would decide the rest ─ calibration ─ ensembles ─ spread ─ the study's claims
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sweep.claims import CAUTION, HEADING
from sweep.frames import Sweep
from sweep.report.captions import captions
from sweep.report.readable import readable
from sweep.report.words import count, number, span
from sweep.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED

EFFECTS_IN_WORDS = {
    "strategy": ("pair of strategies, over all models,", "pairs of strategies, over all models,"),
    "model": ("pair of models, over all strategies,", "pairs of models, over all strategies,"),
    "interaction": (
        "configuration, against its model and strategy,",
        "configurations, against their model and strategy,",
    ),
}
PAIRS_IN_WORDS = ("pair of configurations", "pairs of configurations")
LONGEST_WORDS = 36
"""Letters of a cell that is no sentence."""
MOST_ROWS = 200
"""Of a table on the page; the rest is in the folder of tables."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A table on the page."""

    name: str
    """Of its file in tables/."""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    folded: bool = False
    """Whether a click opens it."""
    left_out: int = 0
    """Rows that are in the file only."""

    @property
    def wraps(self) -> list[bool]:
        """Which columns hold sentences."""
        return [any(len(row[column]) > LONGEST_WORDS for row in self.rows) for column in range(len(self.head))]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, what was found, and the tables that show it."""

    key: str
    title: str
    finding: str
    tables: Sequence[Shown]


def sections(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Return the sections that these results have something for."""
    under = captions(sweep, tables)
    of_accuracy = {name: _of_accuracy(tables[name]) for name in ("comparisons", "effects")}

    def shown(name: str, table: pd.DataFrame, *, folded: bool = False) -> Shown:
        words = readable(name, table.head(MOST_ROWS)).drop(columns="metric", errors="ignore")
        return Shown(
            name=name,
            head=list(words.columns),
            rows=words.to_numpy().tolist(),
            caption=under[name],
            folded=folded,
            left_out=max(0, len(table) - MOST_ROWS),
        )

    found: list[Section] = []

    def add(key: str, title: str, finding: str, *parts: Shown) -> None:
        found.append(Section(key=key, title=title, finding=finding, tables=parts))

    pairs = of_accuracy["comparisons"].sort_values("p_adjusted", kind="stable")
    if tables["ranking"]["in_best_set"].notna().any():
        add("ranking", "Ranking", _ranking(tables["ranking"]), shown("ranking", tables["ranking"]))
    if len(pairs):
        effects = of_accuracy["effects"]
        first = [shown("effects", effects)] if len(effects) else []
        last = shown("comparisons", pairs, folded=True)
        add("differences", "Differences", _differences(pairs, effects), *first, last)
    if len(tables["power"]):
        finding = _power(tables["power"], of_accuracy["comparisons"])
        add("power", "What would decide the rest", finding, shown("power", tables["power"], folded=True))
    for key, title, tell in (
        ("calibration", "Calibration", _calibration),
        ("ensembles", "Seed ensembles", _ensembles),
        ("variance", "Spread", _variance),
    ):
        if key in tables and (finding := tell(tables[key])):
            add(key, title, finding, shown(key, tables[key], folded=True))
    if "claims" in tables:
        add("claims", HEADING, _claims(tables["claims"]), shown("claims", tables["claims"]))
    return found


def _of_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["metric"] == "accuracy"]


def _ranking(table: pd.DataFrame) -> str:
    compared = table[table["in_best_set"].notna()]
    may = compared[compared["in_best_set"].astype(bool)]
    names = (may["model"] + "/" + may["strategy"]).tolist()
    first = f"Of {count(len(compared), 'configuration')} {len(names)} may be the best on images like these: "
    left = len(table) - len(compared)
    rest = f" Not ranked: {count(left, 'configuration')}, for want of seeds in common with the others." if left else ""
    return f"{first}{', '.join(names)}.{rest}"


def _differences(pairs: pd.DataFrame, effects: pd.DataFrame) -> str:
    found = [f"Of {count(len(family), *what)} {_decided(family)}." for what, family in _families(pairs, effects)]
    shown = pairs.loc[pairs["family"] == "all_pairs", "smallest_detectable"].dropna()
    if len(shown):
        found.append(
            "The smallest difference in accuracy that all pairs together could have shown lies between "
            f"{number(100 * shown.min(), 1)} and {number(100 * shown.max(), 1)} points."
        )
    return " ".join(found)


def _families(pairs: pd.DataFrame, effects: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return what is judged together under its name, one and many; the families with the most power first."""
    of_effects = [(name, effects[effects["effect"] == effect]) for effect, name in EFFECTS_IN_WORDS.items()]
    families = [*of_effects, (PAIRS_IN_WORDS, pairs[pairs["family"] == "all_pairs"])]
    return [(name, family) for name, family in families if len(family)]


def _decided(family: pd.DataFrame) -> str:
    decided = int((family["verdict"] != UNDECIDED).sum())
    return "none is decided" if not decided else "is decided" if len(family) == 1 else f"{decided} are decided"


def _power(power: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    family = comparisons[(comparisons["family"] == "all_pairs") & comparisons["p_adjusted"].notna()]
    open_pairs = power[(family["verdict"] == UNDECIDED).to_numpy()]
    if not len(open_pairs):
        return "Nothing is left to decide: every pair is."
    by_seeds, by_images = (int(open_pairs[f"{unit}_needed"].notna().sum()) for unit in ("seeds", "units"))
    limit = 100 * open_pairs["limit_of_seeds"].median()
    return (
        f"Of {count(len(open_pairs), 'undecided pair')}, if each gap is what it seems, {by_seeds} could be decided by "
        f"seeds alone and {by_images} by test images alone. No number of seeds decides a gap under some "
        f"{number(limit, 1)} points on these test images (the median pair)."
    )


def _calibration(table: pd.DataFrame) -> str:
    known = table[table["calibration_error"].notna()]
    if not len(known):
        return ""
    away = int((known["calibration_error_total_ci_low"] > 0).sum())
    low, high = 100 * known["calibration_error"].min(), 100 * known["calibration_error"].max()
    return (
        f"Calibration errors lie between {number(low, 1)} and {number(high, 1)} %; of {away} of "
        f"{count(len(known), 'configuration')} the total interval is above 0."
    )


def _ensembles(table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    gain = 100 * (table["accuracy"] - table["single_accuracy_mean"])
    return (
        f"One model that averages its seeds' probabilities is {number(gain.mean(), 1)} points more accurate than they "
        f"are by themselves, on average over configurations ({span(gain.min(), gain.max())})."
    )


def _variance(table: pd.DataFrame) -> str:
    seeds = table[(table["source"] == "seeds") & table["sd"].notna()]
    if not len(seeds):
        return ""
    low, high = 100 * seeds["sd"].min(), 100 * seeds["sd"].max()
    share = seeds["share_of_test_set"].median()
    told = "" if pd.isna(share) else f" Of their variance {number(100 * share, 0)} % (median) is the test set's size."
    return f"Between seeds test accuracy has a standard deviation of {span(low, high)} points.{told}"


def _claims(table: pd.DataFrame) -> str:
    counts = table["verdict"].value_counts()
    order = [SUPPORTED, CONTRADICTED, UNDECIDED]
    order += [verdict for verdict in counts.index if verdict not in order]
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts)
    return f"Of {count(len(table), 'claim')}: {told}. {CAUTION}"
