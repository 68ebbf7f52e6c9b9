"""The sentence or two with which every section opens: what was found, from the numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweep.claims import CAUTION
from sweep.frames import Sweep
from sweep.report.conditions import GROWTH
from sweep.report.differences import may_be_best
from sweep.report.first_screen import Row
from sweep.report.gains import of_best
from sweep.report.readable import VIEWS
from sweep.report.words import between, count, listed, name_of, names_of, number, span
from sweep.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED

MOST_NAMES = 20
MOST_WITHIN = 4
"""Models, or strategies, within which verdicts are told one by one."""


def of_ranking(table: pd.DataFrame) -> str:
    """Name the configurations that may be the best, and say how many were not ranked."""
    compared = table[table["in_best_set"].notna()]
    may = may_be_best(table)
    names = names_of(may)
    first = f"Of {count(len(compared), 'configuration')} {len(names)} may be the best on images like these: "
    left = len(table) - len(compared)
    rest = f" Not ranked: {count(left, 'configuration')}, for want of seeds in common with the others." if left else ""
    return f"{first}{listed(names, MOST_NAMES)}.{rest}"


def of_differences(pairs: pd.DataFrame, effects: pd.DataFrame) -> str:
    """Say what is decided between strategies and between models, and of how many pairs, a paragraph each.

    Both tables are of accuracy.
    """
    found = []
    depends = effects[effects["effect"] == "interaction"]["verdict"].isin(("better", "worse")).any()
    for effect, over, within in (("strategy", "model", "strategies"), ("model", "strategy", "models")):
        if not len(family := effects[effects["effect"] == effect]):
            continue
        average = f"{'On average over' if depends else 'Over'} the {_several(over)} compared, {_orders(family)}."
        # Means over models that a strategy serves differently say little of any one of them.
        first = [_within(pairs[pairs["family"] == f"{within}_within_{over}"], over, within)] if depends else []
        found.append(" ".join([*first, average]))
    if not len(effects):
        found.append(
            "No effects of models and strategies: they take two of one of them, and results on enough common seeds of "
            "every combination."
        )
    return "\n".join([*found, _of_pairs(pairs[pairs["family"] == "all_pairs"])])


def _of_pairs(pairs: pd.DataFrame) -> str:
    tested = pairs[pairs["p_adjusted"].notna()]
    if not len(tested):
        return "No pair is tested: that takes two configurations with two seeds in common."
    decided = int((tested["verdict"] != UNDECIDED).sum())
    found = [f"Of {count(len(tested), 'pair')} of configurations {_how_many(decided, len(tested))} decided."]
    if left := len(pairs) - len(tested):
        found.append(f"{left} could not be tested, for want of seeds in common.")
    needed = between(100 * tested["smallest_detectable"])
    return " ".join([*found, f"To be shown among them, a difference in accuracy had to reach {needed} points."])


def _several(side: str) -> str:
    return {"model": "models", "strategy": "strategies"}[side]


def _within(family: pd.DataFrame, over: str, within: str) -> str:
    """Say which strategies are better within each model, or models within each strategy, where any is."""
    tested = family[family["p_adjusted"].notna()]
    decided = tested[tested["verdict"] != UNDECIDED]
    side = {"strategies": "strategy", "models": "model"}[within]
    told = [
        f"Of {count(len(tested), 'pair')} of {within} within a {over} {_how_many(len(decided), len(tested))} decided"
    ]
    names = decided[f"{over}_a"].unique().tolist()
    for name in names[:MOST_WITHIN]:
        rows = tested[tested[f"{over}_a"] == name]
        told.append(f"{name}: {_orders(rows.assign(a=rows[f'{side}_a'], b=rows[f'{side}_b']))}")
    if left := len(names) - MOST_WITHIN:
        told += [f"Some of {count(left, f'further {over}', f'further {_several(over)}')} too"] if left > 0 else []
    return ". ".join(told) + "."


def _orders(family: pd.DataFrame) -> str:
    """Say which of a family's rows, (a, b) with a verdict on a, are decided: the better ones by the worse one."""
    worse: dict[str, list[str]] = {}
    for row in family.to_dict("records"):
        if row["verdict"] != UNDECIDED:
            better, other = (row["a"], row["b"]) if row["verdict"] == "better" else (row["b"], row["a"])
            worse.setdefault(other, []).append(better)
    if not worse:
        return "nothing is decided" if family["p"].notna().any() else "nothing is tested"
    told = [
        f"{listed(better, MOST_NAMES)} {'is' if len(better) == 1 else 'are'} better than {other}"
        for other, better in worse.items()
    ]
    rest = "" if sum(map(len, worse.values())) == len(family) else "; the rest is undecided"
    return "; ".join(told) + rest


