"""One comparison that a user names beforehand, in words."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from animefer_core.errors import InputError
from sweep.frames import Configuration, Sweep
from sweep.matrices import Matrices, paired, paired_alone
from sweep.report.differences import LEVEL, Floats, critical_value, decision_of, judge
from sweep.report.words import chance, count, span
from sweep.statistics import Decision, total_interval

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One line of a comparison: a configuration's mean test accuracy, or the difference of two."""

    name: str
    value: float
    """In percent, or points."""
    low: float
    """Of the 95 % total interval, over the images alone where there is one seed; NaN where nothing varied."""
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two configurations differ, on the seeds that both have and the same test images."""

    lines: tuple[Estimate, Estimate, Estimate]
    """Both configurations, and the first less the second."""
    p: float
    """Of no difference, not corrected; NaN with one seed."""
    n_seeds: int
    n_images: int
    words: str


def compare(sweep: Sweep, first: str, second: str) -> Comparison:
    """Return how two configurations (model/strategy) differ in test accuracy, and in words what would decide it.

    The comparison is not corrected for others, and says so. Its seed variances are estimated from all configurations
    of the sweep; from the two alone where one has too few seeds in common with the others. Raises InputError for a
    configuration that the sweep does not have, and for two that have no seed in common.
    """
    a, b = _find(sweep, first), _find(sweep, second)
    if a is b:
        raise InputError(f"compare: {first} is named twice; give two configurations.")
    if lacking := [each for each in (a, b) if not each.records]:
        raise InputError(f"compare: {lacking[0].name} has no results yet; run `animefer sweep` again for them.")
    matrices = paired(sweep)
    alone = matrices is None or not {a.name, b.name} <= set(matrices.names)
    if alone:
        matrices = paired_alone(sweep, (a, b))
    if matrices is None:
        raise InputError(f"compare: {a.name} and {b.name} have no seed in common; run one with the seeds of the other.")
    if not matrices.metrics:
        raise InputError("compare: a single test image or group cannot tell two configurations apart.")
    contrast = np.zeros(len(matrices.names))
    contrast[matrices.names.index(a.name)], contrast[matrices.names.index(b.name)] = 1.0, -1.0
    (row,) = judge(matrices, "accuracy", contrast[None])
    words = _in_words(sweep, matrices, (a, b), contrast, row)
    if alone:
        words.append(
            "One of them shares too few seeds with the others: what seeds do is estimated from these two alone."
        )
    low, high = row.get("total_ci_low", math.nan), row.get("total_ci_high", math.nan)
    difference = Estimate(name="difference", value=100 * row["difference"], low=100 * low, high=100 * high)
    return Comparison(
        lines=(*_means(matrices, (a, b)), difference),
        p=row.get("p", math.nan),
        n_seeds=matrices.n_seeds,
        n_images=matrices.n_images,
        words=" ".join(words),
    )


def _means(matrices: Matrices, pair: tuple[Configuration, Configuration]) -> tuple[Estimate, Estimate]:
    """Return both configurations' accuracy over the seeds that are compared."""

    def mean(configuration: Configuration) -> Estimate:
        total = total_interval(correct[matrices.names.index(configuration.name)], LEVEL, *matrices.units)
        return Estimate(name=configuration.name, value=100 * total.mean, low=100 * total.low, high=100 * total.high)

    correct = matrices.common(lambda outcomes: outcomes.correct)
    return mean(pair[0]), mean(pair[1])


def _in_words(
    sweep: Sweep,
    matrices: Matrices,
    pair: tuple[Configuration, Configuration],
    contrast: Floats,
    row: Mapping[str, Any],
) -> list[str]:
    a, b = pair
    n_seeds, n_images = matrices.n_seeds, matrices.n_images
    interval = span(row.get("total_ci_low"), row.get("total_ci_high"), 100)
    kind = "total interval" if n_seeds > 1 else "interval of the test images alone"
    told = f"95 % {kind} {interval}" if interval else "no interval: nothing varied"
    counts = f"{count(n_seeds, 'seed')} × {count(n_images, 'image')}"
    words = [f"{_opening(a, b, row['difference'])} ({told}; {counts})."]
    if n_seeds < 2:
        return [*words, "Not decided: with one seed nothing tells the seeds' chance from a difference."]
    decided = "Not decided" if row["verdict"] == "undecided" else "Decided"
    words.append(f"{decided} ({_p(row['p'])}; one comparison named beforehand, not corrected for others).")
    if row["verdict"] == "undecided" and row["difference"] != 0 and interval:
        words.append(_advice(sweep, matrices, contrast))
    if not sweep.is_usual:
        words.append(f"All of it on {sweep.condition}.")
    return words


def _advice(sweep: Sweep, matrices: Matrices, contrast: Floats) -> str:
    """Say which of the two to buy, seeds or test images."""
    model = matrices.model("accuracy")
    squares, family = model.squares, model.family(contrast[None], LEVEL)
    parts, decision = decision_of(squares, family, contrast, 0)
    n_images, all_images = matrices.n_images, len(sweep.split_file.images)
    if sweep.imported or all_images == n_images:
        return advice(decision, None, matrices.units.groups is not None)
    # Folds test every image once; groups, where there are any, grow in the same proportion.
    detectable = critical_value(family, 0) * math.sqrt(
        parts.variance(squares.n_seeds, squares.n_units * all_images / n_images)
    )
    return advice(
        decision, Folds(images=all_images, detectable=detectable, decides=abs(decision.difference) >= detectable)
    )


@dataclass(frozen=True, kw_only=True)
class Folds:
    """What testing every image once, in folds, would do for a comparison."""

    images: int
    detectable: float
    """The smallest difference that would be told from zero."""
    decides: bool
    """Whether the difference that was found would be."""


def advice(decision: Decision, folds: Folds | None, grouped: bool = False) -> str:
    """Say what would decide a difference; `folds` is None where no images are left to test.

    `grouped` says that what is drawn are groups of test images.
    """
    limit = f"{100 * decision.limit:.1f} points on this test set"
    if decision.seeds is not None:
        seeds = count(decision.seeds, "seed")
        found = f"If the gap is what it seems, about {seeds} in all would decide it, at even chances"
        return f"{found}; no number of them decides a gap under {limit}." if decision.limit >= 0.0005 else f"{found}."
    seeds = f"More seeds alone will not decide a gap under {limit}"
    if folds is not None:
        by_folds = f"{FOLDS} folds (--folds {FOLDS}), which test all {folds.images:,} images,"
        if folds.decides:
            return f"{seeds}; if it is what it seems, {by_folds} would, at even chances."
        return f"{seeds}, and with {by_folds} a gap would have to be {100 * folds.detectable:.1f} points."
    if decision.images is not None:
        images = count(
            decision.images, *(("group of test images", "groups of test images") if grouped else ("test image",))
        )
        return f"{seeds}; if it is what it seems, about {images} in all would, at even chances."
    return f"{seeds}, and more test images alone will not either."


def _opening(a: Configuration, b: Configuration, difference: float) -> str:
    if difference == 0:
        return f"{a.name} and {b.name} are equally accurate"
    return f"{a.name} is {100 * abs(difference):.1f} points {'better' if difference > 0 else 'worse'} than {b.name}"


def _find(sweep: Sweep, name: str) -> Configuration:
    names = {each.name: each for each in sweep.configurations}
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or list(names)[:3]
        raise InputError(f"compare: there is no configuration {name!r} in this sweep; perhaps {', '.join(near)}.")
    return names[name]


def _p(value: float) -> str:
    return f"p {chance(value)}" if value < 0.001 else f"p = {chance(value)}"
