"""What the page says first: what was compared, what came of it, how sure that is, and what would decide the rest.

A reader who stops here has the answer. Every sentence is made from the tables, so that none says more than they show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from sweep.frames import ORDINARY_ARM, Configuration, Sweep
from sweep.matrices import paired
from sweep.report.differences import may_be_best
from sweep.report.pairs import tested
from sweep.report.words import between, count, listed, name_of, names_of, number, total_range
from sweep.settings import DEMO
from sweep.verdicts import UNDECIDED

PARTS = ("train", "validation", "test")
MOST_NAMES = 20
MOST_SEEDS = 20
"""More seeds than these nobody buys: beyond, the way out is told in test images."""

SPELLED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Tables = Mapping[str, pd.DataFrame]
Row = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The configuration to take for one purpose."""

    purpose: str
    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class FirstScreen:
    """Everything above the sections but the warnings."""

    completed: int
    """Trials, of all that were planned."""
    planned: int
    configurations: int
    condition: str
    """Which division and share of the images the page is of, where it is not the usual one or not alone."""
    incomplete: Sequence[Configuration]
    seeds: Sequence[int]
    images: Mapping[str, int]
    """Part -> its number of images."""
    hardware: Sequence[str]
    data: str
    """The data set, as the last call named it; nothing where it did not."""
    verdict: str
    """The answer, in a sentence."""
    sentences: Sequence[str] = ()
    """How sure it is, and what would decide the rest."""
    choices: Sequence[Choice] = ()
    """Most accurate, best for its training time, best calibrated: what of these there is."""


def first_screen(sweep: Sweep, tables: Tables, hardware: Sequence[str]) -> FirstScreen:
    """Return what the first screen says; `tables` are those of `all_tables`, the summary cut to this condition."""
    parts = sweep.class_counts.sum()
    best = best_on_validation(tables["summary"])
    verdict, sentences = _answer(sweep, tables, best)
    return FirstScreen(
        completed=int((sweep.trials["status"] == "completed").sum()),
        planned=len(sweep.trials),
        configurations=len(sweep.configurations),
        condition=_condition(sweep),
        incomplete=[each for each in sweep.configurations if not each.complete],
        seeds=list(dict.fromkeys(seed for each in sweep.configurations for seed in each.planned_seeds)),
        images={part: int(parts[part]) for part in PARTS if parts[part] or not sweep.imported},
        hardware=hardware,
        data=_data(sweep),
        verdict=verdict,
        sentences=sentences,
        choices=[] if best is None or len(tables["summary"]) < 2 else _choices(best, tables),
    )


def best_on_validation(summary: pd.DataFrame) -> Row | None:
    """Return the row with the highest mean accuracy on validation, or the only row there is."""
    judged = summary[summary["validation_accuracy_mean"].notna()].to_dict("records")
    if not judged and len(summary) == 1:
        judged = summary[summary["n_seeds"] > 0].to_dict("records")
    return max(judged, key=lambda row: row["validation_accuracy_mean"], default=None)


def _answer(sweep: Sweep, tables: Tables, best: Row | None) -> tuple[str, list[str]]:
    """Return the verdict, and the sentences that bound it."""
    ranking = tables["ranking"]
    may = names_of(may_be_best(ranking))
    if not any(each.records for each in sweep.configurations):
        return _nothing_yet(sweep), ["What was planned, and what failed, stands below."]
    if best is None:
        found = [_set_of(may, ranking, sweep)] if may else []
        return "No configuration is put first.", [
            "That choice needs validation images, and there are predictions of test images only.",
            *found,
        ]
    name = name_of(best)
    if len(tables["summary"]) == 1:
        return f"{name} scores {_percent(best)} on the test images.", [_score(best, sweep, chosen=False)]
    compared = names_of(ranking[ranking["in_best_set"].notna()])
    chosen = _score(best, sweep, chosen=True)
    rest, first = _unranked(sweep, ranking, name), f"{name} is best on validation{_level(best, tables['summary'])}"
    if name not in compared:
        why = f"it is not compared, for want of {_in_common(sweep)}" if may else _why_untold(sweep)
        return f"{first}; {why}.", [chosen, *([_set_of(may, ranking, sweep)] if may else []), *rest]
    others = [each for each in may if each != name]
    if name not in may:
        verdict = f"{first}, but by the test images it is not among the best."
        return verdict, [chosen, _set_of(may, ranking, sweep), *rest]
    if not others:
        verdict = f"{first}, and by the test images better than {_all_of(len(compared) - 1)}."
        return verdict, [chosen, f"It alone may be the best: {_set(1, ranking, sweep)}.", *rest]
    decides = _what_decides(name, others, tables["power"])
    if len(may) == len(compared) and (tested(tables["comparisons"])["verdict"] == UNDECIDED).all():
        verdict = f"Nothing is decided: any of the {_spelled(len(compared))} configurations may be the best."
        return verdict, [f"{first}. {chosen}", *decides, *rest]
    verdict = f"{first}; {_others(len(others))} may be as good."
    as_good = f"{listed(others, MOST_NAMES)} may be as good: {_set(len(may), ranking, sweep)}."
    return verdict, [chosen, as_good, *decides, *rest]


