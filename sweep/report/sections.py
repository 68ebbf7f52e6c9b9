"""The sections of the report: each opens with a sentence that states what was found, and shows its tables.

ranking ─ strategy × architecture ─ differences ─ what would decide the rest ─ gain over the probe ─ classes ─
confusion ─ misread images ─ calibration ─ ensembles ─ spread ─ random splits ─ how much data ─ other views ─
training curves ─ efficiency ─ data ─ the study's claims
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pandas as pd

from sweep.claims import CAUTION, HEADING, NOT_TESTABLE
from sweep.frames import Sweep
from sweep.report.architecture import grid_in_words, interaction, is_a_grid
from sweep.report.captions import captions
from sweep.report.conditions import GROWTH
from sweep.report.confusions import best_and_worst_class, most_confused
from sweep.report.differences import may_be_best
from sweep.report.filtering import METRICS, Attributes, attributes, whose
from sweep.report.findings import of_curves, of_data
from sweep.report.gains import of_best
from sweep.report.misread import how_many_misread
from sweep.report.pareto import on_the_fronts
from sweep.report.readable import FAMILIES, VIEWS, readable
from sweep.report.words import between, count, listed, number, span
from sweep.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED

GRID = "Test accuracy (%) by model and strategy, ± and total interval"
BESIDE = {
    "calibration": (("reliability", "Confidence and accuracy by bin"),),
}
"""Section -> further tables that it shows, with their titles."""
LONGEST_WORDS = 36
"""Letters of a cell that is no sentence."""
MOST_NAMES = 20
MOST_ROWS = 200
"""Of a table on the page; the rest is in the folder of tables."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A table on the page."""

    name: str
    """Of its file in tables/."""
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    folded: bool = False
    """Whether a click opens it."""
    left_out: int = 0
    """Rows that are in the file only."""
    whose: Sequence[Attributes] = ()
    """HTML attributes of every row, for the filter; none where no row is of any configuration."""
    metric: str | None = None
    """Of a table that is there once a metric: which one this is."""
    part: str = ""
    """What the tables of one another's metrics have in common."""

    @cached_property
    def wraps(self) -> list[bool]:
        """Which columns hold sentences."""
        return [any(len(row[column]) > LONGEST_WORDS for row in self.rows) for column in range(len(self.head))]

    @cached_property
    def words(self) -> list[bool]:
        """Which columns hold words alone: no number stands in them."""
        return [all(row[column][:1].isalpha() for row in self.rows if row[column]) for column in range(len(self.head))]


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

    shown = partial(_shown, under)

    def by_metric(name: str, table: pd.DataFrame, title: str, *, folded: bool = False) -> list[Shown]:
        """Return the table once a metric that it has; the page shows that of the metric chosen."""
        return [
            replace(shown(name, rows, f"{METRICS[metric]}, {title}", folded=folded, metric=metric), part=title)
            for metric in METRICS
            if len(rows := table[table["metric"] == metric])
        ]

    found: list[Section] = []

    def add(key: str, title: str, finding: str, *parts: Shown) -> None:
        found.append(Section(key=key, title=title, finding=finding, tables=parts))

    pairs, effects = (_of_accuracy(tables[name]) for name in ("comparisons", "effects"))
    if tables["ranking"]["in_best_set"].notna().any():
        add("ranking", "Ranking", _ranking(tables["ranking"]), shown("ranking", tables["ranking"], "Ranking"))
    summary = tables["summary"].head(len(sweep.configurations))
    if is_a_grid(summary):
        add("architecture", "Strategy × architecture", interaction(effects), _grid(summary, under["summary"]))
    if len(pairs):
        shows = by_metric("effects", tables["effects"], "models and strategies")
        every = tables["comparisons"].sort_values("p_adjusted", kind="stable")
        for family, name in FAMILIES.items():
            shows += by_metric("comparisons", every[every["family"] == family], name, folded=True)
        add("differences", "Differences", _differences(pairs, effects), *shows)
    if len(tables["power"]):
        show = shown("power", tables["power"], "What every pair would need", folded=True)
        add("power", "What would decide the rest", _power(tables["power"]), show)
    if "gains" in tables and (finding := _gains(tables["gains"], tables["summary"])):
        show = shown("gains", tables["gains"], "Gain of every configuration", folded=True)
        add("gains", "Gain over the linear probe", finding, show)
    for name, key, title, rows_are, finding in _mistakes(sweep, tables):
        add(key, title, finding, *[shown(name, tables[name], rows_are, folded=True)] if len(tables[name]) else [])
    for key, title, tell in (
        ("calibration", "Calibration", _calibration),
        ("ensembles", "Seed ensembles", _ensembles),
        ("variance", "Spread", _variance),
        ("views", "Other views", _views),
    ):
        if key in tables and (finding := tell(tables[key])):
            further = [(name, rows_are) for name, rows_are in BESIDE.get(key, ()) if len(tables[name])]
            more = [shown(name, tables[name], rows_are, folded=True) for name, rows_are in further]
            add(key, title, finding, shown(key, tables[key], title, folded=True), *more)
    if "splits" in tables and len(tables["splits"]):
        add("splits", "Random splits", _splits(tables), shown("splits", tables["splits"], "Over random splits"))
    if "shares" in tables and len(tables["shares"]):
        parts = [shown("shares", tables["shares"], "Accuracy by share of the training images", folded=True)]
        parts += [shown("lead", tables["lead"], "Lead of the ViTs over the ResNets")] if len(tables["lead"]) else []
        add("shares", "How much data", _shares(tables["shares"], tables["lead"]), *parts)
    for key, title, finding in _of_figures(sweep, tables, summary):
        add(key, title, finding)
    if "claims" in tables:
        beside = (
            [shown("study", tables["study"], "The study's Tables 2 and 3, and these data", folded=True)]
            if "study" in tables
            else []
        )
        # Twenty rows that all say "not testable" are no reading; they are for who asks why.
        untested = bool((tables["claims"]["verdict"] == NOT_TESTABLE).all())
        title = "Each claim, and what it would take to test it" if untested else HEADING
        claims = _short(shown("claims", tables["claims"], title, folded=untested))
        add("claims", HEADING, _claims(tables["claims"]), claims, *beside)
    return found


