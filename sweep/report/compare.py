"""One comparison that a user names beforehand, in words."""

import difflib
import math

import numpy as np

from animefer_core.errors import InputError
from sweep.frames import Configuration, Sweep
from sweep.matrices import Matrices, paired
from sweep.report.differences import LEVEL, critical_value, judge
from sweep.report.words import chance, count, span
from sweep.statistics import Decision, components, what_decides

FOLDS = 5


def compare(sweep: Sweep, first: str, second: str) -> str:
    """Return a paragraph on how two configurations (model/strategy) differ in test accuracy, and what would decide it.

    The comparison is not corrected for others, and says so. Raises InputError for a configuration that the sweep
    does not have, that has no results, or that shares too few seeds with the others.
    """
    a, b = _find(sweep, first), _find(sweep, second)
    if a is b:
        raise InputError(f"compare: {first} is named twice; give two configurations.")
    matrices = paired(sweep)
    for each in (a, b):
        if matrices is None or each.name not in matrices.names:
            raise InputError(
                f"compare: {each.name} has results of {len(each.records)} of {len(each.planned_seeds)} seeds, too few "
                "in common with the others; run `animefer sweep` again for those that are missing."
            )
    if matrices is None or not matrices.metrics:
        raise InputError("compare: a single test image or group cannot tell two configurations apart.")
    return _in_words(sweep, matrices, a, b)


def _in_words(sweep: Sweep, matrices: Matrices, a: Configuration, b: Configuration) -> str:
    contrast = np.zeros(len(matrices.names))
    contrast[matrices.names.index(a.name)], contrast[matrices.names.index(b.name)] = 1.0, -1.0
    (row,) = judge(matrices, "accuracy", contrast[None])
    n_seeds, n_images = matrices.n_seeds, matrices.n_images
    words = [
        f"{_opening(a, b, row['difference'])} "
        f"(95 % total interval {span(row['total_ci_low'], row['total_ci_high'], 100)}; "
        f"{count(n_seeds, 'seed')} × {count(n_images, 'image')})."
    ]
    if n_seeds < 2:
        words.append("Not decided: with one seed nothing tells the seeds' chance from a difference.")
        return " ".join(words)
    words.append(
        f"{'Not decided' if row['verdict'] == 'undecided' else 'Decided'} ({_p(row['p'])}; one comparison named "
        "beforehand, not corrected for others)."
    )
    if row["verdict"] == "undecided":
        squares, family = matrices.model("accuracy").squares, matrices.model("accuracy").family(contrast[None], LEVEL)
        parts, critical = components(squares, contrast, float(family.standard_error[0])), critical_value(family, 0)
        decision = what_decides(row["difference"], parts, squares.n_seeds, squares.n_units, critical)
        all_images = len(sweep.split_file.images)
        # Folds test every image once; groups, where there are any, grow in the same proportion.
        in_folds = squares.n_units * all_images / n_images
        folds = critical * math.sqrt(parts.variance(n_seeds, in_folds))
        words.append(_advice(row["difference"], decision, folds, all_images))
    return " ".join(words)


def _advice(difference: float, decision: Decision, folds: float, all_images: int) -> str:
    """Say which of the two to buy, seeds or test images."""
    limit = f"a gap under {100 * decision.limit:.1f} points on this test set"
    if decision.seeds is not None:
        seeds = count(decision.seeds, "seed")
        return f"If the gap is what it seems, about {seeds} would decide it; no number of them decides {limit}."
    by_folds = f"{FOLDS} folds, which test all {all_images:,} images,"
    if abs(difference) >= folds:
        return f"More seeds alone will not decide {limit}; if it is what it seems, {by_folds} would."
    return (
        f"More seeds alone will not decide {limit}, and with {by_folds} a gap would have to be "
        f"{100 * folds:.1f} points."
    )


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
