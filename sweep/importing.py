"""Predictions made elsewhere -> records, from which tables and report follow as from a sweep's.

    FILE ─▶ predictions.py: read and checked as a whole ─▶ DIR/split.json, DIR/sweep.json, DIR/trials/<trial_id>/

An imported image is known by its name alone. In DIR/split.json the name stands where a sweep's images have their
SHA-256, so that the digests there are over (image, label, part). A record without probabilities has
`environment["probabilities"]` false, no loss and no ECE; its logits are 0 for the predicted class and minus infinity
for all others: the class can be read from them, and no loss that looks like one.
"""

import datetime
import hashlib
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from animefer_core.config import canonical_json
from animefer_core.data.catalog import Catalog, CatalogImage
from animefer_core.data.split import Division, Split, SplitFile, read_split_file, split_digest, write_split_file
from animefer_core.errors import InputError
from animefer_core.metrics import evaluate
from animefer_core.record import Predictions, TrialRecord, read_record, write_atomically, write_record
from sweep.folder import locked, read_sweep_file
from sweep.frames import IMPORTED, ORDINARY_ARM
from sweep.predictions import PARTS, TRIAL, Table, check_table, read_table

SMALLEST = float(np.finfo(np.float64).eps)
"""What a probability of 0 counts as in the loss: scikit-learn's choice in `log_loss`."""
SAME_LOGIT = 1e-5
"""Difference up to which two logits are one number, written and read again."""

Logits = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did."""

    added: int
    """Records written."""
    present: int
    """Trials of the file whose records, with equal predictions, were there already."""
    images: Mapping[str, int]
    """Images of each part."""
    classes: int
    probabilities: bool
    ignored: tuple[str, ...]
    """Columns of the file that were not read."""

    def lines(self) -> Iterator[str]:
        """Say it in words."""
        parts = " and ".join(f"{count} {part}" for part, count in self.images.items())
        there = f", {self.present} there already" if self.present else ""
        yield f"{self.added} trials imported{there}: {parts} images of {self.classes} classes"
        if not self.probabilities:
            yield "predicted classes without probabilities: loss, calibration error and ECE are left out"
        if self.ignored:
            yield f"columns that were not read: {', '.join(self.ignored)}"


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A checked file: every trial over the same images, in the same order."""

    catalog: Catalog
    """Images sorted by name, their part given."""
    split: Split
    names: Sequence[tuple[str, str, int]]
    """(model, strategy, seed) of every trial."""
    guesses: npt.NDArray[Any]
    """(trials, images, classes) probabilities, or (trials, images) predicted class numbers."""

    @property
    def probabilities(self) -> bool:
        """Whether the file has probabilities."""
        return self.guesses.ndim == 3

    def config(self, number: int) -> dict[str, Any]:
        """Return what identifies a trial; its id is the hash of this."""
        return {**dict(zip(TRIAL, self.names[number], strict=True)), "images_digest": self.catalog.images_digest}

    def trial_id(self, number: int) -> str:
        """Return the first 16 hexadecimal digits of the SHA-256 of the config's canonical JSON."""
        return hashlib.sha256(canonical_json(self.config(number)).encode()).hexdigest()[:16]


def import_predictions(file: Path, out: Path) -> Imported:
    """Write a record into `out`/trials/ for every trial of `file`, and return what was done.

    The file is checked as a whole before anything is written. Into a folder of earlier imports of the same images,
    trials are added; one that is there already, with equal predictions, is left as it is.

    Raises InputError, with the file's line, where the file cannot be used as it is, and where `out` holds a sweep,
    predictions of other images, or other predictions of the same trial.
    """
    table = read_table(file)
    check_table(table)
    with locked(out):
        there = _earlier_imports(out)
        trials = _arranged(table, _settled_classes(table, there))
        if there is not None:
            _check_same_images(out, there, trials.catalog)
        missing = _missing_records(out, trials)
        if missing:
            write_split_file(out / "split.json", trials.catalog, [Division(splits=(trials.split,))])
            _note_import(out, file, trials)
        for record in missing:
            write_record(out / "trials", record)
    counts = {part: trials.split.parts.count(part) for part in PARTS}
    return Imported(
        added=len(missing),
        present=len(trials.names) - len(missing),
        images={part: count for part, count in counts.items() if count},
        classes=len(trials.catalog.classes),
        probabilities=trials.probabilities,
        ignored=table.ignored,
    )


