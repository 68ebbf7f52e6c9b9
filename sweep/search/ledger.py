"""DIR/search.json: every candidate that was tried and what came of it, written as results come.

    calls      when, by which command, with which versions
    trials     trial id -> model, strategy, seed, outcome, and the validation loss of every epoch
    searches   the winner's name -> budget, candidates by their trials, and each one's mean validation loss

A trial's outcome is `finished`, `stopped` (it was in the worse half), `diverged` (its loss became no number) or
`failed`; only failed ones are tried again. Candidates are judged by validation loss: early stopping and the choice of
the epoch go by it, and with a few hundred images it tells apart what accuracy, a count of those images, leaves equal.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, write_atomically
from sweep.search.searches import Candidate, Search

FILE = "search.json"
STOPPED = "stopped"
"""The outcome of a trial that was stopped for being in the worse half, and its mark in a record's environment{}."""
FINAL = ("finished", STOPPED, "diverged")


class Ledger:
    """What has come of the trials of some searches, here or in an earlier call."""

    def __init__(self, folder: Path, searches: Sequence[Search]) -> None:
        self.searches = searches
        self._path = folder / FILE
        earlier = _read(self._path)
        self._trials: dict[str, dict[str, Any]] = dict(earlier.get("trials", {}))
        self._earlier: Mapping[str, Any] = earlier.get("searches", {})
        self._calls: list[Mapping[str, Any]] = list(earlier.get("calls", []))

    def begin(self, call: Mapping[str, Any]) -> None:
        """Note a call, and write the file."""
        self._calls.append(call)
        self.write()

    def result(self, trial_id: str) -> Mapping[str, Any]:
        """Return what came of a trial; {} where nothing has yet."""
        return self._trials.get(trial_id, {})

    def is_final(self, trial_id: str) -> bool:
        """Return whether a trial needs not be trained again."""
        return self.result(trial_id).get("outcome") in FINAL

    def keep(self, record: TrialRecord, state: Callable[[], Any] | None = None) -> None:
        """Note a trial's outcome, and write the file."""
        self._trials[record.trial_id] = _result(record)
        self.write()

    def write(self) -> None:
        """Write the file as a whole; searches of earlier calls stay."""
        searches = {**self._earlier, **{search.name: self._described(search) for search in self.searches}}
        content = {"calls": self._calls, "searches": searches, "trials": self._trials}
        write_atomically(self._path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())

    def is_over(self, search: Search) -> bool:
        """Return whether every candidate of a search was tried."""
        return all(self.result(config.trial_id) for config in search.trials)

    def winner(self, search: Search) -> Candidate | None:
        """Return the candidate of the lowest mean validation loss among those trained to their ends; the first of ties.

        None where none was, or where the search is not over: then not all have had the same budget.
        """
        finished = [each for each in search.candidates if self._has(each, "finished")]
        return min(finished, key=self.loss) if finished and self.is_over(search) else None

    def loss(self, candidate: Candidate) -> float:
        """Return the mean over seeds of the best epochs' validation losses; infinite where one has failed or is due."""
        return self._mean(candidate, "validation_loss", math.inf)

    def accuracy(self, candidate: Candidate) -> float:
        """Return the mean over seeds of the same epochs' validation accuracies; 0 where one has failed or is due."""
        return self._mean(candidate, "validation_accuracy", 0.0)

    def count(self, search: Search, outcome: str) -> int:
        """Return how many trials of a search ended so."""
        return sum(self.result(config.trial_id).get("outcome") == outcome for config in search.trials)

    def epochs(self, search: Search) -> int:
        """Return the epochs that were trained for a search."""
        return sum(self.result(config.trial_id).get("epochs_run", 0) for config in search.trials)

    def _mean(self, candidate: Candidate, measure: str, missing: float) -> float:
        values = [self.result(config.trial_id).get(measure, missing) for config in candidate.trials]
        return math.fsum(values) / len(values)

    def _has(self, candidate: Candidate, outcome: str) -> bool:
        return all(self.result(config.trial_id).get("outcome") == outcome for config in candidate.trials)

    def _described(self, search: Search) -> dict[str, Any]:
        winner, first = self.winner(search), search.start.trials[0]
        return {
            "model": search.model,
            "strategy": search.start.strategy.name,
            "budget": len(search.candidates),
            "epochs": search.epochs,
            "halved_after_epochs": [search.grace, 2 * search.grace],
            "seeds": [config.seed for config in search.start.trials],
            "split_digest": first.split_digest,
            "winner": None if winner is None else winner.number,
            "candidates": [
                {
                    "number": each.number,
                    "strategy": each.trials[0].as_dict()["strategy"],
                    "trials": [config.trial_id for config in each.trials],
                    "validation_loss": None if math.isinf(self.loss(each)) else self.loss(each),
                }
                for each in search.candidates
            ],
        }


def _result(record: TrialRecord) -> dict[str, Any]:
    common = {"model": record.model, "strategy": record.strategy, "seed": record.seed, "config": record.config}
    if record.status == "failed":
        outcome = "diverged" if record.error["type"] == "TrainingDivergedError" else "failed"
        error = f"{record.error['type']}: {record.error['message']}"
        return {**common, "outcome": outcome, "error": error}
    return {
        **common,
        "outcome": STOPPED if record.environment.get(STOPPED) else "finished",
        "epochs_run": record.epochs_run,
        "best_epoch": record.best_epoch,
        "validation_loss": record.validation["loss"],
        "validation_accuracy": record.validation["accuracy"],
        "validation_losses": [entry["validation_loss"] for entry in record.history],
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no valid JSON ({error}); restore it, or choose a new folder by --out.") from error
    return values
