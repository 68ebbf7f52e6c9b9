"""What the sections found that are figures rather than tables: one sentence or two each, from the numbers."""

import numpy as np
import pandas as pd

from sweep.frames import Sweep
from sweep.report.words import between, count, listed


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