def _how_many(decided: int, of: int) -> str:
    return "none is" if not decided else "all are" if decided == of else f"{decided} {'is' if decided == 1 else 'are'}"


def of_power(power: pd.DataFrame) -> str:
    """Say for how many undecided pairs more seeds, or more test images, would give an even chance of a verdict."""
    left = power[power["verdict"] == UNDECIDED]
    if not len(left):
        return "Nothing is left to decide: every pair is."
    units = "test images" if (power["units"] == "images").all() else "groups of test images"
    by_seeds, by_units = (int(left[f"{unit}_needed"].notna().sum()) for unit in ("seeds", "units"))
    found = (
        f"If each gap is what it seems, more seeds alone would give {by_seeds} of "
        f"{count(len(left), 'undecided pair')} an even chance of a verdict, more {units} alone {by_units}."
    )
    limit = number(100 * left["limit_of_seeds"].median(), 1)
    if float(limit) > 0:
        found += f" For half of these pairs even endless seeds would not decide a gap under {limit} points."
    return found


def of_gains(gains: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Say how much fine-tuning brings over the linear probe, and class by class under each model's best strategy."""
    whole = gains[(gains["metric"] == "accuracy") & gains["gain"].notna()]
    if not len(whole):
        return ""
    by_class = of_best(gains, summary)
    by_class = by_class[by_class["gain"].notna()]
    found = (
        f"Beside the linear probe of the same model, fine-tuning changes test accuracy by "
        f"{between(100 * whole['gain'])} points; {_excluding(whole, 'configuration')}."
    )
    if len(by_class):
        found += (
            " Class by class, F1 changes by "
            f"{between(100 * by_class['gain'])} points under the strategy of each model that is best on validation; "
            f"{_excluding(by_class, 'row')}."
        )
    return f"{found} These are intervals of single rows; verdicts stand under Differences."


def _excluding(rows: pd.DataFrame, of: str) -> str:
    """Say for how many rows of a table of gains the total interval excludes 0, and on which side of it."""
    above, below = int((rows["total_ci_low"] > 0).sum()), int((rows["total_ci_high"] < 0).sum())
    sides = f" ({above} above it, {below} below)" if below else ""
    return f"the total interval excludes 0 for {above + below} of {count(len(rows), of)}{sides}"


def of_calibration(table: pd.DataFrame) -> str:
    """Say how large calibration errors are, and how many are shown to be above 0."""
    known = table[table["calibration_error"].notna()]
    if not len(known):
        return ""
    away = int((known["calibration_error_total_ci_low"] > 0).sum())
    shown = "" if away else "No configuration is shown to be badly calibrated: the"
    return (
        f"{shown or 'The'} calibration error is {between(100 * known['calibration_error'])} %; for {away or 'none'} of "
        f"{count(len(known), 'configuration')} its total interval excludes 0."
    )


def of_ensembles(table: pd.DataFrame, best: Row | None) -> str:
    """Say what averaging the seeds of a configuration brings, that of `best` by itself."""
    if not len(table):
        return ""
    rows = {(row["model"], row["strategy"]): row for row in table.to_dict("records")}
    chosen = rows.get((best["model"], best["strategy"])) if best else None
    ensemble = (
        f" That of {name_of(best)}, best on validation, has {number(100 * chosen['accuracy'], 1)} % "
        f"where its seeds have {number(100 * chosen['single_accuracy_mean'], 1)} %."
        if best and chosen and len(rows) > 1
        else ""
    )
    gain = 100 * (table["accuracy"] - table["single_accuracy_mean"])
    across = f" on average, by configuration {between(gain)}" if len(gain) > 1 else ""
    return (
        f"One model that averages its seeds' probabilities has {number(abs(gain.mean()), 1)} points "
        f"{'higher' if gain.mean() >= 0 else 'lower'} accuracy than they have by themselves{across}; this is not "
        f"tested.{ensemble}"
    )


def of_variance(table: pd.DataFrame) -> str:
    """Say how far seeds spread, how much of that the test set explains, and how far other sources do."""
    seeds = table[(table["source"] == "seeds") & table["sd"].notna()]
    if not len(seeds):
        return ""
    share = seeds["share_of_test_set"].median()
    over = " (median over configurations)" if len(seeds) > 1 else ""
    told = f" About {number(100 * share, 0)} % of that variance{over} comes of the test images being few: an estimate."
    return (
        f"Between seeds test accuracy has a standard deviation of {between(100 * seeds['sd'])} "
        f"points.{'' if pd.isna(share) else told}{_other_spreads(table)}"
    )


def _other_spreads(table: pd.DataFrame) -> str:
    """Say the median standard deviation of every source that only some sweeps have."""
    sd = 100 * table[table["sd"].notna()].groupby("source", sort=False)["sd"].median()
    told = [f"{source} {number(sd[source], 1)}" for source in sd.index if source not in USUAL]
    over = ", median over configurations" if table[["model", "strategy"]].drop_duplicates().shape[0] > 1 else ""
    if not told:
        return ""
    return (
        f" Standard deviation in points{over}: seeds {number(sd['seeds'], 1)}, {listed(told, 20)}; each has its "
        "interval in the table, a wide one where folds, splits or seeds are few."
    )


USUAL = ("seeds", "seeds, means over folds", "seeds, endless test set", "test images", "groups of test images")
"""Sources of every sweep."""


def of_splits(tables: Mapping[str, pd.DataFrame]) -> str:
    """Say what random splits move."""
    rows = tables["splits"].to_dict("records")
    best = max(rows, key=lambda row: row["accuracy_mean"])
    mean, low, high = (f"{number(100 * best[f'accuracy_{end}'], 1)} %" for end in ("mean", "min", "max"))
    found = (
        f"Over {count(best['n_splits'], 'random split')} {name_of(best)} has the highest mean "
        f"accuracy, {mean}; by the split it has {low} to {high}."
    )
    spread = tables["variance"]
    sd = {name: 100 * part["sd"].median() for name, part in spread[spread["sd"].notna()].groupby("source")}
    if "splits beyond seeds" not in sd:
        return found
    return (
        f"{found} Splits move accuracy by a standard deviation of {number(sd['splits beyond seeds'], 1)} points "
        f"beyond what seeds explain, seeds within a split by {number(sd['seeds within a split'], 1)} (medians over "
        "configurations). Nothing is tested here."
    )


def of_shares(table: pd.DataFrame, lead: pd.DataFrame) -> str:
    """Say what more training images bring, and whether the ViTs' lead grows with them."""
    ends = table.groupby(["model", "strategy"], sort=False)["accuracy_mean"]
    least, most = (f"{number:,}" for number in (table["train_images"].min(), table["train_images"].max()))
    change = between(100 * (ends.last() - ends.first()))
    found = f"From {least} to {most} training images accuracy changes by {change} points, by configuration."
    growth = lead[lead["what"] == GROWTH].to_dict("records")
    return f"{found} {_growth(growth[-1])}" if growth else found


def _growth(row: Mapping[Any, Any]) -> str:
    low, high = row["lead_total_ci_low"], row["lead_total_ci_high"]
    change = f"from the smallest share to the largest it changes by {number(100 * row['lead'], 1)} points"
    if row["n_seeds"] < 2 or pd.isna(low):
        return (
            "Whether the ViTs' lead over the ResNets grows with the data is not decided, for want of seeds or of any "
            f"spread: {change}."
        )
    verdict = "grows" if low > 0 else "shrinks" if high < 0 else "is not shown to grow or shrink"
    return (
        f"The ViTs' lead over the ResNets {verdict} with the data: {change} (95 % total interval "
        f"{span(low, high, 100)}; the one question of this section, not corrected for others)."
    )


def of_views(table: pd.DataFrame) -> str:
    """Say what other views of the test images cost."""
    costs = [
        f"{VIEWS.get(str(view), view)}, {between(100 * rows['loss_of_accuracy'])} ({_how_surely(rows)})"
        for view, rows in table.groupby("view", sort=False)
    ]
    across = ", least to most by configuration" if table["view"].duplicated().any() else ""
    lost = f"oints of accuracy lost on other views of the same test images{across}: {'; '.join(costs)}."
    known = table[table["loss_of_accuracy_total_ci_low"].notna()]
    nothing = len(known) and not (known["loss_of_accuracy_total_ci_low"] > 0).any()
    return f"No loss is shown under any other view. P{lost}" if nothing else f"P{lost}"


def _how_surely(rows: pd.DataFrame) -> str:
    """Say of how many losses of accuracy the total interval excludes 0; a negative loss is a gain."""
    low, high = (rows[f"loss_of_accuracy_total_ci_{end}"] for end in ("low", "high"))
    if not (known := int(low.notna().sum())):
        return "no interval"
    gained = int((high < 0).sum())
    told = f"total interval above 0 for {int((low > 0).sum())} of {known}"
    return f"{told}, below 0 for {gained}" if gained else told


def of_claims(table: pd.DataFrame) -> str:
    """Count the verdicts on the study's claims."""
    counts = table["verdict"].value_counts()
    order = [SUPPORTED, CONTRADICTED, UNDECIDED]
    order += [verdict for verdict in counts.index if verdict not in order]
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts)
    return f"Of {count(len(table), 'claim')}: {told}. {CAUTION}"


