"""What the training images do: results over random splits, and over shares of the training images, as tables."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.frames import Configuration, Sweep
from sweep.statistics import count_units, seed_interval, split_interval, spread_between, total_interval

LEVEL = 0.95
SPLIT_COLUMNS = [
    *("model", "strategy", "n_splits", "n_seeds", "accuracy_mean", "accuracy_ci_low", "accuracy_ci_high"),
    *("accuracy_min", "accuracy_max"),
]
CURVE_COLUMNS = [
    *("model", "strategy", "train_fraction", "train_images", "n_seeds", "accuracy_mean"),
    *("accuracy_ci_low", "accuracy_ci_high", "accuracy_total_ci_low", "accuracy_total_ci_high"),
]
LEAD_COLUMNS = [
    *("strategy", "models", "what", "train_fraction", "n_seeds", "lead", "lead_total_ci_low", "lead_total_ci_high"),
]
ALL, GROWTH = "all", "growth"
KINDS = ("vit", "resnet")
"""How the names of the models begin whose lead is asked for: the first over the second."""

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


def of_splits(sweep: Sweep) -> list[Sweep]:
    """Return the conditions that are single splits in the same proportions, with the sweep's own training share.

    Groups that stay together leave parts of splits a few images apart in size; other shares of the images leave more.
    """
    found = [each for each in sweep.conditions if not each.division.n_folds and same_share(each, sweep)]
    return [each for each in found if np.allclose(each.class_counts.sum(), found[0].class_counts.sum(), rtol=0.1)]


def of_shares(sweep: Sweep) -> list[Sweep]:
    """Return the conditions of the sweep's own division of the images, by their share of the training images."""
    same = [each for each in sweep.conditions if each.division == sweep.division]
    return sorted(same, key=lambda each: each.train_fraction)


def seeds_by_split(sweep: Sweep, configuration: Configuration) -> Floats | None:
    """Return a configuration's test accuracies, (splits, seeds that all of them have); None for a single split."""
    found = [other for each in of_splits(sweep) if (other := _same(each, configuration)) and other.seeds]
    common = [seed for seed in found[0].seeds if all(seed in each.seeds for each in found)] if found else []
    if len(found) < 2 or not common:
        return None
    return np.array([[each.values("accuracy")[each.seeds.index(seed)] for seed in common] for each in found])