def _shown(
    under: Mapping[str, str],
    name: str,
    table: pd.DataFrame,
    title: str,
    *,
    folded: bool = False,
    metric: str | None = None,
) -> Shown:
    """Return a table of `all_tables` in words, as much of it as the page shows, with its caption of those `under`."""
    words = readable(name, table.head(MOST_ROWS)).drop(columns=["metric", "family"], errors="ignore")
    return Shown(
        name=name,
        title=title,
        head=list(words.columns),
        rows=words.to_numpy().tolist(),
        caption=under[name],
        folded=folded,
        left_out=max(0, len(table) - MOST_ROWS),
        whose=whose(table.head(MOST_ROWS)),
        metric=metric,
    )


def _grid(summary: pd.DataFrame, caption: str) -> Shown:
    head, rows = grid_in_words(summary)
    of_models = [attributes({"model": row[0]}) for row in rows]
    return Shown(name="summary", title=GRID, head=head, rows=rows, caption=caption, folded=True, whose=of_models)


def _mistakes(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield table, key, title, what its rows are, and finding of the two sections on what was taken for what."""
    if not len(tables["confusion"]):
        return
    yield "confused_pairs", "confusion", "Confusion", "Pairs of classes", most_confused(tables["confused_pairs"])
    told = how_many_misread(tables["misread"], int(sweep.class_counts["test"].sum()))
    yield "misread", "misread", "Most often misread", "Images misread by any model", told


def _of_figures(
    sweep: Sweep, tables: Mapping[str, pd.DataFrame], summary: pd.DataFrame
) -> Iterator[tuple[str, str, str]]:
    """Yield key, title and finding of the sections whose tables the page's template writes itself."""
    if len(tables["confusion"]):
        yield "classes", "By class", best_and_worst_class(tables["per_class"])
    if finding := of_curves(sweep):
        yield "curves", "Training curves", finding
    if "efficiency" in tables and len(tables["confusion"]):
        yield "efficiency", "Efficiency", on_the_fronts(summary, tables["efficiency"])
    yield "data", "Data", of_data(sweep)


def _short(claims: Shown) -> Shown:
    """Return the claims with what belongs together in one cell, so that a page is wide enough for them."""
    rows = [dict(zip(claims.head, row, strict=True)) for row in claims.rows]
    cells = [
        [
            row["claim"],
            row["what it says"],
            row["verdict"],
            "\n".join(filter(None, [row.get("estimate"), row.get("the interval")])),
            row["why"],
            "\n".join(filter(None, [row["the study"], row.get("of the study's own figures")])),
        ]
        for row in rows
    ]
    return replace(claims, head=["claim", "what it says", "verdict", "estimate", "why", "the study"], rows=cells)


def _of_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["metric"] == "accuracy"]


