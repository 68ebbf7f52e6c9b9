"""What a strategy trains when, told before anything is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from animefer_core.models.zoo import Network, layer_groups
from animefer_core.training.freezing import percent_trainable, set_trainable
from animefer_core.training.strategies import Strategy, learning_rates, trainable_blocks


@dataclass(frozen=True, kw_only=True)
class Span:
    """Epochs in a row in which the same parameters train."""

    first: int
    """Counted from 1."""
    last: int
    blocks: int | Literal["all"]
    """Beside the head, from the head backwards."""
    parameters: int
    """How many train."""
    percent: float
    """Of all the network's parameters."""
    rates: tuple[dict[str, float], dict[str, float]]
    """Of head and backbone, in the first and in the last epoch."""


def timeline(network: Network, strategy: Strategy, cap: int | None = None) -> list[Span]:
    """Return the spans of a strategy on a network (which may be on the meta device), under a cap on the epochs.

    A span ends where a block unfreezes, and where warmup gives way to the schedule.
    """
    spans = []
    warm = strategy.alone(cap) + strategy.warmup_epochs

    def state(epoch: int) -> tuple[int | Literal["all"], bool]:
        return trainable_blocks(strategy, epoch, len(network.blocks), cap), epoch < warm

    for (blocks, _), run in groupby(range(strategy.epochs(cap)), key=state):
        epochs = list(run)
        set_trainable(network, blocks, "eval", strategy.block_order)
        spans.append(
            Span(
                first=epochs[0] + 1,
                last=epochs[-1] + 1,
                blocks=blocks,
                parameters=sum(p.numel() for p in network.model.parameters() if p.requires_grad),
                percent=percent_trainable(network),
                rates=(learning_rates(strategy, epochs[0], cap), learning_rates(strategy, epochs[-1], cap)),
            )
        )
    return spans


def explain(network: Network, model: str, strategy: Strategy, cap: int | None = None) -> Iterator[str]:
    """Tell a strategy's timeline on a network in lines of text."""
    classes = network.classifier.out_features
    yield (
        f"{model} under {strategy.name}, {classes} classes: at most {strategy.epochs(cap)} epochs, stopped early after "
        f"{strategy.patience} without a lower validation loss"
    )
    for span in timeline(network, strategy, cap):
        yield (
            f"  epochs {span.first:>2} to {span.last:>2}: {_what(span.blocks, strategy)}, "
            f"{span.parameters:,} parameters ({span.percent:.2f} %), {_rates(span)}"
        )
    if strategy.layer_decay is not None:
        depth = len(layer_groups(network, model))
        lowest = strategy.layer_decay**depth
        yield (
            f"  the group of layers next to the head has {strategy.layer_decay:g} of the backbone's rate, each one "
            f"below as much of the one above it: {lowest:.2g} in the stem, after {depth} groups"
        )


def _what(blocks: int | Literal["all"], strategy: Strategy) -> str:
    if blocks == "all":
        return "everything"
    if blocks and strategy.block_order == "from_stem":
        return "head and stem" if blocks == 1 else f"head, stem and {blocks - 1} more from there"
    return "head" if blocks == 0 else "head and block 1" if blocks == 1 else f"head and blocks 1 to {blocks}"


def _rates(span: Span) -> str:
    names = ("head",) if span.blocks == 0 else ("head", "backbone")
    return ", ".join(f"{name} {_change(*(rates[name] for rates in span.rates))}" for name in names)


def _change(first: float, last: float) -> str:
    return f"{first:.3g}" if first == last else f"{first:.3g} to {last:.3g}"