def _nothing_yet(sweep: Sweep) -> str:
    if not sweep.completed:
        return "No trial has completed yet, so there is nothing to compare."
    trials = f"{count(len(sweep.completed), 'trial has', 'trials have')} completed"
    return f"No seed has a record in every fold yet, so there is nothing to compare: {trials}, in single folds."


def _level(best: Row, summary: pd.DataFrame) -> str:
    """Say with how many others the best on validation is level to the last image."""
    others = int((summary["validation_accuracy_mean"] == best["validation_accuracy_mean"]).sum()) - 1
    return f", level with {_others(others)}" if others > 0 else ""


def _in_common(sweep: Sweep) -> str:
    folds = ", a seed counting once all its folds are there" if sweep.division.n_folds else ""
    return f"seeds in common with the others{folds}"


def _why_untold(sweep: Sweep) -> str:
    """Say why no configuration is compared with any other."""
    matrices = paired(sweep)
    if matrices is not None and not matrices.metrics:
        return "whether it is better than the others a single test image, or group of them, cannot tell"
    return "whether it is better than the others cannot be told: that takes two seeds that several have in common"


def _score(best: Row, sweep: Sweep, *, chosen: bool) -> str:
    """Say what the best on validation scores on the test images, and of what its interval is."""
    part = "On the test images, which had no part in that choice, it scores" if chosen else "That is"
    interval = _interval(best, "accuracy")
    score = f"{part} {_percent(best)}{f' {interval}' if interval else ''}"
    if best["n_seeds"] < 2:
        return (
            f"{score} with its only seed{'; the 95 % interval is for other images of this kind' if interval else ''}."
        )
    mean = f"{score}, the mean over {count(best['n_seeds'], 'seed')}"
    if not interval:
        return f"{mean}."
    return (
        f"{mean}; with 95 % confidence the brackets hold its mean over all seeds and all images of this kind"
        f"{', training images included as far as the folds tell' if sweep.division.n_folds else ''}. A single new "
        "training varies more."
    )


def _set_of(may: Sequence[str], ranking: pd.DataFrame, sweep: Sweep) -> str:
    return f"By the test images {listed(may, MOST_NAMES)} may be the best: {_set(len(may), ranking, sweep)}."


def _set(size: int, ranking: pd.DataFrame, sweep: Sweep) -> str:
    """Say how many of those compared are in the confidence set of the best, and what it lets vary."""
    of = int(ranking["in_best_set"].notna().sum())
    varied = "seeds and images, also in training" if sweep.division.n_folds else "seeds and test images"
    return (
        f"{size} of the {of} {'is' if size == 1 else 'are'} in the set that holds the best with 95 % confidence, over "
        f"{varied}"
    )


def _unranked(sweep: Sweep, ranking: pd.DataFrame, best: str) -> list[str]:
    left = [name for name in names_of(ranking[ranking["in_best_set"].isna()]) if name != best]
    if not left or len(left) == len(ranking) - 1:
        return []
    return [f"Not compared, for want of {_in_common(sweep)}: {listed(left)}."]


def _what_decides(best: str, others: Sequence[str], power: pd.DataFrame) -> list[str]:
    """Say what would tell the best on validation from the others that may be the best, pair by pair.

    Numbers are those at which a gap of the size that was found is shown with probability 1/2
    (`sweep.statistics.power`).
    """
    left = power[power["verdict"] == UNDECIDED].to_dict("records")
    pairs = {frozenset((name_of(row, "_a"), name_of(row, "_b"))): row for row in left}
    rows = {other: pairs[key] for other in others if (key := frozenset((best, other))) in pairs}
    if not rows:
        return []
    more_seeds = {name: int(row["seeds_needed"] - row["n_seeds"]) for name, row in rows.items() if _there(row, "seeds")}
    images = {name: int(row["units_needed"]) for name, row in rows.items() if _there(row, "units")}
    by_images = {name: images[name] for name in images if more_seeds.get(name, MOST_SEEDS + 1) > MOST_SEEDS}
    by_seeds = {name: more for name, more in more_seeds.items() if name not in by_images}
    neither = [name for name in rows if name not in by_images and name not in by_seeds]
    found = []
    if by_seeds:
        found.append(f"from {_listed(by_seeds)} with about {_range(by_seeds)} more seeds")
    if by_images:
        row = next(iter(rows.values()))
        unit = "test images" if row["units"] == "images" else "groups of test images"
        found.append(
            f"from {_listed(by_images)}, not with a few more seeds but with about {_range(by_images)} {unit} in place "
            f"of {row['n_units']:,}"
        )
    seem = "the gap is what it seems" if len(rows) == 1 else "the gaps are what they seem"
    told = [f"If {seem}, there is an even chance to tell it {'; '.join(found)}."] if found else []
    if neither:
        told.append(f"Neither more seeds alone nor more test images alone would tell it from {listed(neither)}.")
    return [" ".join(told)]