def _earlier_imports(out: Path) -> SplitFile | None:
    """Return the images of the folder's earlier imports, None where there is none; raises InputError for a sweep."""
    sweep = read_sweep_file(out)
    if sweep and sweep.get("fingerprint", {}).get("source") != IMPORTED:
        raise InputError(f"--out {out}: it holds a sweep, which no imported predictions may join; choose a new folder.")
    return read_split_file(out / "split.json") if (out / "split.json").exists() else None


def _settled_classes(table: Table, there: SplitFile | None) -> tuple[str, ...]:
    """Return the file's classes, or the folder's where the file has no p_ columns and fewer labels."""
    if there is None or table.classes == there.classes:
        return table.classes
    if table.probabilities is None and set(table.classes) < set(there.classes):
        return there.classes
    here, folder = (", ".join(classes) for classes in (table.classes, there.classes))
    raise InputError(f"{table.file} has the classes {here}, and the folder has {folder}; choose a new folder by --out.")


def _arranged(table: Table, classes: tuple[str, ...]) -> Trials:
    """Return the trials of a checked table, images sorted by name."""
    first = table.first_of_image
    labels, parts = table.values("label")[first], tuple(table.values("part")[first])
    groups = table.values("group")[first] if "group" in table.rows.columns else [""] * len(first)
    images = tuple(
        CatalogImage(path=name, label=label, sha256=name, group=group or None, part=part)
        for name, label, group, part in zip(table.image_names, labels, groups, parts, strict=True)
    )
    order = np.argsort(table.trial * len(images) + table.image)
    guesses: npt.NDArray[Any]
    if table.probabilities is None:
        guesses = pd.Index(classes).get_indexer(pd.Index(table.values("predicted")))[order].reshape(-1, len(images))
    else:
        guesses = table.probabilities[order].reshape(-1, len(images), len(classes))
    columns = (table.values(name)[table.first_of_trial] for name in TRIAL)
    return Trials(
        catalog=Catalog(root=table.file, classes=classes, images=images),
        split=Split(parts=parts, digest=split_digest(images, parts)),
        names=[(model, strategy, int(seed)) for model, strategy, seed in zip(*columns, strict=True)],
        guesses=guesses,
    )


def _check_same_images(out: Path, there: SplitFile, here: Catalog) -> None:
    if there.images_digest != here.images_digest:
        raise InputError(f"--out {out}: it holds predictions of other images, labels or parts; choose a new folder.")
    for one, other in zip(there.images, here.images, strict=True):
        if one.group != other.group:
            raise InputError(
                f"--out {out}: image {one.path!r} has group {one.group!r} there and {other.group!r} here; "
                "correct it, or choose a new folder."
            )


def _missing_records(out: Path, trials: Trials) -> list[TrialRecord]:
    """Return the records that the folder lacks; raises InputError where it has other predictions of a trial."""
    numbers = {name: number for number, name in enumerate(trials.catalog.classes)}
    labels = np.asarray([numbers[image.label] for image in trials.catalog.images], dtype=np.int64)
    missing = []
    for number, (model, strategy, seed) in enumerate(trials.names):
        predictions = _predictions(trials, number, labels)
        present = _present(out / "trials" / trials.trial_id(number))
        if present is None:
            missing.append(_record(trials, number, predictions))
        elif not _same(predictions, present):
            trial = f"{model}/{strategy} with seed {seed}"
            raise InputError(f"--out {out}: it has other predictions of {trial}; choose a new folder.")
    return missing


