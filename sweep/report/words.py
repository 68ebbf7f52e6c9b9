"""Numbers and names in words: rounded, with signs and intervals as readers expect them; nothing where there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def number(value: Any, digits: int) -> str:
    """Return a number with so many decimals, or nothing where there is none; a minus is a true one."""
    return "" if value is None or pd.isna(value) else _minus(f"{value:.{digits}f}")


def span(low: Any, high: Any, scale: float = 1, digits: int = 1) -> str:
    """Return "low to high", or nothing where there is no interval."""
    if pd.isna(low) or pd.isna(high):
        return ""
    ends = number(low * scale, digits), number(high * scale, digits)
    return " to ".join(ends)


def between(values: pd.Series, digits: int = 1) -> str:
    """Return "2.0 to 3.0", the least and the greatest of some numbers, or the one that all of them round to."""
    ends = number(values.min(), digits), number(values.max(), digits)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return "a, b and c", or the first ones and how many more."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def chance(p: Any) -> str:
    """Return a p-value, or nothing where there is none."""
    return "" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return "1 seed" or "2 seeds"; the plural has an s where no other is given."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plus_minus(row: Mapping[Any, Any], metric: str, scale: float = 1, digits: int = 3) -> str:
    """Return "mean ± half-width" of the seed interval; with a single seed the mean alone."""
    return give_or_take(row[f"{metric}_mean"], row[f"{metric}_ci_high"], scale, digits)


def give_or_take(mean: Any, high: Any, scale: float = 1, digits: int = 3) -> str:
    """Return "mean ± half-width" of an interval that ends at `high`; the mean alone where there is none."""
    if pd.isna(mean) or pd.isna(high):
        return number(mean * scale, digits) if not pd.isna(mean) else ""
    return f"{number(mean * scale, digits)} ± {number((high - mean) * scale, digits)}"


def total_range(row: Mapping[Any, Any], metric: str, scale: float = 1, digits: int = 3) -> str:
    """Return "low to high" of the total interval, or nothing where there is none."""
    return span(row[f"{metric}_total_ci_low"], row[f"{metric}_total_ci_high"], scale, digits)


def _minus(text: str) -> str:
    """Return the text with a true minus sign, and none before a zero."""
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def name_of(row: Mapping[Any, Any], side: str = "") -> str:
    """Return the name of a row's configuration; `side` is "_a" or "_b" in a row of two."""
    return f"{row[f'model{side}']}/{row[f'strategy{side}']}"


def names_of(table: pd.DataFrame, side: str = "") -> list[str]:
    """Return `name_of` of every row."""
    return [name_of(row, side) for row in table.to_dict("records")]
