"""What a reader must know before trusting the numbers, each note under a code that does not change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from animefer_core.config import RANDOM_WEIGHTS
from animefer_core.record import ALONE
from sweep.frames import ORDINARY_ARM, Sweep
from sweep.matrices import paired
from sweep.report.tuning import unequal
from sweep.report.words import count, name_of

FEWEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Note:
    """One thing that weakens the results."""

    code: str
    """Stable, for links and searches."""
    text: str
    items: Sequence[str] = ()
    """Files, trials or sets of files that the text speaks of."""

    @property
    def explained(self) -> str:
        """Where the project says what it means, what it weakens and what to do."""
        return f"docs/warnings.md#{self.code}"


def notes(sweep: Sweep) -> list[Note]:
    """Return everything that weakens a sweep's results, the gravest first."""
    return [note for check in CHECKS for note in check(sweep)]


def _imported(sweep: Sweep) -> Iterator[Note]:
    if not sweep.imported:
        return
    text = (
        "The predictions were made elsewhere and imported. Left out, because they tell nothing of the training: "
        "training curves, efficiency, epochs, hardware, the study's claims. How often the test images were met is not "
        "known."
    )
    yield Note(code="imported", text=text)
    without = [each.name for each in sweep.configurations if not each.has_probabilities]
    if without:
        text = "Left out, because predicted classes came without probabilities: loss, calibration, ECE, ensembles."
        yield Note(code="no-probabilities", text=text, items=without)
    zeros = sum(record.environment.get("zero_probabilities", 0) for record in sweep.completed)
    if zeros:
        text = f"{count(zeros, 'prediction gives', 'predictions give')} the true class of a test image probability 0, "
        yield Note(code="zero-probabilities", text=text + "which the loss counts as 2.2e-16, 36 nats.")


def _unfinished(sweep: Sweep) -> Iterator[Note]:
    lacking = sum(not each.complete for each in sweep.configurations)
    if lacking:
        counted = ", a seed counting once all its folds have a record" if sweep.division.n_folds else ""
        text = (
            f"{count(lacking, 'configuration is', 'configurations are')} incomplete: their means are over fewer seeds"
        )
        yield Note(code="incomplete", text=f"{text}{counted}; differences use the seeds in common.")


def _unfinished_beside(sweep: Sweep) -> Iterator[Note]:
    """Arms, and what other divisions and shares lack."""
    trials = sweep.trials
    own = (trials["division"] == sweep.division.name) & (trials["train_fraction"] == sweep.train_fraction)
    lacking = trials[(trials["status"] != "completed") & ~(own & (trials["arm"] == ORDINARY_ARM))]
    if len(lacking):
        text = (
            f"{count(len(lacking), 'trial', 'trials')} beside those of the main tables, in which one thing alone "
            "varied or of another split or share, did not complete or did not run: the tables of these have what is "
            "there."
        )
        items = [
            f"{name_of(row)} seed {row['seed']}, {row['division']}, "
            f"{100 * row['train_fraction']:g} % of the training images, arm {row['arm']}: {row['status']}"
            for row in lacking.to_dict("records")
        ]
        yield Note(code="incomplete-beside", text=text, items=items)


def _families(sweep: Sweep) -> Iterator[Note]:
    matrices = paired(sweep)
    if matrices is None:
        return
    if not matrices.seeds_are_paired:
        yield Note(
            code="seeds-not-paired",
            text="Seeds are not paired: their numbers differ between configurations, so they are matched in their "
            "order. Intervals and verdicts hold, but what a seed might draw for all alike drops out of no difference.",
        )
    if matrices.left_out:
        n_there = len(matrices.configurations) + len(matrices.left_out)
        text = (
            f"{len(matrices.left_out)} of {count(n_there, 'configuration', 'configurations')} left the families of "
            f"comparisons, having too few of the {count(matrices.n_seeds, 'seed')} that the others share: their "
            "differences have intervals on the seeds that two share, and no verdict."
        )
        items = [f"{each.name}: {count(len(each.seeds), 'seed', 'seeds')}" for each in matrices.left_out]
        yield Note(code="left-families", text=text, items=items)


def _random_weights(sweep: Sweep) -> Iterator[Note]:
    if any(record.weights_digest == RANDOM_WEIGHTS for record in sweep.completed):
        yield Note(
            code="random-weights",
            text="Training started from random weights, not from pretrained ones: this is a demonstration, not the "
            "study's result.",
        )


def _other_normalisation(sweep: Sweep) -> Iterator[Note]:
    unlike = {
        record.model: (used, own)
        for record in sweep.completed
        if (used := record.environment.get("normalisation"))
        and (own := record.environment.get("weights_normalisation"))
        and used != own
    }
    if unlike:
        text = (
            f"Images were normalised otherwise than those on which the weights of {count(len(unlike), 'model')} were "
            "trained: its training starts from features that are off."
        )
        items = [
            f"{model}: mean {_numbers(used['mean'])}, deviation {_numbers(used['std'])} in place of "
            f"{_numbers(own['mean'])} and {_numbers(own['std'])}"
            for model, (used, own) in unlike.items()
        ]
        yield Note(code="other-normalisation", text=text, items=items)


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _few_seeds(sweep: Sweep) -> Iterator[Note]:
    single = [each.name for each in sweep.configurations if len(each.seeds) == 1]
    if single:
        text = (
            "A single seed shows nothing of the spread over seeds: no ± and no seed interval, and the total interval "
        )
        known = "test images and folds" if sweep.division.n_folds else "test images"
        yield Note(code="single-seed", text=f"{text}covers the {known} only.", items=single)
    few = [each.name for each in sweep.configurations if 1 < len(each.seeds) < FEWEST_SEEDS]
    if few:
        text = (
            f"With fewer than {FEWEST_SEEDS} seeds total intervals are too narrow, and verdicts err more often than "
            "they say, where seeds differ much."
        )
        yield Note(code="few-seeds", text=text, items=few)


