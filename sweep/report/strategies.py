"""What each strategy was, beside its name: a verdict between two is one between all that differs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from animefer_core.errors import InputError
from animefer_core.training.strategies import Strategy
from sweep.frames import Sweep
from sweep.report.words import count, listed, number

STRATEGIES_COLUMNS = [
    *("strategy", "blocks", "unfreeze_every", "block_order", "head_epochs", "lr_head", "lr_backbone", "layer_decay"),
    *("schedule", "warmup_epochs", "weight_decay", "batch_size", "gradient_clip_norm", "max_epochs", "epochs_cap"),
    "patience",
]
RECIPE = {
    "lr_head": "the rate of the head",
    "lr_backbone": "the rate of the backbone",
    "schedule": "the schedule",
    "weight_decay": "the weight decay",
    "batch_size": "the batch size",
    "gradient_clip_norm": "the norm at which gradients are clipped",
}
"""What may differ beside what trains and how long, with its name in a sentence."""

Row = Mapping[Any, Any]


def strategies(sweep: Sweep) -> pd.DataFrame:
    """Return one row a strategy, more where its records differ: what trains when, at which rates, for how long.

    `epochs_cap` is what --epochs allowed, blank where it set no limit. A record that knows no strategy of ours is
    passed over.
    """
    found: list[dict[str, Any]] = []
    for record in (record for each in sweep.configurations for record in each.records):
        try:
            told = Strategy(**record.config["strategy"])
        except (KeyError, TypeError, InputError):
            continue
        row = vars(told) | {"strategy": record.strategy, "epochs_cap": record.config.get("epochs_cap")}
        if row not in found:
            found.append(row)
    return pd.DataFrame(found, columns=STRATEGIES_COLUMNS, dtype=object)


def strategies_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table for readers."""
    return pd.DataFrame([_in_words(row) for row in table.to_dict("records")])


def what_differs(table: pd.DataFrame) -> str:
    """Say in which settings, beside what trains, the strategies differ, and whether epochs were capped."""
    rows = table.to_dict("records")
    if not rows:
        return ""
    told = []
    for setting, name in RECIPE.items():
        # The rate of a backbone that never trains is no difference.
        of = {row["strategy"]: row[setting] for row in rows if setting != "lr_backbone" or _trains_a_backbone(row)}
        if len(set(map(_value, of.values()))) > 1:
            told.append(f"{name} ({_by_value(of)})")
    first = (
        f"A strategy is a whole recipe, and a verdict between two is one between recipes: beside what trains, and for "
        f"how long, they differ in {listed(told)}."
        if told
        else f"{'The strategy is' if len(rows) == 1 else 'The strategies differ in'} what trains and for how long."
    )
    caps = {int(row["epochs_cap"]) for row in rows if _is_capped(row)}
    if not caps:
        return first
    longest = [int(row["max_epochs"]) for row in rows]
    planned = f"{min(longest)} to {max(longest)}" if min(longest) < max(longest) else f"{max(longest)}"
    return (
        f"{first} Epochs were limited to {listed(sorted(map(str, caps)))} here, of {planned} that the strategies have."
    )


def _in_words(row: Row) -> dict[str, str]:
    decay = f" × {row['layer_decay']:g} a group of layers" if _there(row["layer_decay"]) else ""
    warmup = f", {count(int(row['warmup_epochs']), 'epoch')} of warmup" if row["warmup_epochs"] else ""
    return {
        "strategy": row["strategy"],
        "what trains": _what_trains(row),
        "rate of the head": f"{row['lr_head']:g}",
        "rate of the backbone": f"{row['lr_backbone']:g}{decay}" if _trains_a_backbone(row) else "",
        "schedule": f"{row['schedule']}{warmup}",
        "epochs": f"{row['epochs_cap']} of {row['max_epochs']}" if _is_capped(row) else str(row["max_epochs"]),
        "patience": str(row["patience"]),
        "batch": str(row["batch_size"]),
        "weight decay": f"{row['weight_decay']:g}",
        "clipped at": number(row["gradient_clip_norm"], 1),
    }


def _what_trains(row: Row) -> str:
    alone = f"head alone for {count(int(row['head_epochs']), 'epoch')}, then " if row["head_epochs"] else ""
    if row["blocks"] == "all":
        return f"{alone}everything"
    blocks = f"head and {count(int(row['blocks']), 'block')}" if row["blocks"] else "head"
    if row["block_order"] == "from_stem" and (row["blocks"] or _there(row["unfreeze_every"])):
        blocks += " from the stem on"
    more = f", one more block every {_epochs(int(row['unfreeze_every']))}" if _there(row["unfreeze_every"]) else ""
    return f"{alone}{blocks}{more}"


def _epochs(number_of: int) -> str:
    return "epoch" if number_of == 1 else f"{number_of} epochs"


def _is_capped(row: Row) -> bool:
    return _there(row["epochs_cap"]) and row["epochs_cap"] < row["max_epochs"]


def _trains_a_backbone(row: Row) -> bool:
    return bool(row["blocks"]) or _there(row["unfreeze_every"])


def _by_value(of: Mapping[str, Any]) -> str:
    """Return "0.0001 for partial and progressive, 1e-05 for full"."""
    names: dict[str, list[str]] = {}
    for strategy, value in of.items():
        names.setdefault(_value(value), []).append(strategy)
    return ", ".join(f"{value} for {listed(strategies)}" for value, strategies in names.items())


def _value(value: Any) -> str:
    return "none" if not _there(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _there(value: Any) -> bool:
    return value is not None and not pd.isna(value)
