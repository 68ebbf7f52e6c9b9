"""What a search found: DIR/search.toml, a file for `animefer sweep --config`, and the same in words."""

import datetime
import math
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from animefer_core.record import write_atomically
from animefer_core.training.strategies import Strategy, strategy_from
from sweep.search.ledger import STOPPED, Ledger
from sweep.search.searches import Candidate, Search
from sweep.search.tuned import Searched, searched_from
from sweep.settings import Settings

FILE = "search.toml"


def write_winners(settings: Settings, ledger: Ledger) -> Path | None:
    """Write the winners beside the strategies that they began with, as the settings of the sweep that compares them.

    Winners of earlier calls on the same split stay in the file. None, and no file, where no search has a winner.
    """
    path = settings.out / FILE
    found = {search.name: (search, winner) for search in ledger.searches if (winner := ledger.winner(search))}
    if not found:
        return None
    strategies = {name: replace(winner.strategy, name=name) for name, (_, winner) in found.items()}
    searched = {name: _facts(ledger, search, winner) for name, (search, winner) in found.items()}
    (digest,) = {facts.split_digest for facts in searched.values()}
    earlier = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    facts = {name: searched_from(name, table) for name, table in earlier.get("search", {}).items()} | searched
    facts = {name: each for name, each in facts.items() if each.split_digest == digest}
    dropped = set(earlier.get("search", {})) - set(facts)
    kept = {name: strategy_from(name, t) for name, t in earlier.get("strategy", {}).items() if name not in dropped}
    begun = dict.fromkeys([*settings.strategies, *(each.strategy for each in facts.values())])
    known = {**settings.known_strategies, **kept, **strategies}
    content = replace(
        settings,
        models=tuple(dict.fromkeys([*settings.models, *(each.model for each in facts.values())])),
        strategies=tuple(dict.fromkeys([*(name for name in begun if name in known), *facts])),
        known_strategies=known,
        searched={**settings.searched, **facts},
    )
    write_atomically(path, content.to_toml().encode())
    return path


def _facts(ledger: Ledger, search: Search, winner: Candidate) -> Searched:
    start = search.start
    failed = math.isinf(ledger.loss(start))
    return Searched(
        model=search.model,
        strategy=start.strategy.name,
        candidates=len(search.candidates),
        epochs=search.epochs,
        seeds=tuple(config.seed for config in start.trials),
        split_digest=start.trials[0].split_digest,
        validation_loss=ledger.loss(winner),
        validation_accuracy=ledger.accuracy(winner),
        start_validation_loss=None if failed else ledger.loss(start),
        start_validation_accuracy=None if failed else ledger.accuracy(start),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def lines(ledger: Ledger) -> Iterator[str]:
    """Tell of every search what its start and its winner came to on validation, and what the winner changes."""
    for search in ledger.searches:
        ends = ", ".join(
            f"{number} {outcome}"
            for outcome in (STOPPED, "diverged", "failed")
            if (number := ledger.count(search, outcome))
        )
        tried = f"{len(search.candidates)} candidates with {seeds(search)} each, {f'{ends}, ' if ends else ''}"
        yield f"{search.model}/{search.start.strategy.name}: {tried}{ledger.epochs(search)} epochs trained"
        winner = ledger.winner(search)
        if winner is None:
            yield "  no winner: " + ("none was trained to its end" if ledger.is_over(search) else "it is not over")
            continue
        yield f"  as it stands: {_score(ledger, search.start)}"
        if winner is search.start:
            yield f"  nothing better was found; {search.name} is the strategy as it stands"
        else:
            yield f"  {search.name}: {_score(ledger, winner)}; {changes(search.start.strategy, winner.strategy)}"


def seeds(search: Search) -> str:
    """Return how many seeds each candidate has, in words."""
    number = len(search.start.trials)
    return f"{number} seed" if number == 1 else f"{number} seeds"


def _score(ledger: Ledger, candidate: Candidate) -> str:
    if math.isinf(ledger.loss(candidate)):
        return "failed"
    return f"validation loss {ledger.loss(candidate):.4f}, accuracy {ledger.accuracy(candidate):.1%}"


def changes(start: Strategy, winner: Strategy) -> str:
    """Return what differs between two strategies, as `field from -> to`."""
    before, after = asdict(start), asdict(winner)
    return ", ".join(
        f"{name} {_shown(before[name])} -> {_shown(after[name])}"
        for name in before
        if name != "name" and before[name] != after[name]
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