def _present(directory: Path) -> Predictions | None:
    """Return a whole record's predictions; one that was cut or edited is written anew, as if it were not there."""
    try:
        return read_record(directory).predictions
    except (OSError, ValueError, TypeError):
        return None


def _same(one: Predictions, other: Predictions) -> bool:
    ours, theirs = one.arrays(), other.arrays()
    return ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and np.allclose(ours[name], theirs[name], rtol=0, atol=SAME_LOGIT)
        for name in ours
    )


def _predictions(trials: Trials, number: int, labels: Numbers) -> Predictions:
    guesses = trials.guesses[number]
    logits = logarithms(guesses) if trials.probabilities else certain(guesses, len(trials.catalog.classes))
    validation, test = (trials.split.rows(part) for part in PARTS)
    return Predictions(
        validation_logits=logits[validation],
        validation_labels=labels[validation],
        validation_index=validation,
        test_logits=logits[test],
        test_labels=labels[test],
        test_index=test,
    )


def logarithms(probabilities: npt.NDArray[np.float64]) -> Logits:
    """Return (images, classes) logits: the logarithms of the probabilities, a 0 counted as `SMALLEST`.

    The class with the highest probability keeps the highest logit also where single precision makes it a tie.
    """
    logits = np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)
    guess = probabilities.argmax(axis=1)
    rows = np.flatnonzero(logits.argmax(axis=1) != guess)
    logits[rows, guess[rows]] = np.nextafter(logits[rows].max(axis=1), np.float32(1))
    return logits


def certain(guesses: Numbers, classes: int) -> Logits:
    """Return (images, classes) logits that hold a predicted class and nothing else: 0 for it, else minus infinity."""
    logits = np.full((len(guesses), classes), -np.inf, dtype=np.float32)
    logits[np.arange(len(guesses)), guesses] = 0
    return logits


def _record(trials: Trials, number: int, predictions: Predictions) -> TrialRecord:
    model, strategy, seed = trials.names[number]
    environment: dict[str, Any] = {"source": IMPORTED, "probabilities": trials.probabilities}
    if trials.probabilities:
        test = trials.guesses[number][predictions.test_index]
        zeros = test[np.arange(len(test)), predictions.test_labels] == 0
        environment["zero_probabilities"] = int(zeros.sum())
    return TrialRecord(
        trial_id=trials.trial_id(number),
        model=model,
        strategy=strategy,
        seed=seed,
        arm=ORDINARY_ARM,
        status="completed",
        config=trials.config(number),
        split_digest=trials.split.digest,
        weights_digest="",
        validation=_metrics(trials, predictions.validation_logits, predictions.validation_labels),
        test=_metrics(trials, predictions.test_logits, predictions.test_labels),
        environment=environment,
        predictions=predictions,
    )


def _metrics(trials: Trials, logits: Logits, labels: Numbers) -> dict[str, Any]:
    """Return a record's validation{} or test{}: empty without images, loss and ECE null without probabilities."""
    if not labels.size:
        return {}
    values = evaluate(logits, labels, trials.catalog.classes)
    return values if trials.probabilities else values | {"loss": None, "ece": None}


def _note_import(out: Path, file: Path, trials: Trials) -> None:
    """Add the call and its trials to sweep.json, in the form of `sweep.folder.note_call`."""
    sweep = read_sweep_file(out)
    planned = {trial["trial_id"]: trial for trial in sweep.get("planned", [])}
    for number, name in enumerate(trials.names):
        key = trials.trial_id(number)
        names = dict(zip(TRIAL, name, strict=True))
        planned[key] = {"trial_id": key, **names, "arm": ORDINARY_ARM, "split_digest": trials.split.digest}
    call = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "command": ["animefer", "import", str(file), "--out", str(out)],
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    content = {
        "name": out.resolve().name,
        "images_digest": trials.catalog.images_digest,
        "fingerprint": {"source": IMPORTED},
        "strategy": {},
        "weights": {},
        "planned": list(planned.values()),
        "calls": [*sweep.get("calls", []), call],
    }
    write_atomically(out / "sweep.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
