"""A fine-tuning strategy is data; what trains in an epoch, and how fast, follows from it and the epoch alone.

    epoch           0 ……… 4   5 ……… 9   10 …… 14   15 …… 19   20 …… 24   25 …
    linear_probe    head ──────────────────────────▶ 20
    partial         head + block 1 ────────────────────────────────────────▶ 30
    full            everything ────────────────────────────────────────────────▶ 40
    progressive     head      + 1       + 2        + 3        + 4        + 5 (stem) ─▶ 50
    layer_decay     everything, each group of layers at 0.75 times the rate of the one after it ─▶ 40
    lp_ft           head ───────────────▶ then everything ─────────────────────────▶ 50

The first four are the study's; the last two are what others would take today, and no part of its grid. Blocks are
counted from the head backwards. Nothing here knows torch: the same functions serve the training loop, the tests of the
study's table and the explanation printed for a user.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from animefer_core.errors import InputError

Schedule = Literal["constant", "cosine"]
BlockOrder = Literal["from_head", "from_stem"]
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
    batch_size: int = 32
    """Images a step; a last batch of one joins the one before it."""
    blocks: int | Literal["all"] = 0
    """Blocks that train from the first epoch on, beside the head; "all" is every parameter of the network."""
    block_order: BlockOrder = "from_head"
    """Which blocks are the first: those next to the head, as in the study, or the stem and those next to it (Lee et
    al. 2023 find the latter better where images, not classes, are unlike those of the pretraining)."""
    unfreeze_every: int | None = None
    """One more block trains after every so many completed epochs; None: the blocks stay as they are."""
    schedule: Schedule = "constant"
    """Learning rates over the epochs: constant, or a cosine down to zero."""
    warmup_epochs: int = 0
    """Epochs of linear warmup before the schedule proper, stepped per epoch."""
    head_epochs: int = 0
    """Epochs in which the head trains alone first, at a constant rate; schedule and patience begin after them. Under a
    cap on the epochs they keep their share."""
    layer_decay: float | None = None
    """Each group of layers has the rate of the one after it times this; the group next to the head has lr_backbone
    times it. None: one rate for the whole backbone."""
    gradient_clip_norm: float | None = None
    """Largest 2-norm of the gradient over all parameters; None: no clipping."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train, naming the field; numbers that are no counts become floats.

        1 and 1.0 are one rate, and have to give one trial id.
        """
        for field in ("lr_head", "lr_backbone", "weight_decay"):
            self._require(field, _is_number(getattr(self, field)), "a finite number of at least 0")
            object.__setattr__(self, field, float(getattr(self, field)))
        for field in ("max_epochs", "patience"):
            self._require(field, _is_count(getattr(self, field), 1), "an integer of at least 1")
        # BatchNorm cannot train on a single image.
        self._require("batch_size", _is_count(self.batch_size, 2), "an integer of at least 2")
        for field in ("warmup_epochs", "head_epochs"):
            self._require(field, _is_count(getattr(self, field), 0), "an integer of at least 0")
        self._require("head_epochs", self.head_epochs < self.max_epochs, "fewer epochs than max_epochs")
        if self.layer_decay is not None:
            self._require("layer_decay", _is_number(self.layer_decay) and 0 < self.layer_decay <= 1, "a number to 1")
            object.__setattr__(self, "layer_decay", float(self.layer_decay))
        self._require("blocks", self.blocks == EVERYTHING or _is_count(self.blocks, 0), 'an integer or "all"')
        self._require("block_order", self.block_order in ("from_head", "from_stem"), '"from_head" or "from_stem"')
        self._require("schedule", self.schedule in ("constant", "cosine"), '"constant" or "cosine"')
        if self.unfreeze_every is not None:
            self._require("unfreeze_every", _is_count(self.unfreeze_every, 1), "epochs of at least 1, or leave it out")
        if self.gradient_clip_norm is not None:
            clip = self.gradient_clip_norm
            self._require("gradient_clip_norm", _is_number(clip) and clip > 0, "a number above 0, or leave it out")
            object.__setattr__(self, "gradient_clip_norm", float(clip))

    def _require(self, field: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise InputError(f"strategy {self.name!r}: {field} is {getattr(self, field)!r}; give {wanted}.")

    def epochs(self, cap: int | None) -> int:
        """Return the epochs at most under a cap; the schedule is as long as this."""
        return self.max_epochs if cap is None else min(self.max_epochs, cap)

    def alone(self, cap: int | None) -> int:
        """Return the epochs, under a cap, in which the head trains alone first."""
        return -(-self.head_epochs * self.epochs(cap) // self.max_epochs) if self.epochs(cap) > 1 else 0

    def is_over(self, epoch: int, best_epoch: int, cap: int | None) -> bool:
        """Return whether training stops early after an epoch (from 0), the best so far being `best_epoch` (from 1).

        Patience begins when the head no longer trains alone: what is to come has not been tried yet.
        """
        first = self.alone(cap)
        return epoch >= first and epoch + 1 - max(best_epoch, first) >= self.patience


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


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

BEYOND: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        replace(STUDY["full"], name="layer_decay", lr_backbone=1e-4, layer_decay=0.75),
        replace(STUDY["full"], name="lp_ft", max_epochs=50, head_epochs=10),
    )
}
"""Beyond the study's grid: layer-wise decay of the rates (Clark et al. 2020; 0.75 as in Bao et al. 2022), and a
linear probe whose head is then fine-tuned with everything else (Kumar et al. 2022)."""

KNOWN: Mapping[str, Strategy] = {**STUDY, **BEYOND}


def trainable_blocks(strategy: Strategy, epoch: int, available: int, cap: int | None = None) -> int | Literal["all"]:
    """Return how many blocks, in the strategy's order, train in an epoch (counted from 0) beside the head.

    `available` is how many blocks the network has; "all" means every parameter, also those outside the blocks. `cap`
    is that on the epochs.
    """
    if epoch < strategy.alone(cap):
        return 0
    if strategy.blocks == EVERYTHING:
        return "all"
    opened = epoch // strategy.unfreeze_every if strategy.unfreeze_every else 0
    return min(available, int(strategy.blocks) + opened)


def learning_rates(strategy: Strategy, epoch: int, cap: int | None = None) -> dict[str, float]:
    """Return the rates of head and backbone in an epoch (counted from 0), under a cap on the epochs.

    Warmup is linear per epoch, (epoch + 1) / warmup; the cosine runs from the first epoch after it to zero just
    past the last one: 0.5 (1 + cos(pi (epoch - warmup) / (epochs - warmup))). Both step per epoch, as in the
    study, so that an epoch has one rate to report. Where the head trains alone first, both begin after that.
    """
    first = strategy.alone(cap)
    epochs, warmup, epoch = strategy.epochs(cap) - first, strategy.warmup_epochs, epoch - first
    factor = 1.0
    if epoch < 0:
        pass
    elif epoch < warmup:
        factor = (epoch + 1) / warmup
    elif strategy.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))
    return {"head": strategy.lr_head * factor, "backbone": strategy.lr_backbone * factor}


def strategy_from(name: str, values: Mapping[str, Any]) -> Strategy:
    """Return the strategy that a mapping of field names describes; an unknown field is named."""
    known = {field.name for field in fields(Strategy)} - {"name"}
    if unknown := sorted(set(values) - known):
        raise InputError(f"strategy {name!r}: no such field {unknown[0]!r}; the fields are {', '.join(sorted(known))}.")
    return Strategy(name=name, **values)