def _ranking(table: pd.DataFrame) -> str:
    compared = table[table["in_best_set"].notna()]
    may = may_be_best(table)
    names = (may["model"] + "/" + may["strategy"]).tolist()
    first = f"Of {count(len(compared), 'configuration')} {len(names)} may be the best on images like these: "
    left = len(table) - len(compared)
    rest = f" Not ranked: {count(left, 'configuration')}, for want of seeds in common with the others." if left else ""
    return f"{first}{listed(names, MOST_NAMES)}.{rest}"


def _differences(pairs: pd.DataFrame, effects: pd.DataFrame) -> str:
    found = []
    for effect, over in (("strategy", "models"), ("model", "strategies")):
        if len(family := effects[effects["effect"] == effect]):
            found.append(f"Over the {over} compared, {_orders(family)}.")
    if not len(effects):
        found.append(
            "No effects of models and strategies: they take two of one of them, and results on enough common seeds of "
            "every combination."
        )
    everything = pairs[pairs["family"] == "all_pairs"]
    tested = everything[everything["p_adjusted"].notna()]
    if not len(tested):
        return " ".join([*found, "No pair is tested: that takes two configurations with two seeds in common."])
    decided = int((tested["verdict"] != UNDECIDED).sum())
    found.append(f"Of {count(len(tested), 'pair')} of configurations {_how_many(decided, len(tested))} decided.")
    if left := len(everything) - len(tested):
        found.append(f"{left} could not be tested, for want of seeds in common.")
    needed = between(100 * tested["smallest_detectable"])
    found.append(f"To be shown among them, a difference in accuracy had to reach {needed} points.")
    return " ".join(found)


def _orders(family: pd.DataFrame) -> str:
    """Say which of a family's rows, (a, b) with a verdict on a, are decided: the better ones by the worse one."""
    worse: dict[str, list[str]] = {}
    for row in family.to_dict("records"):
        if row["verdict"] != UNDECIDED:
            better, other = (row["a"], row["b"]) if row["verdict"] == "better" else (row["b"], row["a"])
            worse.setdefault(other, []).append(better)
    if not worse:
        return "nothing is decided" if family["p"].notna().any() else "nothing is tested"
    told = [
        f"{listed(better, MOST_NAMES)} {'is' if len(better) == 1 else 'are'} better than {other}"
        for other, better in worse.items()
    ]
    rest = "" if sum(map(len, worse.values())) == len(family) else "; the rest is undecided"
    return "; ".join(told) + rest


def _how_many(decided: int, of: int) -> str:
    return "none is" if not decided else "all are" if decided == of else f"{decided} {'is' if decided == 1 else 'are'}"