def of_curves(sweep: Sweep) -> str:
    """Say how long training ran, from which epoch the kept weights are, and where that is the last one."""
    done = [each for each in sweep.configurations if each.records]
    if not done or sweep.imported:
        return ""
    runs, kept = (
        pd.Series([np.mean([getattr(record, name) for record in each.records]) for each in done])
        for name in ("epochs_run", "best_epoch")
    )
    trials = [record for each in done for record in each.records]
    last = sum(record.best_epoch == record.epochs_run for record in trials)
    over = ", means over seeds" if any(len(each.seeds) > 1 for each in done) else ""
    over += ", by configuration" if len(done) > 1 else ""
    found = f"Training ran for {between(runs)} epochs; the weights that were kept are of epoch {between(kept)}{over}."
    if not last:
        return f"{found} No trial was still at its best when it ended."
    return (
        f"{found} In {last} of {count(len(trials), 'trial')} they are those of the last epoch, so that more epochs "
        "might have given better ones there."
    )


def of_data(sweep: Sweep) -> str:
    """Say how many images of how many classes there are, and how evenly the classes are filled."""
    in_folds = bool(sweep.division.n_folds)
    part, named = ("test", "") if in_folds else ("test", "test ") if sweep.imported else ("train", "training ")
    counts = sweep.class_counts[part]
    images = counts if in_folds else sweep.class_counts.sum(axis=1)
    found = f"{count(int(images.sum()), 'image')} of {count(len(counts), 'class', 'classes')}"
    most, least = int(counts.max()), int(counts.min())
    if most == least:
        return f"{found}; every class has {count(most, f'{named}image')}."
    return (
        f"{found}; of {named}images the most, {most:,}, are of {_classes(counts, most)}, the fewest, {least:,}, of "
        f"{_classes(counts, least)}."
    )


def _classes(counts: "pd.Series[int]", number: int) -> str:
    """Name the classes that have so many images."""
    return listed([str(name) for name in counts.index[counts == number]], 3)