def splits(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration that ran on several random splits: its mean for new images of all parts.

    The interval is that of the splits' means over common seeds (`split_interval`).
    """
    rows = []
    for each in sweep.configurations:
        accuracies = seeds_by_split(sweep, each)
        if accuracies is not None:
            means = accuracies.mean(axis=1)
            found = split_interval(means, _test_share(sweep), LEVEL)
            row = {"model": each.model, "strategy": each.strategy, "n_splits": found.n_splits}
            row |= {"n_seeds": accuracies.shape[1], "accuracy_mean": found.mean}
            if found.high > found.low:
                # Where nothing varied too little was seen to make an interval of.
                row |= {"accuracy_ci_low": max(0.0, found.low), "accuracy_ci_high": min(1.0, found.high)}
            rows.append(row | {"accuracy_min": float(means.min()), "accuracy_max": float(means.max())})
    return pd.DataFrame(rows, columns=SPLIT_COLUMNS)


def split_sources(sweep: Sweep, configuration: Configuration) -> Iterator[Row]:
    """Yield the spread of a configuration's accuracy between random splits, and between seeds within one."""
    accuracies = seeds_by_split(sweep, configuration)
    if accuracies is None or accuracies.shape[1] < 2:
        return
    between, within = spread_between(accuracies, LEVEL)
    for source, n, found in (
        ("splits beyond seeds", accuracies.shape[0], between),
        ("seeds within a split", accuracies.shape[1], within),
    ):
        yield {"source": source, "n": n, "sd": found.sd, "sd_low": found.low, "sd_high": found.high}


def shares(sweep: Sweep) -> pd.DataFrame:
    """Return one row a configuration and share of the training images: test accuracy with both intervals."""
    rows = [
        _at_share(condition, found)
        for each in sweep.configurations
        for condition in of_shares(sweep)
        if (found := _same(condition, each)) is not None and found.seeds
    ]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def _at_share(condition: Sweep, configuration: Configuration) -> Row:
    row: Row = {"model": configuration.model, "strategy": configuration.strategy}
    row |= {"train_fraction": condition.train_fraction, "train_images": train_images(condition)}
    values, outcomes = configuration.values("accuracy"), configuration.outcomes
    row |= {"n_seeds": len(values), "accuracy_mean": float(np.mean(values))}
    units = condition.units_of(outcomes)
    if outcomes is not None and count_units(outcomes.labels.size, units.groups) > 1:
        total = total_interval(outcomes.correct, LEVEL, *units)
        row |= {"accuracy_total_ci_low": total.low, "accuracy_total_ci_high": total.high}
    interval = seed_interval(values, LEVEL)
    return row if interval is None else row | {"accuracy_ci_low": interval.low, "accuracy_ci_high": interval.high}


def train_images(condition: Sweep) -> int:
    """Return on how many images the trials of a condition were trained; under folds on the first."""
    return int(condition.class_counts["train"].sum())


def lead(sweep: Sweep) -> pd.DataFrame:
    """Return how far the ViTs are ahead of the ResNets by share of the training images, and by how much more
    with the largest share than with the smallest.

    One row a strategy, share and growth, and the same over all strategies: means over the models of either kind that
    have the strategy at every share, named in the row, on the seeds that all of them have. Paired by seed and test
    image; total intervals, blank where nothing varied. Empty without both kinds or a second share.
    """
    conditions = of_shares(sweep)
    compared = [each for each in sweep.configurations if _kind(each) and all(_ran(c, each) for c in conditions)]
    both = [s for s in dict.fromkeys(e.strategy for e in compared) if _kinds_of(compared, s) == set(KINDS)]
    if len(conditions) < 2 or not both:
        return pd.DataFrame(columns=LEAD_COLUMNS)
    rows = [row for strategy in both for row in _lead_rows(conditions, compared, [strategy])]
    if len(both) > 1:
        rows += [row | {"strategy": ALL} for row in _lead_rows(conditions, compared, both)]
    return pd.DataFrame(rows, columns=LEAD_COLUMNS)


def _lead_rows(
    conditions: Sequence[Sweep], compared: Sequence[Configuration], strategies: Sequence[str]
) -> Iterator[Row]:
    """Yield the lead at every share, and its growth, a mean over some strategies."""
    own = [each for each in compared if each.strategy in strategies]
    seeds, outcomes = _common_seeds(conditions, own), own[0].outcomes
    units = conditions[0].units_of(outcomes)
    if not seeds or outcomes is None or count_units(outcomes.labels.size, units.groups) < 2:
        return
    at = [np.mean([_lead(c, own, s, seeds) for s in strategies], axis=0) for c in conditions]
    values = [("lead", c.train_fraction, value) for c, value in zip(conditions, at, strict=True)]
    named = {"strategy": strategies[0], "models": _models_of(own), "n_seeds": len(seeds)}
    for what, share, value in (*values, (GROWTH, np.nan, at[-1] - at[0])):
        found = total_interval(value, LEVEL, *units)
        row = named | {"what": what, "train_fraction": share, "lead": found.mean}
        limits = {"lead_total_ci_low": found.low, "lead_total_ci_high": found.high}
        yield row | (limits if found.variance_of_mean > 0 else {})


def _models_of(configurations: Sequence[Configuration]) -> str:
    """Return the models of either kind: "vit_s_16 − resnet18, resnet50"."""
    kinds = (dict.fromkeys(each.model for each in configurations if _kind(each) == kind) for kind in KINDS)
    return " − ".join(", ".join(models) for models in kinds)


def _lead(condition: Sweep, compared: Sequence[Configuration], strategy: str, seeds: Sequence[int]) -> Floats:
    """Return the lead's contribution of every common seed and test image, (seeds, images)."""
    own = [each for each in compared if each.strategy == strategy]
    one, other = (
        np.mean([_correct(condition, each, seeds) for each in own if _kind(each) == kind], axis=0) for kind in KINDS
    )
    return np.asarray(one - other)


def _correct(condition: Sweep, configuration: Configuration, seeds: Sequence[int]) -> Floats:
    found = _same(condition, configuration)
    if found is None or found.outcomes is None:
        raise ValueError(f"{configuration.name} has no outcomes there")
    return found.outcomes.correct[found.outcomes.rows(seeds)].astype(np.float64)


def _common_seeds(conditions: Sequence[Sweep], compared: Sequence[Configuration]) -> list[int]:
    """Return the seeds that every configuration has in every condition, in the first one's order."""
    there = [found.seeds for c, e in product(conditions, compared) if (found := _same(c, e)) is not None]
    return [seed for seed in there[0] if all(seed in seeds for seeds in there)] if there else []


def _kind(configuration: Configuration) -> str | None:
    return next((kind for kind in KINDS if configuration.model.startswith(kind)), None)


def _kinds_of(configurations: Sequence[Configuration], strategy: str) -> set[str | None]:
    return {_kind(each) for each in configurations if each.strategy == strategy}


def _ran(condition: Sweep, configuration: Configuration) -> bool:
    found = _same(condition, configuration)
    return found is not None and bool(found.seeds)


def _same(condition: Sweep, configuration: Configuration) -> Configuration | None:
    """Return the configuration of that name under another condition."""
    return next((each for each in condition.configurations if each.name == configuration.name), None)


def same_share(one: Sweep, other: Sweep) -> bool:
    """Whether two conditions have the same share of the training images."""
    return one.train_fraction == other.train_fraction


def _test_share(sweep: Sweep) -> float:
    """Return n_test/n_train of the splits, as the correction for their overlap takes it."""
    counts = of_splits(sweep)[0].class_counts.sum()
    return float(counts["test"] / counts["train"])
