"""What a search varies of a strategy, and the candidates that it tries.

    lr_head, lr_backbone   a tenth to ten times the strategy's own, evenly on a log scale; only rates above 0 that train
    weight_decay           1e-6 to 0.1, evenly on a log scale
    batch_size             16, 32 or 64
    unfreeze_every         1 to 10 epochs, where blocks unfreeze
    blocks                 1 to all of the network's, where the strategy begins with some of them
    block_order            from the head or from the stem, where blocks are counted
    layer_decay            0.5 to 0.95, where rates decay by layers

What a strategy does not do is not searched: a linear probe has no backbone to give a rate. Epochs, patience and the
schedule's form stay, so that every candidate has the same budget. Candidates are drawn before anything trains: one row
of uniform numbers a candidate, the same for every model, and a larger budget only adds to a smaller one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from animefer_core.seeds import stream
from animefer_core.training.strategies import EVERYTHING, Strategy

BATCH_SIZES = (16, 32, 64)
LONGEST_STEP = 10
"""Epochs at most between two blocks."""


class Range(Protocol):
    """Where the values of one option lie."""

    def at(self, share: float) -> Any:
        """Return the value at a share of the way through the range, 0 included and 1 not."""


@dataclass(frozen=True)
class LogUniform:
    """Numbers spread evenly on a log scale, to three digits."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return low (high / low)^share."""
        return float(f"{self.low * (self.high / self.low) ** share:.3g}")


@dataclass(frozen=True)
class Uniform:
    """Numbers spread evenly, to three digits."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return low + share (high - low)."""
        return float(f"{self.low + share * (self.high - self.low):.3g}")


@dataclass(frozen=True)
class Choice:
    """One of several values, each as likely."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Return the value in whose equal part of 0 to 1 the share lies."""
        return self.values[int(share * len(self.values))]


def integers(low: int, high: int) -> Choice:
    """Return the choice of an integer, both ends included."""
    return Choice(tuple(range(low, high + 1)))


def space(strategy: Strategy, blocks: int, cap: int | None) -> dict[str, Range]:
    """Return the range of every option to search; `blocks` is how many the network has, `cap` that on the epochs."""
    unfreezes = strategy.unfreeze_every is not None
    counted = strategy.blocks != EVERYTHING and (strategy.blocks != 0 or unfreezes)
    ranges: dict[str, Range] = {}
    if strategy.lr_head > 0:
        ranges["lr_head"] = _around(strategy.lr_head)
    if strategy.lr_backbone > 0 and (counted or strategy.blocks == EVERYTHING):
        ranges["lr_backbone"] = _around(strategy.lr_backbone)
    ranges["weight_decay"] = LogUniform(1e-6, 1e-1)
    ranges["batch_size"] = Choice(BATCH_SIZES)
    if unfreezes and strategy.blocks != EVERYTHING:
        # With as many epochs as the training has, nothing would ever unfreeze.
        ranges["unfreeze_every"] = integers(1, max(1, min(LONGEST_STEP, strategy.epochs(cap) - 1)))
    if counted and strategy.blocks != 0:
        ranges["blocks"] = integers(1, blocks)
    if counted:
        ranges["block_order"] = Choice(("from_head", "from_stem"))
    if strategy.layer_decay is not None:
        ranges["layer_decay"] = Uniform(0.5, 0.95)
    return ranges


def _around(rate: float) -> LogUniform:
    return LogUniform(rate / 10, rate * 10)


def candidates(strategy: Strategy, ranges: Mapping[str, Range], budget: int, seed: int) -> tuple[Strategy, ...]:
    """Return `budget` strategies: first the strategy as it stands, then draws from the ranges, numbered from 2."""
    rng = stream(seed, "search")
    drawn = [strategy]
    for number in range(2, budget + 1):
        shares = rng.random(len(ranges))
        values = {name: each.at(float(share)) for (name, each), share in zip(ranges.items(), shares, strict=True)}
        drawn.append(replace(strategy, name=f"{strategy.name}#{number}", **values))
    return tuple(drawn)
