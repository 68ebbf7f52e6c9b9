"""What stands under every table: of which population its numbers speak, what varied, at which level, how corrected."""

from collections.abc import Mapping

import pandas as pd

from sweep.claims import CAUTION
from sweep.frames import Sweep
from sweep.report.words import count
from sweep.statistics.comparisons import FEWEST_FOR_POSTERIOR


def captions(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return the caption of every table of `all_tables` by its name."""
    n_images = int(sweep.class_counts["test"].sum())
    images = "test images" if sweep.groups is None else "groups of test images"
    here = f"On {count(n_images, 'test image')}" + ("" if sweep.groups is None else ", those of a group counted as one")
    seed = "the 95 % seed interval, Student's t: other seeds, these same test images"
    total = f"Total interval, 95 %: other seeds and other {images} of the same kind"
    alone = f"with a single seed, other {images} alone"
    single = "Each interval stands by itself, with no correction for the number of rows."
    training = _training(sweep)
    family = (
        f"a − b, on the same {images}; of accuracy and F1 in points, of the loss in nats. Seed interval: {seed[4:]}. "
        f"{total}; {alone}; of that one row, not corrected. p is that row's too."
    )
    verdict = (
        "Better and worse go by the adjusted p, at 5 %: called different anywhere in the family without being so in at "
        f"most 5 % of sweeps ({_method(tables)}). Undecided is not equal: beside it stands the smallest difference "
        "that the family could have shown."
        if tables["comparisons"]["p"].notna().any()
        else "Nothing is tested: that takes two seeds."
    )
    found = {
        "summary": f"{here}. ±: half {seed}. {total}; {alone}. {single} {training}",
        "per_class": f"{here}. ±: half {seed}. {total}; {alone}. Of precision and recall the means over seeds. "
        f"{single} {training}",
        "confusion": f"{here}. Means over seeds, with the standard deviation over seeds; no intervals.",
        "comparisons": f"{family} A family is all rows of one metric under one family's name. {verdict} {training}",
        "effects": f"{family} Strategies: means over all models; models: means over all strategies; model × strategy: "
        "how far one configuration is from what its model's and its strategy's means say. Each effect of one metric is "
        f"a family by itself. {verdict} {training}",
        "ranking": f"{here}. May be the best: the 95 % set that holds the configuration which is best with other seeds "
        f"on other {images} of the same kind. Rank: the 95 % interval of a configuration's rank there, 1 being the "
        f"best. Both are corrected for a configuration's rivals ({_method(tables)}), not for the number of rows. "
        "Validation accuracy has no part in either. The highest test accuracy was found on the images that measure it, "
        f"and is optimistic. {training}",
        "power": f"Of test accuracy, in points. SD: standard deviations behind a difference, of one seed, of one of "
        f"the {images}, and of one seed on one of them. Seeds that would decide it: on these {images}, if the gap is "
        "what it seems; the other column: with these seeds. Corrected for all pairs. Estimates, without intervals.",
        "variance": f"{here}. Standard deviations of one trial's test accuracy, in points. Seeds: between trials on "
        "this test set (χ² interval). Seeds, endless test set, and test images: the two components behind it "
        f"(modified large-sample intervals, Ting et al. 1990). {single}",
        "calibration": f"{here}. {total}; {alone}. Calibration error: debiased, root mean square (Kumar et al. 2019). "
        "AURC: area under the risk-coverage curve. ECE: the usual plug-in figure, biased upwards, for comparison with "
        f"other work; ± is half {seed}. {single} {training}",
        "ensembles": f"{here}. One model a configuration, which averages its seeds' probabilities: not a mean over "
        f"seeds. Interval, 95 %: other {images} alone; another set of seeds would make another ensemble. {single}",
        "efficiency": "Means over seeds, of the epochs' means where they are per epoch; no intervals. Times are those "
        "of this hardware.",
        "claims": f"The claims that rest on intervals are one family at 95 %; each row says which interval it has, and "
        f"what it covers. {CAUTION} {training}",
        "trials": "One row a trial; nothing is averaged.",
    }
    return {name: found[name] for name in tables}


def _training(sweep: Sweep) -> str:
    if sweep.imported:
        return "What of the training images varied is not known."
    return "The training images were the same in every trial: nothing here tells what others would change."


def _method(tables: Mapping[str, pd.DataFrame]) -> str:
    compared = int(tables["ranking"]["in_best_set"].notna().sum())
    if compared < FEWEST_FOR_POSTERIOR:
        return "moderated variances, Holm's method"
    return "step-down max-T on draws of the variances' posterior"