def _choices(best: Row, tables: Tables) -> list[Choice]:
    """Return the configuration for each purpose, of those purposes that the tables know something of."""
    summary, may = tables["summary"], names_of(may_be_best(tables["ranking"]))
    rows = {name_of(row): row for row in summary.to_dict("records")}
    chosen_by = "chosen on validation"
    if may and name_of(best) not in may:
        best = max((rows[name] for name in may), key=lambda row: row["accuracy_mean"])
        chosen_by = "chosen by these images themselves, among those that may be the best"
    accurate = f"{_percent(best)} {_interval(best, 'accuracy')} on the test images; {chosen_by}"
    found = [Choice(purpose="Most accurate", name=name_of(best), why=accurate)]
    timed = tables["efficiency"].to_dict("records") if "efficiency" in tables else []
    seconds = {name_of(row): row["training_seconds_mean"] for row in timed if not pd.isna(row["training_seconds_mean"])}
    if fast := min((name for name in may if name in seconds), key=lambda name: seconds[name], default=None):
        of = f"the least of the {len(may)} that may be the best" if len(may) > 1 else "and no other may be the best"
        score = f"{_percent(rows[fast])} {_interval(rows[fast], 'accuracy')}"
        why = f"{_duration(seconds[fast])} of training, {of}; {score}"
        found.append(Choice(purpose="Best for its training time", name=fast, why=why))
    return found + _calibrated(summary)


def _calibrated(summary: pd.DataFrame) -> list[Choice]:
    """Return the best calibrated, where some configuration is known to be less than well calibrated."""
    known = summary[summary["calibration_error"].notna()]
    if not len(known):
        return []
    if not (known["calibration_error_total_ci_low"] > 0).any():
        errors = between(100 * known["calibration_error"])
        why = f"calibration errors are {errors} %; none of {count(len(known), 'configuration')} is shown to be above 0"
        return [Choice(purpose="Best calibrated", name="Undecided", why=why)]
    # Of two with the same error as it is printed, the better one on validation.
    order = known.assign(printed=known["calibration_error"].round(3), validated=-known["validation_accuracy_mean"])
    honest = order.sort_values(["printed", "validated"], kind="stable").to_dict("records")[0]
    why = (
        f"calibration error {_percent(honest, 'calibration_error')} {_interval(honest, 'calibration_error')}, the "
        "lowest on these test images, by which it is also chosen; not tested"
    )
    return [Choice(purpose="Best calibrated", name=name_of(honest), why=why)]


def _data(sweep: Sweep) -> str:
    """Return what the last call that names its images calls them: the last part of a path."""
    if sweep.data is None:
        return ""
    return "faces drawn by animefer" if sweep.data == DEMO else PurePath(sweep.data).name


def _condition(sweep: Sweep) -> str:
    """Say of which division and share of the images the page is, where it is not the usual one or not alone."""
    told = [] if sweep.is_usual and not sweep.others else [sweep.condition]
    if arms := sum(record.arm != ORDINARY_ARM for each in sweep.conditions for record in each.records):
        told.append(f"{count(arms, 'trial')} in which one thing alone varied, under Spread alone")
    if sweep.others:
        told.append(f"also in this folder: {'; '.join(each.condition for each in sweep.others)}")
    return "; ".join(told)


def _percent(row: Row, metric: str = "accuracy") -> str:
    return f"{number(100 * row[metric if metric in row else f'{metric}_mean'], 1)} %"


def _interval(row: Row, metric: str) -> str:
    """Return "[77.9, 82.3]", the total interval in percent, or nothing where there is none."""
    ends = total_range(row, metric, 100, 1)
    return f"[{ends.replace(' to ', ', ')}]" if ends else ""


def _duration(seconds: float) -> str:
    return f"{number(seconds, 1)} s" if seconds < 100 else f"{number(seconds / 60, 1)} min"


def _range(numbers: Mapping[str, int]) -> str:
    """Return the least and the greatest, to two digits: they are estimates."""
    rounded = pd.Series([float(f"{value:.2g}") for value in numbers.values()])
    least, most = f"{rounded.min():,.0f}", f"{rounded.max():,.0f}"
    return least if least == most else f"{least} to {most}"


def _listed(names: Mapping[str, int]) -> str:
    """Name the others, the soonest decided first."""
    return listed(sorted(names, key=lambda name: names[name]))


def _all_of(others: int) -> str:
    return {1: "the other", 2: "both others"}.get(others, f"all {_others(others)}")


def _others(number_of: int) -> str:
    return f"{_spelled(number_of)} other{'s' if number_of > 1 else ''}"


def _spelled(number_of: int) -> str:
    return SPELLED[number_of] if number_of < len(SPELLED) else str(number_of)


def _there(row: Row, unit: str) -> bool:
    return not pd.isna(row[f"{unit}_needed"])
