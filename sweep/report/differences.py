"""What differs, how surely, and what would decide the rest: comparisons, effects, ranking and power as tables."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.frames import Configuration, Sweep, Units
from sweep.matrices import Matrices, per_image
from sweep.statistics import (
    Components,
    CrossSquares,
    Decision,
    Family,
    best_of,
    components,
    count_units,
    pair_contrasts,
    ranks_of,
    seed_interval,
    total_interval,
    what_decides,
)

LEVEL = 0.95
ERROR_RATE = 0.05
SMALLER_IS_BETTER = frozenset({"loss"})
FAMILIES: Mapping[str, Callable[[Configuration, Configuration], bool]] = {
    "all_pairs": lambda a, b: True,
    "strategies_within_model": lambda a, b: a.model == b.model,
    "models_within_strategy": lambda a, b: a.strategy == b.strategy,
}
INTERVALS = ["difference", "ci_low", "ci_high", "total_ci_low", "total_ci_high"]
TESTED = [*INTERVALS, "p", "p_adjusted", "verdict", "smallest_detectable"]
COMPARISON_COLUMNS = ["metric", "family", "model_a", "strategy_a", "model_b", "strategy_b", "n_seeds", *TESTED]
EFFECT_COLUMNS = ["metric", "effect", "a", "b", "n_seeds", *TESTED]
RANKING_COLUMNS = [
    *("model", "strategy", "validation_accuracy_mean", "test_accuracy_mean", "in_best_set", "rank_low", "rank_high"),
]
POWER_COLUMNS = [
    *("model_a", "strategy_a", "model_b", "strategy_b", "n_seeds", "units", "n_units", "difference"),
    *(
        "verdict",
        "seed_sd",
        "image_sd",
        "residual_sd",
        "training_sd",
        "smallest_detectable",
        "limit_of_seeds",
        "seeds_needed",
        "units_needed",
    ),
]

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


def comparisons(matrices: Matrices | None) -> pd.DataFrame:
    """Return one row a metric, family and pair: the difference a − b, its intervals, p, and a verdict for a.

    `ci_*` is Student's t over seeds on this test set, `total_ci_*` that pair's own total interval; `p_adjusted` and
    the verdict answer for the family. A pair with a configuration that had to leave the family has intervals only.
    """
    rows: list[Row] = []
    if matrices is not None:
        for metric in matrices.metrics:
            rows += [*_of_families(matrices, metric), *_of_left_out(matrices, metric)]
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _of_families(matrices: Matrices, metric: str) -> Iterator[Row]:
    contrasts = pair_contrasts(len(matrices.configurations))
    pairs = list(itertools.combinations(matrices.configurations, 2))
    for family, belongs in FAMILIES.items():
        chosen = [row for row, pair in enumerate(pairs) if belongs(*pair)]
        judged = judge(matrices, metric, contrasts[chosen])
        for (a, b), row in zip((pairs[place] for place in chosen), judged, strict=True):
            yield {"metric": metric, "family": family} | _pair(a, b) | row


def _of_left_out(matrices: Matrices, metric: str) -> Iterator[Row]:
    for a, b in itertools.combinations((*matrices.configurations, *matrices.left_out), 2):
        if b not in matrices.left_out:
            continue
        row = _pair(a, b) | {"verdict": "undecided"} | _own_interval(a, b, metric, matrices)
        yield from ({"metric": metric, "family": family} | row for family, has in FAMILIES.items() if has(a, b))


def judge(matrices: Matrices, metric: str, contrasts: Floats) -> list[Row]:
    """Return intervals, p and verdict of every contrast (contrasts, configurations), as one family.

    With a single seed the intervals are of the test images alone and nothing is decided.
    """
    over_seeds = [_over_seeds(row) for row in contrasts @ matrices.seed_means(metric)]
    rows: list[Row] = [{"n_seeds": matrices.n_seeds, "verdict": "undecided"} | limits for limits in over_seeds]
    if matrices.n_seeds < 2:
        values = matrices.values(metric)
        for row, contrast in zip(rows, contrasts, strict=True):
            row |= _total(np.tensordot(contrast, values, 1), matrices.units)
        return rows
    found = matrices.model(metric).family(contrasts, LEVEL)
    for place, row in enumerate(rows):
        row |= _judged(found, place, metric)
    return rows


def _judged(family: Family, place: int, metric: str) -> Row:
    row: Row = {"difference": float(family.difference[place])}
    if family.standard_error[place] == 0:
        # Nothing varied: too little was seen to make an interval of, or to judge by.
        return row | {"p": family.p[place], "p_adjusted": family.p_adjusted[place], "verdict": "undecided"}
    return row | {
        "total_ci_low": family.low[place],
        "total_ci_high": family.high[place],
        "p": family.p[place],
        "p_adjusted": float(family.p_adjusted[place]),
        "verdict": verdict_of(family, place, metric),
        "smallest_detectable": family.smallest_detectable[place],
    }


def verdict_of(family: Family, place: int, metric: str) -> str:
    """Return better, worse or undecided, of a against b: of one contrast of a family."""
    return verdict(float(family.difference[place]), float(family.p_adjusted[place]), metric)


def verdict(difference: float, p_adjusted: float, metric: str) -> str:
    """Return better, worse or undecided, of a against b."""
    if not p_adjusted < ERROR_RATE or difference == 0:
        return "undecided"
    return "better" if (difference > 0) != (metric in SMALLER_IS_BETTER) else "worse"


def _own_interval(a: Configuration, b: Configuration, metric: str, matrices: Matrices) -> Row:
    """Return a pair's difference on the seeds that the two share, by its own mean squares alone."""
    shared = matrices.match([a, b])
    row: Row = {"n_seeds": len(shared[0])}
    if not shared[0] or a.outcomes is None or b.outcomes is None:
        return row
    of_a, of_b = (
        per_image(each, metric, matrices.n_classes)[each.rows(seeds)]
        for each, seeds in zip((a.outcomes, b.outcomes), shared, strict=True)
    )
    return row | _over_seeds((of_a - of_b).mean(axis=1)) | _total(of_a - of_b, matrices.units)


