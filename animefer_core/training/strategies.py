"""A fine-tuning strategy is data; what trains in an epoch, and how fast, follows from it and the epoch alone.

    epoch           0 ……… 4   5 ……… 9   10 …… 14   15 …… 19   20 …… 24   25 …
    linear_probe    head ──────────────────────────▶ 20
    partial         head + block 1 ────────────────────────────────────────▶ 30
    full            everything ────────────────────────────────────────────────▶ 40
    progressive     head      + 1       + 2        + 3        + 4        + 5 (stem) ─▶ 50

Blocks are counted from the head backwards. Nothing here knows torch: the same functions serve the training
loop, the tests of the study's table and the explanation printed for a user.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from animefer_core.errors import InputError

Schedule = Literal["constant", "cosine"]
EVERYTHING = "all"


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How a pretrained network is fine-tuned (the study's Table 1, one row)."""

    name: str
    """What the strategy is called in options, records and tables."""
    lr_head: float = 1e-3
    """Learning rate of the new classification head."""
    lr_backbone: float = 1e-4
    """Learning rate of every unfrozen block; it holds from the first epoch in which the block trains."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay, for every parameter that trains."""
    max_epochs: int = 30
    """Epochs at most, and the length of the schedule."""
    patience: int = 10
    """Epochs without a lower validation loss after which training stops."""
    blocks: int | Literal["all"] = 0
    """Blocks that train from the first epoch on, beside the head; "all" is every parameter of the network."""
    unfreeze_every: int | None = None
    """One more block trains after every so many completed epochs; None: the blocks stay as they are."""
    schedule: Schedule = "constant"
    """Learning rates over the epochs: constant, or a cosine down to zero."""
    warmup_epochs: int = 0
    """Epochs of linear warmup before the schedule proper, stepped per epoch."""
    gradient_clip_norm: float | None = None
    """Largest 2-norm of the gradient over all parameters; None: no clipping."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train, naming the field."""
        where = f"strategy {self.name!r}: "
        for field in ("lr_head", "lr_backbone", "weight_decay", "warmup_epochs"):
            if not (math.isfinite(getattr(self, field)) and getattr(self, field) >= 0):
                raise InputError(f"{where}{field} is {getattr(self, field)}; give a finite number of at least 0.")
        for field in ("max_epochs", "patience"):
            if getattr(self, field) < 1:
                raise InputError(f"{where}{field} is {getattr(self, field)}; give an integer of at least 1.")
        if self.unfreeze_every is not None and self.unfreeze_every < 1:
            raise InputError(
                f"{where}unfreeze_every is {self.unfreeze_every}; give epochs of at least 1, or leave it out."
            )
        if self.blocks != EVERYTHING and (isinstance(self.blocks, str) or self.blocks < 0):
            raise InputError(f'{where}blocks is {self.blocks!r}; give an integer of at least 0, or "all".')
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f'{where}schedule is {self.schedule!r}; give "constant" or "cosine".')
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise InputError(f"{where}gradient_clip_norm is {self.gradient_clip_norm}; give a number above 0.")

    def epochs(self, cap: int | None) -> int:
        """Return the epochs at most under a cap; the schedule is as long as this."""
        return self.max_epochs if cap is None else min(self.max_epochs, cap)


STUDY: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(name="linear_probe", lr_backbone=0.0, max_epochs=20, patience=5),
        Strategy(name="partial", max_epochs=30, patience=7, blocks=1),
        Strategy(
            name="full",
            lr_backbone=1e-5,
            max_epochs=40,
            patience=10,
            blocks="all",
            schedule="cosine",
            warmup_epochs=3,
            gradient_clip_norm=1.0,
        ),
        Strategy(name="progressive", max_epochs=50, patience=10, unfreeze_every=5),
    )
}
"""The study's four strategies, as in its Table 1."""


def trainable_blocks(strategy: Strategy, epoch: int, available: int) -> int | Literal["all"]:
    """Return how many blocks, from the head backwards, train in an epoch (counted from 0) beside the head.

    `available` is how many blocks the network has; "all" means every parameter, also those outside the blocks.
    """
    if strategy.blocks == EVERYTHING:
        return "all"
    opened = epoch // strategy.unfreeze_every if strategy.unfreeze_every else 0
    return min(available, int(strategy.blocks) + opened)


def learning_rates(strategy: Strategy, epoch: int, cap: int | None = None) -> dict[str, float]:
    """Return the rates of head and backbone in an epoch (counted from 0), under a cap on the epochs.

    Warmup is linear per epoch, (epoch + 1) / warmup; the cosine runs from the first epoch after it to zero just
    past the last one: 0.5 (1 + cos(pi (epoch - warmup) / (epochs - warmup))). Both step per epoch, as in the
    study, so that an epoch has one rate to report.
    """
    epochs, warmup = strategy.epochs(cap), strategy.warmup_epochs
    factor = 1.0
    if epoch < warmup:
        factor = (epoch + 1) / warmup
    elif strategy.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))
    return {"head": strategy.lr_head * factor, "backbone": strategy.lr_backbone * factor}


def strategy_from(name: str, values: Mapping[str, Any]) -> Strategy:
    """Return the strategy that a mapping of field names describes; an unknown field is named."""
    known = {field.name for field in fields(Strategy)} - {"name"}
    if unknown := sorted(set(values) - known):
        raise InputError(f"strategy {name!r}: no such field {unknown[0]!r}; the fields are {', '.join(sorted(known))}.")
    try:
        return Strategy(name=name, **values)
    except TypeError as error:
        raise InputError(f"strategy {name!r}: a field has a value of the wrong type ({error}).") from error
