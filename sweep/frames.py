"""A sweep's folder -> its records, tidy pandas frames, and (seeds, test images) matrices for the statistics.

Nothing is mixed that does not belong together: a record of other images, or one that was changed after it was
written, is set aside with its reason. A folder may hold trials of several splits and shares of the training images;
each such condition is a Sweep by itself, and the one that is furthest has the others beside it:

    Sweep ─▶ others: Sweep, Sweep …    one a division of the images and share of the training images

Under folds, what a seed said of an image is what its model of that image's fold said.
"""

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from animefer_core.config import FROZEN_SEED
from animefer_core.data.pixels import PARTS, share_of
from animefer_core.data.split import Division, SplitFile, read_split_file
from animefer_core.errors import InputError
from animefer_core.metrics import evaluate
from animefer_core.record import TrialRecord, read_record
from sweep.folder import DAMAGED, EARLIER
from sweep.forms import fault_of_plan, fault_of_record
from sweep.search.tuned import Searched, searched_from
from sweep.statistics import count_units, log_probabilities, loss_values

ORDINARY_ARM, SPLIT_ARM = "all", "split"
IMPORTED = "import"
"""The source, in fingerprint{} and environment{}, of predictions that were made elsewhere."""
METRICS = ("accuracy", "f1_macro", "f1_weighted", "loss", "precision_macro", "recall_macro", "ece")


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial that some call of the sweep asked for."""

    trial_id: str
    model: str
    strategy: str
    seed: int
    arm: str
    split_digest: str
    train_fraction: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A record that no table counts."""

    trial_id: str
    reason: str
    """The end of a sentence that starts with the record."""


class Units(NamedTuple):
    """Which test images are not drawn each by itself, in the order in which statistics take it."""

    groups: npt.NDArray[np.int64] | None
    """(images,) a number for all that belong together; None where each stands by itself."""
    folds: npt.NDArray[np.int64] | None
    """(images,) the fold in which each was tested; None for one split."""

    def of(self, images: npt.NDArray[np.intp] | slice) -> "Units":
        """Return the units of some of the images; without folds where these do not hold several units each."""
        groups, folds = (None if each is None else each[images] for each in self)
        if folds is not None and not 1 < len(np.unique(folds)) < count_units(folds.size, groups):
            folds = None
        return Units(groups, folds)


@dataclass(frozen=True, kw_only=True)
class TestOutcomes:
    """What a configuration's models said of the test images: a row a seed, a column an image.

    All rows have the same images in the same columns, so rows of equal seeds of two configurations are paired.
    """

    seeds: tuple[int, ...]
    images: npt.NDArray[np.int64]
    """(images,) rows of split.json's images, ascending."""
    labels: npt.NDArray[np.int64]
    """(images,) class numbers."""
    of_seeds: tuple[npt.NDArray[np.float32], ...]
    """One (images, classes) array of logits a seed; the highest is the predicted class's."""
    has_probabilities: bool = True
    """Whether the logits tell more than the predicted class."""

    def rows(self, seeds: Sequence[int]) -> list[int]:
        """Return the rows of some of the seeds, in their order."""
        return [self.seeds.index(seed) for seed in seeds]

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """(seeds, images, classes)."""
        return np.stack(self.of_seeds)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int32]:
        """(seeds, images) class numbers."""
        return np.stack([logits.argmax(axis=-1) for logits in self.of_seeds]).astype(np.int32)

    @property
    def log_probabilities(self) -> npt.NDArray[np.float64]:
        """(seeds, images, classes); raises ValueError where there are no probabilities.

        The largest array of a sweep: computed anew each time, so that only one configuration's is there at once.
        """
        if not self.has_probabilities:
            raise ValueError("predicted classes alone have no probabilities, loss or calibration")
        return log_probabilities(self.logits)

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(seeds, images), true where that seed's model got that image right."""
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def confidence(self) -> npt.NDArray[np.float64]:
        """(seeds, images) probability of the predicted class."""
        return np.asarray(np.exp(self.log_probabilities.max(axis=-1)))

    @cached_property
    def loss(self) -> npt.NDArray[np.float64]:
        """(seeds, images) cross-entropy in nats."""
        return loss_values(self.log_probabilities, self.labels)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One model and strategy with its ordinary trials."""

    model: str
    strategy: str
    planned_seeds: tuple[int, ...]
    """In the order in which they were asked for."""
    of_seeds: Mapping[int, tuple[TrialRecord, ...]]
    """Seed -> its completed trials, one a fold, in the order of the planned seeds; seeds that lack none."""
    failed: tuple[TrialRecord, ...]

    @property
    def name(self) -> str:
        """The configuration as it is written everywhere: model/strategy."""
        return f"{self.model}/{self.strategy}"

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Completed trials, seed by seed."""
        return tuple(record for records in self.of_seeds.values() for record in records)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds whose trials are all completed."""
        return tuple(self.of_seeds)

    @property
    def complete(self) -> bool:
        """Whether every planned seed is among them."""
        return len(self.seeds) == len(self.planned_seeds)

    @cached_property
    def tests(self) -> tuple[Mapping[str, Any], ...]:
        """The metrics of every seed on the test images; under folds of all folds' images together."""
        return tuple(_tested_together(records) for records in self.of_seeds.values())

    def values(self, metric: str) -> list[float]:
        """Return a test metric, one number a completed seed; loss and ECE only where `has_probabilities`."""
        return [float(test[metric]) for test in self.tests]

    @property
    def has_probabilities(self) -> bool:
        """Whether every completed trial tells probabilities; imported ones may tell predicted classes alone."""
        return all(record.environment.get("probabilities", True) for record in self.records)

    @cached_property
    def outcomes(self) -> TestOutcomes | None:
        """What its models said of the test images; None without a completed trial."""
        if not self.records:
            return None
        tested = [_tested_by(records) for records in self.of_seeds.values()]
        orders = [np.argsort(images, kind="stable") for images, _, _ in tested]
        images, labels, _ = tested[0]
        return TestOutcomes(
            seeds=self.seeds,
            images=images[orders[0]],
            labels=labels[orders[0]],
            of_seeds=tuple(
                logits[order] if (np.diff(order) < 0).any() else logits
                for (_, _, logits), order in zip(tested, orders, strict=True)
            ),
            has_probabilities=self.has_probabilities,
        )


