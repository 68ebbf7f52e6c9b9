"""What stands under every table: of which population its numbers speak, what varied, at which level, how corrected."""

from collections.abc import Mapping

import pandas as pd

from sweep.claims import CAUTION
from sweep.frames import ORDINARY_ARM, Sweep, TestOutcomes
from sweep.report.conditions import of_shares, of_splits
from sweep.report.words import count
from sweep.statistics import count_units
from sweep.statistics.comparisons import FEWEST_FOR_POSTERIOR

SINGLE = "Each interval stands by itself, with no correction for the number of rows."
NOMINAL = (
    "The 5 % are nominal: in simulations up to 9 %, at two seeds 11 %, where some configurations' seeds spread eight "
    "times as far as others' (docs/simulations.md in animefer's repository)."
)
EFFICIENCY = (
    "Means over seeds, of the epochs' means where they are per epoch; no intervals. Times are those of the hardware "
    "that was used; training seconds and images per second are those of the training steps alone. Peak memory is the "
    "card's, or on a CPU the whole process's, Python and its libraries included."
)
ENERGY = (
    " Energy: of training and validation, by the card's own counter; of trials alone that shared it with no other and "
    "were not resumed."
)
STRATEGIES = (
    "Rates are AdamW's; they stay as they are where the schedule is constant. Patience: epochs without a lower "
    "validation loss after which training stops. A block is a fourth of a ViT's layers or a stage of a ResNet, from "
    "the head backwards; of other networks, what timm groups."
)
PRICE = (
    " Price: hours from a trial's beginning to its record times the price of an hour that was given, mean and sum over "
    "the completed seeds; a trial that shared its device counts as if it had it alone, and one that was resumed by its "
    "last stretch."
)


