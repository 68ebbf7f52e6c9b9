"""The sections of the report: each opens with a sentence that states what was found, and shows its tables.

strategies ─ ranking ─ strategy × architecture ─ differences ─ what would decide the rest ─ gain over the probe ─
classes ─ confusion ─ misread images ─ calibration ─ ensembles ─ spread ─ random splits ─ how much data ─ other views ─
training curves ─ efficiency ─ data ─ the study's claims
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pandas as pd

from sweep.claims import HEADING, NOT_TESTABLE
from sweep.frames import Sweep
from sweep.report import findings
from sweep.report.architecture import grid_in_words, interaction, is_a_grid
from sweep.report.captions import captions
from sweep.report.confusions import best_and_worst_class, most_confused, worst_of
from sweep.report.filtering import METRICS, Attributes, attributes, whose
from sweep.report.first_screen import best_on_validation
from sweep.report.misread import how_many_misread
from sweep.report.pareto import on_the_fronts
from sweep.report.readable import FAMILIES, readable
from sweep.report.strategies import what_differs

GRID = "Test accuracy (%) by model and strategy, ± and total interval"
BESIDE = {
    "calibration": (("reliability", "Confidence and accuracy by bin"),),
}
"""Section -> further tables that it shows, with their titles."""
LONGEST_WORDS = 36
"""Letters of a cell that is no sentence."""
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
    strategies: Sequence[str] = ()
    """Strategy of every column but the first, in a table that has one each."""

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
    page = _Page(sweep, tables)
    return [
        *page.of_strategies(),
        *page.of_comparisons(),
        *page.of_mistakes(),
        *page.of_each_configuration(),
        *page.of_conditions(),
        *page.of_figures(),
        *page.of_the_study(),
    ]


class _Page:
    """The sections of one sweep, group by group."""

    def __init__(self, sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> None:
        self._sweep = sweep
        self._tables = tables
        self._under = captions(sweep, tables)
        self._summary = tables["summary"].head(len(sweep.configurations))
        self._best = best_on_validation(self._summary)

    def of_strategies(self) -> Iterator[Section]:
        """Yield what the strategies were."""
        if len(table := self._table("strategies")):
            shown = self._whole("strategies", "What each strategy was")
            yield _section("strategies", "Strategies", what_differs(table), shown)

    def of_comparisons(self) -> Iterator[Section]:
        """Yield ranking, strategy × architecture, differences, what would decide them, and gains over the probe."""
        pairs, effects = (_of_accuracy(self._tables[name]) for name in ("comparisons", "effects"))
        ranking, power = self._tables["ranking"], self._tables["power"]
        if ranking["in_best_set"].notna().any():
            yield _section("ranking", "Ranking", findings.of_ranking(ranking), self._whole("ranking", "Ranking"))
        if is_a_grid(self._summary):
            grid = _grid(self._summary, self._under["summary"])
            yield _section("architecture", "Strategy × architecture", interaction(effects), grid)
        if len(pairs):
            shown = self._by_metric("effects", self._tables["effects"], "models and strategies")
            every = self._tables["comparisons"].sort_values("p_adjusted", kind="stable")
            for family, name in FAMILIES.items():
                shown += self._by_metric("comparisons", every[every["family"] == family], name, folded=True)
            yield _section("differences", "Differences", findings.of_differences(pairs, effects), *shown)
        if len(power):
            needed = self._whole("power", "What every pair would need", folded=True)
            yield _section("power", "What would decide the rest", findings.of_power(power), needed)
        if len(gains := self._table("gains")) and (finding := findings.of_gains(gains, self._tables["summary"])):
            rows = self._whole("gains", "Gain of every configuration", folded=True)
            yield _section("gains", "Gain over the linear probe", finding, rows)

    def of_mistakes(self) -> Iterator[Section]:
        """Yield which classes, and which images, were taken for what."""
        if not len(confusion := self._tables["confusion"]):
            return
        pairs, misread = self._tables["confused_pairs"], self._tables["misread"]
        told = " ".join(filter(None, [worst_of(self._best, confusion), most_confused(pairs)]))
        yield _section("confusion", "Confusion", told, *self._folded("confused_pairs", "Pairs of classes"))
        told = how_many_misread(misread, int(self._sweep.class_counts["test"].sum()))
        yield _section("misread", "Most often misread", told, *self._folded("misread", "Images misread by any model"))

    def of_each_configuration(self) -> Iterator[Section]:
        """Yield calibration, seed ensembles, spread and other views."""
        for key, title, tell in (
            ("calibration", "Calibration", findings.of_calibration),
            ("ensembles", "Seed ensembles", partial(findings.of_ensembles, best=self._best)),
            ("variance", "Spread", findings.of_variance),
            ("views", "Other views", findings.of_views),
        ):
            if key in self._tables and (finding := tell(self._tables[key])):
                beside = [shown for name, rows_are in BESIDE.get(key, ()) for shown in self._folded(name, rows_are)]
                yield _section(key, title, finding, self._whole(key, title, folded=True), *beside)

    def of_conditions(self) -> Iterator[Section]:
        """Yield random splits and shares of the training images, where they were run."""
        if len(self._table("splits")):
            shown = self._whole("splits", "Over random splits")
            yield _section("splits", "Random splits", findings.of_splits(self._tables), shown)
        if len(shares := self._table("shares")):
            parts = [self._whole("shares", "Accuracy by share of the training images", folded=True)]
            if len(lead := self._tables["lead"]):
                parts.append(self._whole("lead", "Lead of the ViTs over the ResNets"))
            yield _section("shares", "How much data", findings.of_shares(shares, lead), *parts)

    def of_figures(self) -> Iterator[Section]:
        """Yield the sections whose tables the page's template writes itself."""
        tested = len(self._tables["confusion"]) > 0
        if tested:
            yield _section("classes", "By class", best_and_worst_class(self._tables["per_class"], self._best))
        if finding := findings.of_curves(self._sweep):
            yield _section("curves", "Training curves", finding)
        if "efficiency" in self._tables and tested:
            yield _section("efficiency", "Efficiency", on_the_fronts(self._summary, self._tables["efficiency"]))
        yield _section("data", "Data", findings.of_data(self._sweep))

    def of_the_study(self) -> Iterator[Section]:
        """Yield the study's claims, and its tables beside these results."""
        if "claims" not in self._tables:
            return
        verdicts = self._tables["claims"]["verdict"]
        # Twenty rows that all say "not testable" are no reading; they are for who asks why.
        untested = bool((verdicts == NOT_TESTABLE).all())
        title = "Each claim, and what it would take to test it" if untested else HEADING
        claims = _short(self._whole("claims", title, folded=untested))
        beside = self._folded("study", "The study's Tables 2 and 3, and these data")
        yield _section("claims", HEADING, findings.of_claims(self._tables["claims"]), claims, *beside)

    def _table(self, name: str) -> pd.DataFrame:
        """Return a table, an empty one where this sweep has none of the name."""
        return self._tables.get(name, pd.DataFrame())

    def _folded(self, name: str, title: str) -> list[Shown]:
        """Return a table that a click opens, where it has rows."""
        return [self._whole(name, title, folded=True)] if len(self._table(name)) else []

    def _by_metric(self, name: str, table: pd.DataFrame, title: str, *, folded: bool = False) -> list[Shown]:
        """Return the table once a metric that it has; the page shows that of the metric chosen."""
        return [
            replace(self._shown(name, rows, f"{METRICS[metric]}, {title}", folded=folded), metric=metric, part=title)
            for metric in METRICS
            if len(rows := table[table["metric"] == metric])
        ]

    def _whole(self, name: str, title: str, *, folded: bool = False) -> Shown:
        return self._shown(name, self._tables[name], title, folded=folded)

    def _shown(self, name: str, table: pd.DataFrame, title: str, *, folded: bool) -> Shown:
        """Return a table of `all_tables` in words, as much of it as the page shows, with its caption."""
        words = readable(name, table.head(MOST_ROWS)).drop(columns=["metric", "family"], errors="ignore")
        return Shown(
            name=name,
            title=title,
            head=list(words.columns),
            rows=words.to_numpy().tolist(),
            caption=self._under[name],
            folded=folded,
            left_out=max(0, len(table) - MOST_ROWS),
            whose=whose(table.head(MOST_ROWS)),
        )


def _section(key: str, title: str, finding: str, *tables: Shown) -> Section:
    return Section(key=key, title=title, finding=finding, tables=tables)


def _grid(summary: pd.DataFrame, caption: str) -> Shown:
    head, rows = grid_in_words(summary)
    of_models = [attributes({"model": row[0]}) for row in rows]
    return Shown(
        name="summary",
        title=GRID,
        head=head,
        rows=rows,
        caption=caption,
        folded=True,
        whose=of_models,
        strategies=head[1:],
    )


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