def _tested_by(
    records: Sequence[TrialRecord],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the test images of a seed's trials, their labels and their logits, fold after fold."""
    if len(records) == 1 and (alone := records[0].predictions) is not None:
        return alone.test_index, alone.test_labels, alone.test_logits
    parts = [record.predictions for record in records if record.predictions is not None]
    return (
        np.concatenate([part.test_index for part in parts]),
        np.concatenate([part.test_labels for part in parts]),
        np.concatenate([part.test_logits for part in parts]),
    )


def _tested_together(records: Sequence[TrialRecord]) -> Mapping[str, Any]:
    if len(records) == 1:
        return records[0].test
    _, labels, logits = _tested_by(records)
    return evaluate(logits, labels, [entry["class"] for entry in records[0].test["per_class"]])


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """All that a sweep's folder holds of one division of the images and share of the training images, read once."""

    name: str
    split_file: SplitFile
    division: Division
    """The split, or the folds, whose records are counted."""
    train_fraction: float = 1.0
    """Share of the training images that they were trained on."""
    planned: tuple[PlannedTrial, ...]
    fingerprint: Mapping[str, Any]
    calls: tuple[Mapping[str, Any], ...]
    records: tuple[TrialRecord, ...]
    """Completed and failed ones, in the order of the plan."""
    others: tuple["Sweep", ...] = ()
    """What the folder holds of other divisions and shares."""
    set_aside: tuple[SetAside, ...]
    """Of the whole folder."""
    tested_twice: tuple[str, ...]
    """Ids of trials that were trained again: their first record was damaged, or --again asked for another."""
    replaced: tuple[TrialRecord, ...] = ()
    """Records of the whole folder in whose place --again has put others."""
    searched: Mapping[str, Searched] = field(default_factory=dict)
    """Name of a strategy that a search found -> how."""

    @property
    def conditions(self) -> tuple["Sweep", ...]:
        """Itself and the others."""
        return (self, *self.others)

    @property
    def condition(self) -> str:
        """Of which division and share it is, in words."""
        return f"{self.division.name}, {100 * self.train_fraction:g} % of the training images"

    @property
    def is_usual(self) -> bool:
        """Whether it is of the study's split, with all training images."""
        return not self.division.n_folds and self.division.seed == FROZEN_SEED and self.train_fraction == 1

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their numbers."""
        return self.split_file.classes

    @property
    def completed(self) -> tuple[TrialRecord, ...]:
        """Records of trials that ended well, all arms."""
        return tuple(record for record in self.records if record.status == "completed")

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """Records of trials that failed and have not been repeated, all arms."""
        return tuple(record for record in self.records if record.status == "failed")

    @property
    def imported(self) -> bool:
        """Whether the predictions were made elsewhere, so that nothing is known of their training."""
        return self.fingerprint.get("source") == IMPORTED

    @property
    def data(self) -> str | None:
        """What the last call that names its images calls them: a folder, or the drawn faces; None where none does."""
        named = next((call["settings"].get("data") for call in reversed(self.calls) if call.get("settings")), None)
        return named if isinstance(named, str) and named else None

    @cached_property
    def class_counts(self) -> pd.DataFrame:
        """Images of every class (rows) in every part (columns train, validation, test).

        Training images are those of the condition's share. Under folds "test" counts all images, each being tested
        once a seed; the other parts are the first fold's.
        """
        labels = [image.label for image in self.split_file.images]
        counts = Counter(zip(labels, self.division.splits[0].parts, strict=True))
        if self.division.n_folds:
            counts |= {(name, "test"): number for name, number in Counter(labels).items()}
        if self.train_fraction < 1:
            for name in self.classes:
                counts[name, "train"] = share_of(counts[name, "train"], self.train_fraction)
        return pd.DataFrame(
            {part: [counts[name, part] for name in self.classes] for part in PARTS}, index=pd.Index(self.classes)
        )

    @cached_property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """(all images,) a number for every group of images that belong together; None where no image has one."""
        images = self.split_file.images
        if all(image.group is None for image in images):
            return None
        names = [f"group {image.group}" if image.group is not None else f"image {i}" for i, image in enumerate(images)]
        return np.asarray(pd.factorize(np.asarray(names, dtype=object))[0], dtype=np.int64)

    @cached_property
    def folds(self) -> npt.NDArray[np.int64] | None:
        """(all images,) the number of the fold in which each is tested; None for one split."""
        if self.division.n_folds is None:
            return None
        tested = np.array([split.parts for split in self.division.splits]) == "test"
        return np.asarray(tested.argmax(axis=0), dtype=np.int64)

    def units_of(self, outcomes: TestOutcomes | None) -> Units:
        """Return which test images belong together, and in which folds they were met."""
        return Units(None, None) if outcomes is None else Units(self.groups, self.folds).of(outcomes.images)

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Ordinary trials by configuration, models by strategies in the order in which they were planned."""
        wanted = _asked_for(self.planned, self.records)
        models = list(dict.fromkeys(model for model, _, _ in wanted))
        strategies = list(dict.fromkeys(strategy for _, strategy, _ in wanted))
        found: dict[tuple[str, str, int], list[TrialRecord]] = defaultdict(list)
        for record in self.records:
            if record.arm == ORDINARY_ARM:
                found[record.model, record.strategy, record.seed].append(record)
        digests = [split.digest for split in self.division.splits]
        pairs = [(model, strategy) for model in models for strategy in strategies]
        seeds = {pair: tuple(seed for *name, seed in wanted if tuple(name) == pair) for pair in pairs}
        return tuple(_configuration(pair, seeds[pair], found, digests) for pair in pairs if seeds[pair])

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial that was planned or recorded; an unrecorded one has the status "missing".

        Those of the other divisions and shares follow.
        """
        rows = [row for each in self.conditions for row in each._trial_rows()]
        return pd.DataFrame(rows, columns=TRIAL_COLUMNS)

    def _trial_rows(self) -> list[dict[str, Any]]:
        condition = {"division": self.division.name, "train_fraction": self.train_fraction}
        rows = [_trial_row(record) | condition for record in self.records]
        recorded = {record.trial_id for record in self.records}
        missing = [trial for trial in self.planned if trial.trial_id not in recorded]
        rows += [vars(trial) | {"status": "missing"} | condition for trial in missing]
        order = {trial.trial_id: place for place, trial in enumerate(self.planned)}
        return sorted(rows, key=lambda row: order.get(row["trial_id"], len(order)))

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row a meeting of a model with the test images, of the whole folder, in the order of time.

        A record that --again replaced has met them too, and one whose predictions were damaged; one that cannot be read
        itself is not here, nor one that was deleted.
        """
        met = [(r, True) for each in self.conditions for r in each.completed] + [(r, False) for r in self.replaced]
        rows = [
            {name: getattr(record, name) for name in ("trial_id", "model", "strategy", "seed", "arm", "split_digest")}
            | {"test_met_at": record.environment.get("test_met_at"), "host": record.environment.get("host")}
            | {"train_fraction": record.config.get("train_fraction", 1.0)}
            | {"test_images": sum(entry["support"] for entry in record.test["per_class"]), "counted": counted}
            for record, counted in met
        ]
        return pd.DataFrame(rows, columns=LEDGER_COLUMNS).sort_values("test_met_at", kind="stable", ignore_index=True)

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch of a completed ordinary trial: trial_id, model, strategy, seed and the epoch's numbers."""
        rows = [
            {"trial_id": r.trial_id, "model": r.model, "strategy": r.strategy, "seed": r.seed}
            | {name: epoch.get(name) for name in HISTORY_COLUMNS}
            for r in self._ordinary
            for epoch in r.history
        ]
        return pd.DataFrame(rows, columns=["trial_id", "model", "strategy", "seed", *HISTORY_COLUMNS])

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row a class and completed ordinary trial: precision, recall, f1 and support on the test images."""
        columns = ["class", "precision", "recall", "f1", "support"]
        rows = [
            {"trial_id": r.trial_id, "model": r.model, "strategy": r.strategy, "seed": r.seed}
            | {name: entry[name] for name in columns}
            for r in self._ordinary
            for entry in r.test["per_class"]
        ]
        return pd.DataFrame(rows, columns=["trial_id", "model", "strategy", "seed", *columns])

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """One row a pair of classes and completed ordinary trial: how many test images of `true` were `predicted`."""
        size, records = len(self.classes), self._ordinary
        cells = size * size
        counts = [np.asarray(record.test["confusion"]).ravel() for record in records]
        names = np.asarray(self.classes, dtype=object)
        columns: dict[str, Any] = {
            name: np.repeat(np.asarray([getattr(r, name) for r in records], dtype=object), cells)
            for name in ("trial_id", "model", "strategy", "seed")
        }
        columns["true"] = np.tile(np.repeat(names, size), len(records))
        columns["predicted"] = np.tile(names, size * len(records))
        columns["count"] = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
        return pd.DataFrame(columns)

    @property
    def _ordinary(self) -> list[TrialRecord]:
        return [record for configuration in self.configurations for record in configuration.records]


HISTORY_COLUMNS = (
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "seconds",
    "images_per_second",
    "percent_trainable",
)
LEDGER_COLUMNS = [
    *("test_met_at", "trial_id", "model", "strategy", "seed", "arm", "split_digest", "train_fraction"),
    *("test_images", "host", "counted"),
]
TRIAL_COLUMNS = [
    *("trial_id", "model", "strategy", "seed", "arm", "status", "division", "split_digest", "train_fraction"),
    *METRICS,
    *("validation_accuracy", "validation_loss", "epochs_run", "best_epoch", "percent_trainable"),
    *("training_seconds", "device", "device_name", "precision", "threads", "host", "error"),
]


def read_sweep(directory: Path) -> Sweep:
    """Return the sweep that `directory` holds, finished or not.

    Raises InputError where the folder is no sweep's, or its two files are of different images. A record that cannot
    be used is set aside, never an error.
    """
    plan = _read_plan(directory / "sweep.json")
    split_file = read_split_file(directory / "split.json")
    if plan["images_digest"] != split_file.images_digest:
        raise InputError(
            f"{directory / 'sweep.json'} and split.json are of different images; restore the file that was replaced"
        )
    records, unreadable = _read_records(directory / "trials")
    tested = _tested(split_file)
    records, unfit = _divide(records, lambda record: _misfit(record, tested, split_file.classes))
    planned = [trial for each in plan["planned"] if (trial := PlannedTrial(**each)).split_digest in tested]
    order = {trial.trial_id: place for place, trial in enumerate(planned)}
    records.sort(key=lambda record: (order.get(record.trial_id, len(order)), record.trial_id))
    condition_of = _conditions(split_file)
    replaced = (*_read_records(directory / EARLIER)[0], *_read_damaged(directory / DAMAGED))
    main, *others = _by_weight(records, planned, split_file, condition_of)

    def of(condition: Condition, *beside: Sweep) -> Sweep:
        return Sweep(
            name=plan["name"],
            split_file=split_file,
            division=split_file.divisions[condition.division],
            train_fraction=condition.train_fraction,
            planned=tuple(trial for trial in planned if condition_of(trial) == condition),
            fingerprint=plan["fingerprint"],
            calls=tuple(plan["calls"]),
            records=tuple(record for record in records if condition_of(record) == condition),
            others=beside,
            set_aside=tuple(sorted([*unreadable, *unfit], key=lambda aside: aside.trial_id)),
            tested_twice=_trained_again(directory, records),
            replaced=replaced,
            searched={name: searched_from(name, values) for name, values in plan.get("search", {}).items()},
        )

    return of(main, *(of(other) for other in sorted(others)))


class Condition(NamedTuple):
    """What the trials of one Sweep have in common."""

    division: int
    """Its place in split.json."""
    train_fraction: float


def _conditions(split_file: SplitFile) -> Callable[[PlannedTrial | TrialRecord], Condition]:
    """Return what tells a trial's condition; where the split is what varies, it is that of the frozen split."""
    divisions = list(enumerate(split_file.divisions))
    of_digest = {split.digest: place for place, each in reversed(divisions) for split in each.splits}
    frozen = next((place for place, each in divisions if each.seed == FROZEN_SEED and not each.n_folds), 0)

    def condition(trial: PlannedTrial | TrialRecord) -> Condition:
        fraction = trial.config.get("train_fraction", 1.0) if isinstance(trial, TrialRecord) else trial.train_fraction
        return Condition(frozen if trial.arm == SPLIT_ARM else of_digest[trial.split_digest], float(fraction))

    return condition


def _by_weight(
    records: Sequence[TrialRecord],
    planned: Sequence[PlannedTrial],
    split_file: SplitFile,
    condition_of: Callable[[PlannedTrial | TrialRecord], Condition],
) -> list[Condition]:
    """Return the conditions, first that in which most seeds are whole, which under folds takes all of them.

    So folds take the place of one split when they are as far, not when their first records come. Then go most records,
    most planned trials, most training images.
    """
    of_seeds: dict[tuple[Condition, str, str, int], set[str]] = defaultdict(set)
    for record in records:
        if record.arm == ORDINARY_ARM and record.status == "completed":
            of_seeds[condition_of(record), record.model, record.strategy, record.seed].add(record.split_digest)
    needed = [len(division.splits) for division in split_file.divisions]
    whole = Counter(each for (each, *_), met in of_seeds.items() if len(met) == needed[each.division])
    there, plans = Counter(map(condition_of, records)), Counter(map(condition_of, planned))
    return sorted(
        {*there, *plans} or {Condition(0, 1.0)},
        key=lambda each: (-whole[each], -there[each], -plans[each], -each.train_fraction, each.division),
    )


def _trained_again(directory: Path, records: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Return the trials of which a record was moved aside and that have a completed one now."""
    aside = {path.name.rpartition("-")[0] for where in (DAMAGED, EARLIER) for path in (directory / where).glob("*")}
    return tuple(r.trial_id for r in records if r.status == "completed" and r.trial_id in aside)


def _read_plan(path: Path) -> Mapping[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read; give the output folder of a sweep") from error
    except ValueError as error:
        raise InputError(f"{path} is not a whole JSON file; restore it, or run the sweep's command again") from error
    if fault := fault_of_plan(plan):
        raise InputError(f"{path} was edited: {fault} is not what a sweep writes there; restore the file")
    return plan


def _read_records(folder: Path) -> tuple[list[TrialRecord], list[SetAside]]:
    records, aside = [], []
    seen: dict[bytes, npt.NDArray[np.int64]] = {}
    for path in sorted(folder.glob("*/record.json")):
        try:
            records.append(_sharing(read_record(path.parent), seen))
        except (ValueError, TypeError, OSError) as error:
            aside.append(SetAside(trial_id=path.parent.name, reason=f"cannot be read: {error}"))
    return records, aside


def _read_damaged(folder: Path) -> Iterator[TrialRecord]:
    """Yield the completed records that were set aside and are whole but for their predictions."""
    for path in sorted(folder.glob("*/record.json")):
        with contextlib.suppress(ValueError, TypeError, OSError):
            record = read_record(path.parent, predictions_too=False)
            if record.status == "completed":
                yield record


def _sharing(record: TrialRecord, seen: dict[bytes, npt.NDArray[np.int64]]) -> TrialRecord:
    """Return the record with its images and labels taken from `seen` where they are there already.

    They are the same in nearly all records, and would be half of what a large sweep holds in memory.
    """
    if record.predictions is None:
        return record
    found = record.predictions
    shared = replace(
        found,
        validation_index=seen.setdefault(found.validation_index.tobytes(), found.validation_index),
        validation_labels=seen.setdefault(found.validation_labels.tobytes(), found.validation_labels),
        test_index=seen.setdefault(found.test_index.tobytes(), found.test_index),
        test_labels=seen.setdefault(found.test_labels.tobytes(), found.test_labels),
    )
    return replace(record, predictions=shared)


def _divide(
    records: Iterable[TrialRecord], fault: Callable[[TrialRecord], str | None]
) -> tuple[list[TrialRecord], list[SetAside]]:
    """Return the records without a fault, and the others as set aside for it."""
    kept, aside = [], []
    for record in records:
        reason = fault(record)
        if reason is None:
            kept.append(record)
        else:
            aside.append(SetAside(trial_id=record.trial_id, reason=reason))
    return kept, aside


def _tested(split_file: SplitFile) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return every split's test images and the number of each image's class, by the split's digest."""
    number = {name: place for place, name in enumerate(split_file.classes)}
    labels = np.array([number[image.label] for image in split_file.images], dtype=np.int64)
    return {
        digest: (np.flatnonzero(np.asarray(parts) == "test"), labels) for digest, parts in split_file.splits.items()
    }


def _misfit(
    record: TrialRecord,
    tested: Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    classes: Sequence[str],
) -> str | None:
    """Return why a record does not belong to the folder's images, or None; `tested` is that of `_tested`."""
    if record.split_digest not in tested:
        return "is of a split that split.json does not hold"
    if record.status == "failed":
        return _malformed(record, classes)
    if record.predictions is None:
        return "has no predictions"
    images, labels = tested[record.split_digest]
    index = record.predictions.test_index
    if not np.array_equal(np.sort(index), images):
        return "was tested on images other than its split's"
    if not np.array_equal(labels[index], record.predictions.test_labels):
        return "was tested against labels other than its split's"
    return _malformed(record, classes)


def _malformed(record: TrialRecord, classes: Sequence[str]) -> str | None:
    fault = fault_of_record(record, classes)
    return fault and f"has a value that no trial writes, or that its predictions contradict: {fault}"


def _asked_for(planned: Iterable[PlannedTrial], records: Iterable[TrialRecord]) -> list[tuple[str, str, int]]:
    """Return (model, strategy, seed) of the ordinary trials, planned ones first, none twice."""
    ordinary = [(t.model, t.strategy, t.seed) for t in planned if t.arm == ORDINARY_ARM]
    ordinary += [(r.model, r.strategy, r.seed) for r in records if r.arm == ORDINARY_ARM]
    return list(dict.fromkeys(ordinary))


def _configuration(
    pair: tuple[str, str],
    seeds: tuple[int, ...],
    found: Mapping[tuple[str, str, int], Sequence[TrialRecord]],
    digests: Sequence[str],
) -> Configuration:
    """Return a configuration's trials; `digests` are those of the splits on which every seed is to be completed."""
    of_seeds, failed = {}, []
    for seed in seeds:
        records = found.get((*pair, seed), ())
        failed += [record for record in records if record.status == "failed"]
        completed = {record.split_digest: record for record in records if record.status == "completed"}
        if all(digest in completed for digest in digests):
            of_seeds[seed] = tuple(completed[digest] for digest in digests)
    return Configuration(model=pair[0], strategy=pair[1], planned_seeds=seeds, of_seeds=of_seeds, failed=tuple(failed))


def _trial_row(record: TrialRecord) -> dict[str, Any]:
    plain = [*("trial_id", "model", "strategy", "seed", "arm", "status", "split_digest")]
    plain += ["epochs_run", "best_epoch", "percent_trainable"]
    used = ("device", "device_name", "precision", "threads", "host")
    imported = record.environment.get("source") == IMPORTED
    return (
        {name: getattr(record, name) for name in plain}
        | ({"epochs_run": None} if imported else {})
        | {metric: record.test.get(metric) for metric in METRICS}
        | {f"validation_{metric}": record.validation.get(metric) for metric in ("accuracy", "loss")}
        | {name: record.environment.get(name) for name in used}
        | {
            "training_seconds": sum(epoch["seconds"] for epoch in record.history) if record.history else None,
            "error": cause(record) if record.error else None,
        }
    )


def cause(record: TrialRecord) -> str:
    """Return what ended a failed trial, on one line."""
    message = " ".join(str(record.error.get("message", "")).split())
    kind = str(record.error.get("type", "unknown error"))
    return f"{kind}: {message}" if message else kind