def _power(power: pd.DataFrame) -> str:
    left = power[power["verdict"] == UNDECIDED]
    if not len(left):
        return "Nothing is left to decide: every pair is."
    units = "test images" if (power["units"] == "images").all() else "groups of test images"
    by_seeds, by_units = (int(left[f"{unit}_needed"].notna().sum()) for unit in ("seeds", "units"))
    found = (
        f"If each gap is what it seems, more seeds alone would bring {by_seeds} of "
        f"{count(len(left), 'undecided pair')} to the edge of being decided, more {units} alone {by_units}."
    )
    limit = number(100 * left["limit_of_seeds"].median(), 1)
    if float(limit) > 0:
        found += f" For half of these pairs even endless seeds would not decide a gap under {limit} points."
    return found


def _gains(gains: pd.DataFrame, summary: pd.DataFrame) -> str:
    whole = gains[(gains["metric"] == "accuracy") & gains["gain"].notna()]
    if not len(whole):
        return ""
    by_class = of_best(gains, summary)
    by_class = by_class[by_class["gain"].notna()]
    found = (
        f"Beside the linear probe of the same model, fine-tuning changes test accuracy by "
        f"{between(100 * whole['gain'])} points; {_excluding(whole, 'configuration')}."
    )
    if len(by_class):
        found += (
            " Class by class, F1 changes by "
            f"{between(100 * by_class['gain'])} points under the strategy of each model that is best on validation; "
            f"{_excluding(by_class, 'row')}."
        )
    return f"{found} These are intervals of single rows; verdicts stand under Differences."


def _excluding(rows: pd.DataFrame, of: str) -> str:
    """Say for how many rows of a table of gains the total interval excludes 0, and on which side of it."""
    above, below = int((rows["total_ci_low"] > 0).sum()), int((rows["total_ci_high"] < 0).sum())
    sides = f" ({above} above it, {below} below)" if below else ""
    return f"the total interval excludes 0 for {above + below} of {count(len(rows), of)}{sides}"


def _calibration(table: pd.DataFrame) -> str:
    known = table[table["calibration_error"].notna()]
    if not len(known):
        return ""
    away = int((known["calibration_error_total_ci_low"] > 0).sum())
    return (
        f"The calibration error is {between(100 * known['calibration_error'])} %; for {away} of "
        f"{count(len(known), 'configuration')} its total interval excludes 0."
    )