def captions(sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return the caption of every table of `all_tables` by its name."""
    words = _Words(sweep, tables)
    found = {
        "summary": words.summary(),
        "per_class": words.per_class(),
        "confusion": f"{words.here}. Means over seeds; no intervals.",
        "confused_pairs": words.confused_pairs(),
        "misread": words.misread(),
        "reliability": words.reliability(),
        "risk_coverage": words.risk_coverage(),
        "comparisons": words.comparisons(),
        "effects": words.effects(),
        "ranking": words.ranking(),
        "power": words.power(),
        "gains": words.gains(),
        "variance": words.variance(),
        "splits": words.splits(),
        "shares": words.shares(),
        "lead": words.lead(),
        "calibration": words.calibration(),
        "ensembles": words.ensembles(),
        "views": words.views(),
        "efficiency": _efficiency(tables),
        "strategies": STRATEGIES,
        "claims": words.claims(),
        "study": words.study(),
        "ledger": "One row a meeting of a model with the test images, after its checkpoint was chosen. A trial has "
        "one; where --again asked for another, the first has counted false.",
        "trials": "One row a trial, nothing averaged; accuracies are fractions, the loss is in nats.",
    }
    return {name: found[name] for name in tables}


def _efficiency(tables: Mapping[str, pd.DataFrame]) -> str:
    if "efficiency" not in tables:
        return ""
    energy = ENERGY if tables["efficiency"]["energy_joules_mean"].notna().any() else ""
    return EFFICIENCY + energy + (PRICE if "price" in tables["efficiency"] else "")


class _Words:
    """The sentences that depend on the sweep: on its images, its seeds and how many configurations are compared."""

    def __init__(self, sweep: Sweep, tables: Mapping[str, pd.DataFrame]) -> None:
        self._tables = tables
        parts = sweep.class_counts.sum()
        n_images = int(parts["test"])
        self.images = "test images" if sweep.groups is None else "groups of test images"
        self.here = f"On {count(n_images, 'test image')}"
        if sweep.groups is not None and (outcomes := _some_outcomes(sweep)) is not None:
            n_groups = count_units(n_images, sweep.units_of(outcomes).groups)
            self.here += (
                f" in {count(n_groups, 'group')} (means are over images, intervals take the group as what is drawn)"
            )
        if sweep.division.n_folds:
            self.here += f", each met once a seed in one of {sweep.division.n_folds} folds"
        of_pairs = tables["comparisons"]["n_seeds"]
        self.common = int(of_pairs.max()) if len(of_pairs) else 0
        self.all_seeds = max((len(each.seeds) for each in sweep.configurations), default=0)
        self.several = any(len(each.seeds) > 1 for each in sweep.configurations)
        self.n_validation = int(parts["validation"])
        self.chosen = not sweep.imported
        self.training = _of_training_images(sweep)
        self.n_folds = sweep.division.n_folds
        self.one_test_set = "one fold's images, pooled over folds" if sweep.division.n_folds else "this test set"
        self.validation_of = "a fold's own " if sweep.division.n_folds else ""
        self.total = (
            f"Total interval, 95 %: where the mean over all seeds and all {self.images} of this kind lies"
            if self.several
            else f"Total interval, 95 %: where this seed's mean over all {self.images} of this kind lies"
        )

    def summary(self) -> str:
        validation = f" Validation accuracy: on {self.validation_of}{count(self.n_validation, 'image')}, no interval"
        validation += ", and optimistic, since these images chose the epoch." if self.chosen else "."
        return (
            f"{self._seeds()} {self.total}.{self._narrower()} Calibration error: debiased (Kumar et al. 2019). ECE: "
            f"seeds alone, biased upwards.{validation if self.n_validation else ''} {SINGLE} {self.training}"
        )

    def per_class(self) -> str:
        return (
            f"{self._seeds()} {self.total}; blank where nothing varied. Precision and recall: means over seeds. "
            f"{SINGLE} {self.training}"
        )

    def comparisons(self) -> str:
        return (
            f"{self._shared()}a − b. {self._difference()} A family is all rows of one metric under one name: all "
            "pairs, strategies within a model, models within a strategy. Each has its own 5 %, and none is corrected "
            f"for the others: use the one chosen beforehand. {self._verdict()} {self.training}"
        )

    def effects(self) -> str:
        return (
            f"{self._shared()}Strategies: a − b of means over the models compared, which are taken as given; models: "
            "the same over the strategies; model × strategy: how far one configuration lies above what its model's "
            "and its strategy's means say together (below where negative; of two models or strategies, one speaks for "
            f"both). {self._difference()} Each of the three effects, in each metric, is a family by itself, not "
            f"corrected for the others. {self._verdict()} {self.training}"
        )

    def ranking(self) -> str:
        method = "by one-sided max-T on draws of the variances' posterior" if self._large else "by Holm's method"
        on = f"{self.validation_of}{count(self.n_validation, 'image')}"
        validation = f"Validation accuracy: mean over seeds on {on}; it has no part in them. "
        return (
            f"{self._shared()}May be the best: the set that holds, with 95 % confidence, the one of the "
            f"configurations compared which is best over all seeds and all {self.images} of this kind. Rank: 95 % "
            "interval of a configuration's place among them, 1 being the best. Blank: too few seeds in common with "
            f"the others. Both are corrected for its rivals ({method}), not for the number of rows; the set is "
            "one-sided and ranks spend half their error on each side, so that 'no' and a rank from 1 can meet. Test "
            f"accuracy: mean over the completed seeds. {validation if self.n_validation else ''}The highest test "
            f"accuracy was found on the images that measure it, and is optimistic. {self.training}"
        )

    def power(self) -> str:
        return (
            f"{self._shared()}Of test accuracy, in points; estimates, without intervals. SD: standard deviations "
            f"behind a difference, of one seed, of one of the {self.images}, of one seed on one of "
            f"them{self._fixed}; 0.0 where no more than the others explain was seen. Had to reach: the smallest "
            "difference that is decided at 5 % over all pairs; limit: the same with endless seeds on these images. "
            "Needed: how many in all would bring that down to the gap seen, the other number staying as it is; if "
            "the gap is that large, a new "
            "sweep of that size decides it about every second time. Of decided pairs nothing is asked."
        )

    def gains(self) -> str:
        gain = "the gain over all seeds and" if self.several else "this seed's gain over"
        return (
            f"{self._shared()}Strategy less the linear probe of the same model, paired by seed and image. Accuracy and "
            "F1 in points; loss in nats, where below 0 is the better. Total interval, 95 %: where "
            f"{gain} all {self.images} of this kind lies; of accuracy, macro F1 and loss as under Differences, of a "
            "class from that pair's own differences; blank for a class without test images, and where nothing varied. "
            f"{SINGLE} {self._of_study()}{self.training}"
        )

    def _of_study(self) -> str:
        table = self._tables.get("gains")
        if table is None or not table["study_gain"].notna().any():
            return ""
        return (
            "The study's: one run each, seed 42, on 450 test images of its own; by class from its Table 3, which shows "
            "each model's best strategy and, by its macro averages, not Table 2's runs. "
        )

    def variance(self) -> str:
        return (
            f"{self.here}. Test accuracy, in points. Seeds: standard deviation between trials on {self.one_test_set} "
            "(χ² interval); its variance is that of the next row, what trials would differ by on an endless test set, "
            "and a part that is there because the test set is finite (last column, a point estimate). "
            f"{self.images.capitalize()}: standard deviation between {self._parts}. The components' intervals are "
            f"modified large-sample ones (Ting et al. 1990). 95 % each.{self._other_sources()} {SINGLE}"
        )

    def _other_sources(self) -> str:
        """Say what the rows are that only some sweeps have."""
        there = set(self._tables["variance"]["source"])
        told = [words for source, words in SOURCES.items() if any(source in name for name in there)]
        told += ["A split in parentheses: on its test images."] if any("(split" in name for name in there) else []
        return f" {' '.join(told)}" if told else ""

    def splits(self) -> str:
        return (
            "Test accuracy over random splits of the same images, a mean over the seeds that all have. Interval, 95 %: "
            "for other training and test images of this kind; Student's t over the splits' means, widened for "
            "what their training images share (Nadeau and Bengio 2003), an approximation. Lowest and highest: of the "
            f"splits. {SINGLE} Rankings and differences are of one split."
        )

    def shares(self) -> str:
        return (
            f"{self._seeds()} {self.total}. A smaller share of the training images, of every class, lies within each "
            "larger one; validation and test images, and epochs, are the same, so that fewer images are also fewer "
            f"steps. Another draw of the share would move the curve: that is not in the intervals. {SINGLE}"
        )

    def lead(self) -> str:
        return (
            f"{self.here}: mean accuracy of the models whose names begin with vit less that of those that begin with "
            "resnet, of those that have the strategy at every share, in points, on the seeds that all of them have; "
            "growth: the lead at the largest share less "
            f"that at the smallest. Total interval, 95 %, paired by seed and image: {self._all_seeds()} {self.images} "
            "of this kind, the models and the images of each share taken as given. Growth over all strategies is the "
            "one question; the other rows stand by themselves, uncorrected."
        )

    def calibration(self) -> str:
        return (
            f"{self._seeds()} {self.total}. Calibration error: root of the debiased mean square in at most 15 bins "
            f"(Kumar et al. 2019). AURC: area under the risk-coverage curve, by a jackknife{self._aurc}. ECE: the "
            "usual plug-in figure, biased upwards, for comparison with other work; its ± is of the seeds alone. "
            f"{SINGLE} {self.training}"
        )

    def reliability(self) -> str:
        return (
            f"{self._seeds()} Each seed's images are in bins of equally many, the least sure first, those of the "
            f"calibration error. Confidence: mean probability of the predicted class. {self.total}, the bins taken as "
            f"given; blank where nothing varied. {SINGLE} {self.training}"
        )

    def risk_coverage(self) -> str:
        interval = " Seed interval: 95 %, Student's t, these same images, cut to 0 and 100 %." if self.several else ""
        return (
            f"{self.here}. Coverage: the share of them of which a seed's model is surest; risk: the share of wrong "
            f"answers among these, mean over the completed seeds.{interval} At most 50 coverages; the area under the "
            f"whole curve is AURC, with its total interval, under Calibration. {self.training} {SINGLE}"
        )

    def confused_pairs(self) -> str:
        return (
            f"{self.here}. A pair of classes stands in the direction in which it is confused more often. Share: of the "
            "true class's images, mean over configurations of their means over seeds, each configuration counting "
            "alike; lowest and highest: of the configurations. Asymmetry: the share less that of the reverse. No "
            "intervals; nothing is tested."
        )

    def misread(self) -> str:
        return (
            f"{self.here}. One row an image that some model misread, a model being a completed seed of a "
            "configuration. Misread by: the share of all models; read as: the most frequent wrong class; "
            "configurations: those under whose every seed it was wrong. An image that every model misreads is worth a "
            "second look at its label, and no proof that the label is wrong: it may be hard. No intervals."
        )

    def ensembles(self) -> str:
        return (
            f"{self.here}. One model a configuration, which averages its seeds' probabilities: not a mean over seeds. "
            f"Interval, 95 %: its accuracy on all {self.images} of this kind; another set of seeds would make another "
            f"ensemble. Nothing is tested. {SINGLE} {self.training}"
        )

    def views(self) -> str:
        return (
            "Each trial met these views of its test images beside the images as they are: "
            "grey is their luma (ITU-R 601); JPEG quality 30 is the decoded square compressed at that side and "
            "read again; mirrored is left for right. Accuracy is that on the view; points lost are the accuracy "
            "on the images as they are minus it, of the same seeds and images, over the seeds that met the view; below "
            f"0 it is the higher one. {self._seeds()} {self.total}; of points lost blank where nothing varied. "
            f"{SINGLE} {self.training}"
        )

    def study(self) -> str:
        return (
            "The study's numbers are those of one run each, seed 42, on 450 test images of its own, which are not "
            f"these: nothing is compared. In Table 3 a model's best strategy is ours on validation. {self._seeds()} "
            f"{self.total}. {SINGLE} {self.training}"
        )

    def claims(self) -> str:
        return (
            "C2 to C6, C9 to C12, C14 to C17, C19 and C20, as far as they can be tested, are one family: their "
            "intervals all hold together at 95 %. C1 has a 95 % interval of its own; C7, C8, C13 and C18 go by how "
            "often the draws of a bootstrap bear them out; none of these is corrected for the others. C9 to C11, C18 "
            "and C19 are over the images of one or two classes alone. Each row says what its interval covers. "
            f"{NOMINAL} {CAUTION} {self.training}"
        )

    @property
    def _aurc(self) -> str:
        return " that takes images, not folds, as what is drawn" if self.n_folds else ""

    @property
    def _fixed(self) -> str:
        if not self.n_folds:
            return ""
        return ", and of what the folds' training images do to the mean, which neither seeds nor images make less"

    @property
    def _parts(self) -> str:
        if self.images == "test images":
            return "them of the chance to be right"
        return "them of what they contribute to the accuracy (size times deviation)"

    def _shared(self) -> str:
        """Say over which images and seeds configurations are compared."""
        where = f"{self.here} and {count(self.common, 'seed')} that all compared have"
        if self.common < self.all_seeds:
            return f"{where} (the summary's means are over all completed seeds, and need not match). "
        return f"{where}. "

    @property
    def _large(self) -> bool:
        return int(self._tables["ranking"]["in_best_set"].notna().sum()) >= FEWEST_FOR_POSTERIOR

    def _seeds(self) -> str:
        if not self.several:
            return f"{self.here}, one seed: nothing is known of other seeds."
        return (
            f"{self.here}, means over the completed seeds. ±: half the 95 % seed interval (Student's t), where the "
            "mean over all seeds lies on these same images."
        )

    def _all_seeds(self) -> str:
        found = self._tables.get("lead")
        return "all seeds and all" if found is not None and found["n_seeds"].max() > 1 else "one seed alone, all"

    def _narrower(self) -> str:
        if not self.several:
            return ""
        return " It can be the narrower of the two where images add little, having more degrees of freedom."

    def _difference(self) -> str:
        unit = "Accuracy and F1 in points, loss in nats (the smaller is the better)."
        if not self.several:
            return (
                f"{unit} Interval, 95 %: where the difference of these two seeds' means over all {self.images} of "
                "this kind lies; of that row, not corrected."
            )
        return (
            f"{unit} Seed interval: 95 %, Student's t, that row's seeds on these same images. Total interval, 95 %: "
            f"where the difference over all seeds and all {self.images} of this kind lies; its seed variance is "
            "estimated from all configurations together, so that it can be the narrower one. It and p, of no "
            "difference there, are of that row, not corrected; rows without p, whose configurations have too few "
            "seeds in common with the others, use their own variances, and with one seed the images alone."
        )

    def _verdict(self) -> str:
        if not self._tables["comparisons"]["p"].notna().any():
            return "Nothing is tested: that takes two configurations with two seeds in common."
        method = (
            "step-down max-T on draws of the variances' posterior, in the order of T, not of p"
            if self._large
            else "moderated variances, Holm's method"
        )
        return (
            "Decided where the adjusted p is below 0.05, so that the chance of any false verdict in the family is at "
            f"most 5 % ({method}). {NOMINAL} Undecided is not equal: beside it stands what a difference had to reach "
            "to be shown, without the step-down, by which a decided one can be a little smaller."
        )


SOURCES = {
    "between folds": (
        "Training images between folds: how far their training images move a configuration's accuracy, beyond what "
        "the folds' test images explain; the folds' training images overlap."
    ),
    " alone": (
        "A name with alone: between trials in which that alone followed the seeds, all else being held at the first "
        "seed; split alone has other test images each time, whose chance is in it."
    ),
    "same seeds again": "Same seeds again: between trials that nothing tells apart, which is the hardware's doing.",
    "summed": (
        "All seeds and the split summed: root of the two variances' sum, seeds on this test set and split alone, with "
        "the interval of Graybill and Wang (1980). It errs on the wide side for one training in which both vary: what "
        "a finite test set adds stands in either."
    ),
    "beyond seeds": (
        "Splits beyond seeds: between the means of random splits, training and test images both others, less what "
        "their seeds explain; seeds within a split: pooled over them."
    ),
}
"""What a source's name holds -> what it is."""


def _of_training_images(sweep: Sweep) -> str:
    """Say whether the training images varied."""
    if sweep.imported:
        return "What of the training images varied is not known."
    if sweep.division.n_folds:
        return (
            "Each fold was met by models trained on the others: total intervals know of the training images as far as "
            f"{sweep.division.n_folds} folds tell, whose training images overlap."
        )
    if len(of_splits(sweep)) > 1:
        return "The training images were the same in every trial here: what others change stands under Random splits."
    varied = any(record.arm != ORDINARY_ARM for record in sweep.completed) or len(of_shares(sweep)) > 1
    where = "in all trials of this table" if varied else "in every trial"
    return f"The training images were the same {where}: nothing here tells what others would change."


def _some_outcomes(sweep: Sweep) -> TestOutcomes | None:
    return next((each.outcomes for each in sweep.configurations if each.records), None)
