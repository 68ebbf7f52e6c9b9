"""Whose a table's row, a figure or a place on its axes is: what the page's filter of models and strategies goes by.

    table's row      data-model, data-strategy; of a pair data-model-b and data-strategy-b beside them
    figure           Drawing.model, Drawing.strategy        where the whole of it is of one
    rows, columns    Drawing.rows, Drawing.columns          a Place for every whole number of an axis
    trace            meta = {"model": …, "strategy": …}     either may be absent
    point            customdata = [[model, strategy], …]

The page's script knows these five and no figure by name, so a new figure is filtered as soon as it says whose it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

METRICS = {"accuracy": "Accuracy", "f1_macro": "Macro F1", "f1_weighted": "Weighted F1", "loss": "Loss"}
"""What the page's choice of a metric offers, with its name at the start of a title."""
NUMBER = re.compile(r"(?:< )?([−-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)(?!\w)")
"""What a cell in words begins with: 81.2 ± 1.3, 79.0 to 83.3, < 0.001, 3 of 5."""

Attributes = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """What stands at one place of an axis: its name in full, and whose it is."""

    name: str
    model: str | None = None
    strategy: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return what is known of it."""
        return {name: value for name, value in vars(self).items() if value is not None}


def places(names: Sequence[str]) -> list[Place]:
    """Return places that are no model's and no strategy's, such as classes."""
    return [Place(name=name) for name in names]


def configurations(pairs: Sequence[tuple[str, str]]) -> list[Place]:
    """Return a place for every (model, strategy)."""
    return [Place(name=f"{model}/{strategy}", model=model, strategy=strategy) for model, strategy in pairs]


def whose(table: pd.DataFrame) -> list[Attributes]:
    """Return for every row of a table of `all_tables` the HTML attributes that say whose it is."""
    return [attributes(row) for row in table.to_dict("records")]


def attributes(row: Mapping[Any, Any]) -> Attributes:
    """Return those of one row."""
    if effect := row.get("effect"):
        # The rows of effects name two models, two strategies, or one of each.
        named = {
            "strategy": {"strategy": row["a"], "strategy-b": row["b"]},
            "model": {"model": row["a"], "model-b": row["b"]},
            "interaction": {"model": row["a"], "strategy": row["b"]},
        }[effect]
    elif "model_a" in row:
        named = {"model": row["model_a"], "strategy": row["strategy_a"]}
        named |= {"model-b": row["model_b"], "strategy-b": row["strategy_b"]}
    else:
        named = {name: row.get(name) for name in ("model", "strategy")}
    return {f"data-{name}": value for name, value in named.items() if isinstance(value, str) and value}


def sorts_by(cell: str) -> Attributes:
    """Return the number that a cell in words is sorted by, as an attribute; none for a number or a text without one."""
    found = NUMBER.match(cell)
    if not found or found[1] == cell:
        return {}
    return {"data-value": found[1].replace(",", "").replace("−", "-")}