def _over_seeds(values: Floats) -> Row:
    """Return the seed interval of differences (seeds,); blank for a single seed."""
    interval = seed_interval(values, LEVEL)
    return {} if interval is None else {"ci_low": interval.low, "ci_high": interval.high}


def _total(values: Floats, units: Units) -> Row:
    """Return the total interval of (seeds, images) differences; blank for a single test image or group."""
    row: Row = {"difference": float(values.mean())}
    if count_units(values.shape[1], units.groups) > 1:
        total = total_interval(values, LEVEL, *units)
        row |= {"total_ci_low": total.low, "total_ci_high": total.high}
    return row


def effects(matrices: Matrices | None) -> pd.DataFrame:
    """Return main effects and interaction, where every model was trained under every strategy.

    Of strategies: pairs of means over all models; of models: pairs of means over all strategies; interaction: how far
    one cell (model a, strategy b) is from what the two main effects say; with two models or two strategies half of
    the cells say the same with the other sign, and are left out. Each of the three is a family by itself.
    """
    grid = None if matrices is None else _grid(matrices.configurations)
    if matrices is None or grid is None:
        return pd.DataFrame(columns=EFFECT_COLUMNS)
    rows: list[Row] = []
    for metric in matrices.metrics:
        for effect, named in grid.items():
            judged = judge(matrices, metric, np.array(list(named.values())))
            rows += [
                {"metric": metric, "effect": effect, "a": a, "b": b} | row
                for (a, b), row in zip(named, judged, strict=True)
            ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


Named = dict[tuple[str, str], Floats]


def _grid(configurations: Sequence[Configuration]) -> dict[str, Named] | None:
    """Return the contrasts of each effect by name; None where the grid has holes or no two of either factor."""
    models = list(dict.fromkeys(each.model for each in configurations))
    strategies = list(dict.fromkeys(each.strategy for each in configurations))
    if len(configurations) != len(models) * len(strategies) or len(configurations) < 2:
        return None
    of_model = np.array([[each.model == model for each in configurations] for model in models]) / len(strategies)
    of_strategy = np.array([[each.strategy == name for each in configurations] for name in strategies]) / len(models)
    effects: dict[str, Named] = {}
    if len(strategies) > 1:
        effects["strategy"] = _pairs(strategies, of_strategy)
    if len(models) > 1:
        effects["model"] = _pairs(models, of_model)
    if len(strategies) > 1 and len(models) > 1:
        # A cell less what its row and its column say: e − row mean − column mean + grand mean.
        own = np.eye(len(configurations)) + 1 / len(configurations)
        effects["interaction"] = {
            (each.model, each.strategy): cell
            - of_model[models.index(each.model)]
            - of_strategy[strategies.index(each.strategy)]
            for each, cell in zip(configurations, own, strict=True)
            if not (len(models) == 2 and each.model == models[1])
            and not (len(strategies) == 2 and each.strategy == strategies[1])
        }
    return effects


def _pairs(names: Sequence[str], means: Floats) -> Named:
    return {(names[a], names[b]): means[a] - means[b] for a, b in itertools.combinations(range(len(names)), 2)}


def ranking(sweep: Sweep, matrices: Matrices | None) -> pd.DataFrame:
    """Return one row a configuration: validation and test accuracy, whether it may be the best, and its ranks.

    Best is on the test images. Blank where a configuration left the family, or nothing can be told from one seed.
    """
    places: dict[str, Row] = {}
    if _accuracy_is_judged(matrices):
        count = len(matrices.configurations)
        model = matrices.model("accuracy")
        best, ranks = best_of(model, count, LEVEL), ranks_of(model, count, LEVEL)
        for name, stays, (low, high) in zip(matrices.names, best, ranks, strict=True):
            places[name] = {"in_best_set": bool(stays), "rank_low": low, "rank_high": high}
    rows = [
        {"model": each.model, "strategy": each.strategy}
        | {"test_accuracy_mean": _mean(each.values("accuracy"))}
        | {"validation_accuracy_mean": _mean([float(r.validation["accuracy"]) for r in each.records if r.validation])}
        | places.get(each.name, {})
        for each in sweep.configurations
    ]
    table = pd.DataFrame(rows, columns=RANKING_COLUMNS)
    return table.astype({"in_best_set": "boolean", "rank_low": "Int64", "rank_high": "Int64"})


def may_be_best(ranking: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the ranking whose configurations stay in the set of the best."""
    return ranking[ranking["in_best_set"].fillna(value=False).astype(bool)]


def power(matrices: Matrices | None) -> pd.DataFrame:
    """Return one row a pair: the components of its accuracy difference's variance, and what would decide it.

    `limit_of_seeds` is the smallest difference that any number of seeds could show on these test images. Of an
    undecided pair, `seeds_needed` and `units_needed` count those that are there too; blank: no number suffices. A
    decided pair has neither. Corrected for all pairs.
    """
    if not _accuracy_is_judged(matrices):
        return pd.DataFrame(columns=POWER_COLUMNS)
    contrasts = pair_contrasts(len(matrices.configurations))
    model = matrices.model("accuracy")
    family, squares = model.family(contrasts, LEVEL), model.squares
    rows = []
    for place, (a, b) in enumerate(itertools.combinations(matrices.configurations, 2)):
        difference, word = float(family.difference[place]), verdict_of(family, place, "accuracy")
        parts, decision = decision_of(squares, family, contrasts[place], place)
        needed = {"seeds_needed": decision.seeds, "units_needed": decision.images} if word == "undecided" else {}
        rows.append(
            _pair(a, b)
            | {"n_seeds": squares.n_seeds, "n_units": squares.n_units, "difference": difference, "verdict": word}
            | {"units": "images" if matrices.units.groups is None else "groups"}
            | {"seed_sd": parts.seed**0.5, "image_sd": parts.image**0.5, "residual_sd": parts.residual**0.5}
            | ({"training_sd": parts.training**0.5} if matrices.units.folds is not None else {})
            | {"smallest_detectable": family.smallest_detectable[place], "limit_of_seeds": decision.limit}
            | needed
        )
    return pd.DataFrame(rows, columns=POWER_COLUMNS).astype({"seeds_needed": "Int64", "units_needed": "Int64"})


def _accuracy_is_judged(matrices: Matrices | None) -> TypeGuard[Matrices]:
    """Whether two configurations can be compared in accuracy: over two seeds, and two test images or groups."""
    return (
        matrices is not None
        and "accuracy" in matrices.metrics
        and matrices.n_seeds > 1
        and len(matrices.configurations) > 1
    )


def decision_of(squares: CrossSquares, family: Family, contrast: Floats, place: int) -> tuple[Components, Decision]:
    """Return the components of one contrast of a family, and what would decide it; `place` is its row there."""
    parts = components(squares, contrast, float(family.standard_error[place]))
    difference, critical = float(family.difference[place]), critical_value(family, place)
    return parts, what_decides(difference, parts, squares.n_seeds, squares.n_units, critical)


def critical_value(family: Family, place: int) -> float:
    """Return how many standard errors a contrast must be from zero to be told from it."""
    error = float(family.standard_error[place])
    return float(family.smallest_detectable[place]) / error if error > 0 else 1.0


def _pair(a: Configuration, b: Configuration) -> Row:
    return {"model_a": a.model, "strategy_a": a.strategy, "model_b": b.model, "strategy_b": b.strategy}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
