"""The page's main table: a row a configuration with what the summary and the ranking say, and its trials beneath."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.frames import ORDINARY_ARM, Sweep
from sweep.report.words import number, span

Row = dict[Any, Any]


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial of a configuration, in words."""

    seed: str
    accuracy: str
    minutes: str
    """Of the training steps, validation apart; nothing where they are not known."""
    state: str
    trial_id: str


def main_rows(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return a row a configuration: the summary's, in_best_set and ranks of the ranking, and its `trials`."""
    ranked = {(row["model"], row["strategy"]): row for row in tables["ranking"].to_dict("records")}
    trials = _trials(sweep, tables["trials"])
    rows = tables["summary"].head(len(sweep.configurations)).to_dict("records")
    names = [(row["model"], row["strategy"]) for row in rows]
    return [
        {**row, **_standing(ranked.get(name, {})), "trials": trials.get(name, [])}
        for row, name in zip(rows, names, strict=True)
    ]


def _standing(row: Mapping[Any, Any]) -> Row:
    may = row.get("in_best_set")
    return {
        "may_be_best": "" if may is None or pd.isna(may) else "yes" if may else "no",
        "rank": span(row.get("rank_low"), row.get("rank_high"), digits=0),
    }


def _trials(sweep: Sweep, trials: pd.DataFrame) -> Mapping[tuple[str, str], Sequence[TrialRow]]:
    """Return every configuration's ordinary trials in the order in which they were planned, never by their value."""
    here = trials[
        (trials["arm"] == ORDINARY_ARM)
        & (trials["division"] == sweep.division.name)
        & (trials["train_fraction"] == sweep.train_fraction)
    ]
    folds = {split.digest: place for place, split in enumerate(sweep.division.splits, 1)}
    found: dict[tuple[str, str], list[TrialRow]] = {}
    for row in here.to_dict("records"):
        fold = f", fold {folds[row['split_digest']]}" if sweep.division.n_folds else ""
        found.setdefault((row["model"], row["strategy"]), []).append(
            TrialRow(
                seed=f"{row['seed']}{fold}",
                accuracy=number(100 * row["accuracy"], 1),
                minutes=number(row["training_seconds"] / 60, 2),
                state=_state(row),
                trial_id=row["trial_id"],
            )
        )
    return found


def _state(row: Mapping[Any, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['error']}"
    return "no record yet" if row["status"] == "missing" else str(row["status"])