def _ensembles(table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    gain = 100 * (table["accuracy"] - table["single_accuracy_mean"])
    across = f" on average, by configuration {between(gain)}" if len(gain) > 1 else ""
    return (
        f"One model that averages its seeds' probabilities has {number(abs(gain.mean()), 1)} points "
        f"{'higher' if gain.mean() >= 0 else 'lower'} accuracy than they have by themselves{across}; this is not "
        "tested."
    )


def _variance(table: pd.DataFrame) -> str:
    seeds = table[(table["source"] == "seeds") & table["sd"].notna()]
    if not len(seeds):
        return ""
    share = seeds["share_of_test_set"].median()
    over = " (median over configurations)" if len(seeds) > 1 else ""
    told = f" About {number(100 * share, 0)} % of that variance{over} is the test set's being finite: an estimate."
    return (
        f"Between seeds test accuracy has a standard deviation of {between(100 * seeds['sd'])} "
        f"points.{'' if pd.isna(share) else told}{_other_spreads(table)}"
    )


def _other_spreads(table: pd.DataFrame) -> str:
    """Say the median standard deviation of every source that only some sweeps have."""
    sd = 100 * table[table["sd"].notna()].groupby("source", sort=False)["sd"].median()
    told = [f"{source} {number(sd[source], 1)}" for source in sd.index if source not in USUAL]
    over = ", median over configurations" if table[["model", "strategy"]].drop_duplicates().shape[0] > 1 else ""
    if not told:
        return ""
    return (
        f" Standard deviation in points{over}: seeds {number(sd['seeds'], 1)}, {listed(told, 20)}; each has its "
        "interval in the table, a wide one where folds, splits or seeds are few."
    )


USUAL = ("seeds", "seeds, means over folds", "seeds, endless test set", "test images", "groups of test images")
"""Sources of every sweep."""


def _splits(tables: Mapping[str, pd.DataFrame]) -> str:
    rows = tables["splits"].to_dict("records")
    best = max(rows, key=lambda row: row["accuracy_mean"])
    mean, low, high = (f"{number(100 * best[f'accuracy_{end}'], 1)} %" for end in ("mean", "min", "max"))
    found = (
        f"Over {count(best['n_splits'], 'random split')} {best['model']}/{best['strategy']} has the highest mean "
        f"accuracy, {mean}; by the split it has {low} to {high}."
    )
    spread = tables["variance"]
    sd = {name: 100 * part["sd"].median() for name, part in spread[spread["sd"].notna()].groupby("source")}
    if "splits beyond seeds" not in sd:
        return found
    return (
        f"{found} Splits move accuracy by a standard deviation of {number(sd['splits beyond seeds'], 1)} points "
        f"beyond what seeds explain, seeds within a split by {number(sd['seeds within a split'], 1)} (medians over "
        "configurations). Nothing is tested here."
    )


def _shares(table: pd.DataFrame, lead: pd.DataFrame) -> str:
    ends = table.groupby(["model", "strategy"], sort=False)["accuracy_mean"]
    least, most = (f"{number:,}" for number in (table["train_images"].min(), table["train_images"].max()))
    change = between(100 * (ends.last() - ends.first()))
    found = f"From {least} to {most} training images accuracy changes by {change} points, by configuration."
    growth = lead[lead["what"] == GROWTH].to_dict("records")
    return f"{found} {_growth(growth[-1])}" if growth else found


def _growth(row: Mapping[Any, Any]) -> str:
    low, high = row["lead_total_ci_low"], row["lead_total_ci_high"]
    change = f"from the smallest share to the largest it changes by {number(100 * row['lead'], 1)} points"
    if row["n_seeds"] < 2 or pd.isna(low):
        return (
            "Whether the ViTs' lead over the ResNets grows with the data is not decided, for want of seeds or of any "
            f"spread: {change}."
        )
    verdict = "grows" if low > 0 else "shrinks" if high < 0 else "is not shown to grow or shrink"
    return (
        f"The ViTs' lead over the ResNets {verdict} with the data: {change} (95 % total interval "
        f"{span(low, high, 100)}; the one question of this section, not corrected for others)."
    )


def _views(table: pd.DataFrame) -> str:
    costs = [
        f"{VIEWS.get(str(view), view)}, {between(100 * rows['loss_of_accuracy'])} ({_how_surely(rows)})"
        for view, rows in table.groupby("view", sort=False)
    ]
    across = ", least to most by configuration" if table["view"].duplicated().any() else ""
    return f"Points of accuracy lost on other views of the same test images{across}: {'; '.join(costs)}."


def _how_surely(rows: pd.DataFrame) -> str:
    """Say of how many losses of accuracy the total interval excludes 0; a negative loss is a gain."""
    low, high = (rows[f"loss_of_accuracy_total_ci_{end}"] for end in ("low", "high"))
    if not (known := int(low.notna().sum())):
        return "no interval"
    gained = int((high < 0).sum())
    told = f"total interval above 0 for {int((low > 0).sum())} of {known}"
    return f"{told}, below 0 for {gained}" if gained else told


def _claims(table: pd.DataFrame) -> str:
    counts = table["verdict"].value_counts()
    order = [SUPPORTED, CONTRADICTED, UNDECIDED]
    order += [verdict for verdict in counts.index if verdict not in order]
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts)
    return f"Of {count(len(table), 'claim')}: {told}. {CAUTION}"