def _unequal_tuning(sweep: Sweep) -> Iterator[Note]:
    items = unequal(sweep)
    if items:
        text = "Models were not searched for alike: a difference between them may come of the search, not of the model."
        yield Note(code="unequal-tuning", text=text, items=items)


def _failed(sweep: Sweep) -> Iterator[Note]:
    failed = sum(len(each.failed) for each in sweep.conditions)
    if failed:
        text = f"{count(failed, 'trial', 'trials')} failed; the section on failed trials names the causes."
        yield Note(code="failed-trials", text=text)


def _set_aside(sweep: Sweep) -> Iterator[Note]:
    if sweep.set_aside:
        text = f"{count(len(sweep.set_aside), 'record is', 'records are')} set aside and counted nowhere."
        items = [f"{aside.trial_id} {aside.reason}" for aside in sweep.set_aside]
        yield Note(code="set-aside", text=text, items=items)


def _tested_twice(sweep: Sweep) -> Iterator[Note]:
    if sweep.tested_twice:
        text = (
            f"{count(len(sweep.tested_twice), 'trial', 'trials')} met the test images twice: the first record was "
            "damaged, or another was asked for by --again; the last one counts."
        )
        yield Note(code="tested-twice", text=text, items=sweep.tested_twice)


def _mixed(sweep: Sweep) -> Iterator[Note]:
    for code, name, keys in (
        ("mixed-devices", "devices", ("device", "device_name")),
        ("mixed-precisions", "precisions", ("precision",)),
        ("mixed-threads", "numbers of CPU threads", ("threads",)),
    ):
        used = {" ".join(str(record.environment.get(key, "")) for key in keys) for record in sweep.completed}
        if len(used) > 1:
            yield Note(
                code=code,
                text=f"Trials ran on different {name}: their last digits and times may differ for that alone.",
                items=sorted(used),
            )


def _tried_alone(sweep: Sweep) -> Iterator[Note]:
    alone = [record for each in sweep.conditions for record in each.completed if record.environment.get(ALONE)]
    if alone:
        text = f"{count(len(alone), 'trial', 'trials')} ran out of the card's memory beside others, and had a card "
        yield Note(code="out-of-memory", text=text + "alone in a second try: their times are unlike the others'.")


def _shared_device(sweep: Sweep) -> Iterator[Note]:
    completed = [record for each in sweep.conditions for record in each.completed]
    shared = sum(bool(record.efficiency.get("shared_device")) for record in completed)
    if shared:
        text = f"{count(shared, 'trial', 'trials')} shared the device with others: their times are longer, and images "
        yield Note(code="shared-device", text=text + "per second fewer, than on a device by itself.")


def _resumed(sweep: Sweep) -> Iterator[Note]:
    resumed = sum("resumed_after_epochs" in record.environment for record in sweep.completed)
    if resumed:
        text = f"{count(resumed, 'trial was', 'trials were')} taken up again after a kept epoch: the numbers are those "
        yield Note(
            code="resumed",
            text=text
            + "of one left alone (on a card but for rounding), but trial seconds cover the last stretch only.",
        )


def _data(sweep: Sweep) -> Iterator[Note]:
    file = sweep.split_file
    if file.skipped:
        text = f"{count(len(file.skipped), 'file was', 'files were')} left out as bad."
        yield Note(code="skipped-files", text=text, items=[f"{bad.path}: {bad.reason}" for bad in file.skipped])
    for code, sets, where in (
        ("duplicates-across-classes", file.duplicates.across_classes, "classes"),
        ("duplicates-across-parts", file.duplicates.across_parts, "parts"),
    ):
        if sets:
            text = f"{count(len(sets), 'set', 'sets')} of identical files in different {where} were allowed."
            yield Note(code=code, text=text, items=[" = ".join(paths) for paths in sets])
    tested = [
        image.sha256
        for split in sweep.division.splits
        for image, part in zip(file.images, split.parts, strict=True)
        if part == "test" and image.group is None
    ]
    repeats = len(tested) - len(set(tested))
    if repeats:
        text = f"{count(repeats, 'test image repeats', 'test images repeat')} another one, byte for byte: total "
        yield Note(code="repeated-test-images", text=text + "intervals count them as new images and are too narrow.")


CHECKS: tuple[Callable[[Sweep], Iterator[Note]], ...] = (
    _imported,
    _random_weights,
    _unfinished,
    _unfinished_beside,
    _families,
    _unequal_tuning,
    _failed,
    _set_aside,
    _tested_twice,
    _few_seeds,
    _other_normalisation,
    _mixed,
    _shared_device,
    _tried_alone,
    _resumed,
    _data,
)
