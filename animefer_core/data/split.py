"""Which image trains, which validates, which tests: stratified, grouped, and frozen to a file with a digest.

Parts that the folder gives are used as they are. A part that it does not give is cut from the images of its train
folder, stratified, in the proportions that are asked for the parts that share them: with train and test given,
validation takes 0.15 / (0.70 + 0.15) of the train folder.

    DIR/split.json    classes, images[] (path sha256 label group part), images_digest,
                      splits{} split_digest -> part of every image,
                      divisions[] (seed, splits: one digest, or one a fold), skipped[] (path reason),
                      duplicates{} (across_classes across_parts repeats)
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from animefer_core.config import FROZEN_SEED, canonical_json
from animefer_core.data.catalog import BadImage, Catalog, CatalogImage, Duplicates, images_digest
from animefer_core.data.pixels import PARTS
from animefer_core.errors import InputError
from animefer_core.record import write_atomically
from animefer_core.seeds import stream


@dataclass(frozen=True, kw_only=True)
class Split:
    """One assignment of a catalog's images to parts."""

    parts: tuple[str, ...]
    """"train", "validation" or "test" for every image, in the catalog's order."""
    digest: str
    """See `split_digest`."""

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        """Return the rows of a part's images in the catalog, ascending."""
        return np.flatnonzero(np.array(self.parts) == part).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Division:
    """A way in which the images were divided: one split, or folds that test every image once between them."""

    splits: tuple[Split, ...]
    seed: int = FROZEN_SEED
    """What it was drawn by, as far as the folder did not give its parts."""

    @property
    def n_folds(self) -> int | None:
        """Number of folds, or None for a single split."""
        return len(self.splits) if len(self.splits) > 1 else None

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.n_folds} folds" if self.n_folds else f"split {self.seed}"


@dataclass(frozen=True, kw_only=True)
class SplitFile:
    """What split.json holds."""

    classes: tuple[str, ...]
    images: tuple[CatalogImage, ...]
    images_digest: str
    splits: Mapping[str, tuple[str, ...]]
    """Split digest -> part of every image, in the order of `images`."""
    divisions: tuple[Division, ...]
    """How they came about; every split stands in one at least."""
    skipped: tuple[BadImage, ...]
    """Files that were left out as bad."""
    duplicates: Duplicates
    """Identical files, those across classes and parts having been allowed."""


def split_digest(images: Sequence[CatalogImage], parts: Sequence[str]) -> str:
    """Return the SHA-256 of the canonical JSON of the sorted [sha256, label, part] of every image."""
    rows = sorted([image.sha256, image.label, part] for image, part in zip(images, parts, strict=True))
    return hashlib.sha256(canonical_json(rows).encode()).hexdigest()


def make_split(
    catalog: Catalog, *, validation_share: float = 0.15, test_share: float = 0.15, seed: int = FROZEN_SEED
) -> Split:
    """Return a stratified split of the catalog; the same for the same images, labels, shares and seed.

    Shares are fractions of the images; every class has at least one image in each part. Identical files stay in one
    part together, and so do the images of a group. Names and order of the files decide nothing.

    Raises InputError where the shares leave nothing for a part, or a class has too few images that may be parted.
    """
    shares = _shares(validation_share, test_share)
    given = {image.part for image in catalog.images if image.part}
    cut = [part for part in PARTS if part == "train" or part not in given]
    parts = [image.part or "train" for image in catalog.images]
    if len(cut) > 1:
        pool = [row for row, part in enumerate(parts) if part == "train"]
        chosen = _cut(catalog, pool, {part: shares[part] for part in cut}, stream(seed, "split"))
        for row, part in chosen.items():
            parts[row] = part
    return Split(parts=tuple(parts), digest=split_digest(catalog.images, parts))


def make_folds(
    catalog: Catalog, n_folds: int, *, validation_share: float = 0.15, test_share: float = 0.15, seed: int = FROZEN_SEED
) -> tuple[Split, ...]:
    """Return a stratified split for every fold, whose test images are that fold; the folds hold every image once.

    Of the other images, validation takes the share that it has of those outside the test part. Files and groups stay
    together as in `make_split`. Raises InputError for a folder that gives its own parts, fewer than two folds, or more
    than the smallest class has images, or groups, to part.
    """
    shares = _shares(validation_share, test_share)
    if any(image.part for image in catalog.images):
        raise InputError(
            f"--folds {n_folds}: {catalog.root} gives parts of its own; put all images into class folders."
        )
    if n_folds < 2:
        raise InputError(f"--folds {n_folds}: give 2 or more.")
    everything = list(range(len(catalog.images)))
    names = [str(fold) for fold in range(n_folds)]
    try:
        fold_of = _cut(catalog, everything, dict.fromkeys(names, 1.0), stream(seed, "folds"))
        return tuple(
            _tested_in(
                catalog, [row for row in everything if fold_of[row] == fold], shares, stream(seed, "split", number)
            )
            for number, fold in enumerate(names)
        )
    except InputError as error:
        raise InputError(f"--folds {n_folds}: {error}, or give fewer folds.") from error


def _tested_in(catalog: Catalog, test: Sequence[int], shares: Mapping[str, float], rng: np.random.Generator) -> Split:
    """Return the split whose test part is `test`, the rest cut into training and validation."""
    rest = sorted(set(range(len(catalog.images))) - set(test))
    of_rest = _cut(catalog, rest, {part: shares[part] for part in ("train", "validation")}, rng)
    parts = tuple(of_rest.get(row, "test") for row in range(len(catalog.images)))
    return Split(parts=parts, digest=split_digest(catalog.images, parts))


def _shares(validation: float, test: float) -> dict[str, float]:
    """Return every part's share; raises InputError where one is left with nothing."""
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    if min(shares.values()) <= 0:
        raise InputError(
            f"shares of {validation} for validation and {test} for test leave a part without images; "
            "give two positive shares whose sum is below 1"
        )
    return shares


def _cut(
    catalog: Catalog, pool: Sequence[int], shares: Mapping[str, float], rng: np.random.Generator
) -> dict[int, str]:
    """Return the part of every row of the pool.

    Sets of images that belong together are dealt out, the largest first, each to a part drawn in proportion to the
    room that is left there for its classes. Where all sets are single images that is a uniformly random stratified
    split with exact counts.
    """
    names = list(shares)
    sets = _inseparable(catalog.images, pool)
    sizes = Counter(catalog.images[row].label for row in pool)
    left = Counter(label for rows in sets for label in {catalog.images[row].label for row in rows})
    _check_enough(catalog, sizes, left, len(names))
    room = part_counts(sizes, list(shares.values()))
    empty = {label: set(range(len(names))) for label in room}
    parts: dict[int, str] = {}
    for rows in sets:
        labels = Counter(catalog.images[row].label for row in rows)
        choice = _choose(labels, room, _allowed(labels, left, empty, len(names)), rng)
        for label, count in labels.items():
            room[label][choice] -= count
            left[label] -= 1
            empty[label].discard(choice)
        parts.update(dict.fromkeys(rows, names[choice]))
    if lacking := sorted(label for label in empty if empty[label]):
        raise InputError(f"the groups of {catalog.root} are too few to put class {lacking[0]} into every part; regroup")
    return parts


def _inseparable(images: Sequence[CatalogImage], pool: Sequence[int]) -> list[list[int]]:
    """Return the sets of rows that share a file's content or a group, the largest first, then by content."""
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for row in pool:
        if images[row].group is not None:
            parent[find(images[row].sha256)] = find(f"group {images[row].group}")
    sets: dict[str, list[int]] = defaultdict(list)
    for row in sorted(pool, key=lambda row: images[row].sha256):
        sets[find(images[row].sha256)].append(row)
    return sorted(sets.values(), key=len, reverse=True)


def part_counts(sizes: Mapping[str, int], shares: Sequence[float]) -> dict[str, list[int]]:
    """Return how many images of each class go to each part: {class: [count of every share]}.

    A count is the exact one rounded down or up, at least 1. Which are rounded up is settled over the classes, in
    sorted order, by how far each part has fallen behind, so that the parts' totals are exact as well.
    """
    portions = np.array(shares) / sum(shares)
    behind = np.zeros(len(shares))
    counts = {}
    for label in sorted(sizes):
        exact = np.round(portions * sizes[label], 9)
        count = np.floor(exact).astype(int)
        need = np.where(exact > count, behind + exact - count, -np.inf)
        count[np.argsort(-need, kind="stable")[: sizes[label] - int(count.sum())]] += 1
        for part in np.flatnonzero(count == 0):
            count[np.argmax(count)] -= 1
            count[part] = 1
        behind = np.round(behind + exact - count, 9)
        counts[label] = [int(number) for number in count]
    return counts


def _check_enough(catalog: Catalog, sizes: Mapping[str, int], sets: Mapping[str, int], parts: int) -> None:
    """Raise InputError for a class with fewer sets of images than parts."""
    for label in sorted(sizes):
        if sets[label] < parts:
            alike = f", of which only {sets[label]} are neither copies nor of one group" * (sets[label] < sizes[label])
            raise InputError(
                f"class {label} of {catalog.root} has too few images to split: {sizes[label]}{alike}, "
                f"where at least {parts} are needed; add images or remove the class"
            )


def _allowed(
    labels: Mapping[str, int], left: Mapping[str, int], empty: Mapping[str, set[int]], parts: int
) -> list[int]:
    """Return the parts that may take a set: those without a class of it, once that class has no sets to spare."""
    allowed = set(range(parts))
    for label in labels:
        if left[label] <= len(empty[label]) and allowed & empty[label]:
            allowed &= empty[label]
    return sorted(allowed)


def _choose(
    labels: Mapping[str, int], room: Mapping[str, Sequence[int]], allowed: Sequence[int], rng: np.random.Generator
) -> int:
    """Return a part drawn in proportion to its room among those that can take the set, else the least overfull."""
    overflow = {part: sum(max(0, count - room[label][part]) for label, count in labels.items()) for part in allowed}
    fitting = [part for part in allowed if overflow[part] == 0]
    if not fitting:
        return min(allowed, key=lambda part: overflow[part])
    weights = np.cumsum([sum(room[label][part] for label in labels) for part in fitting])
    return fitting[int(np.searchsorted(weights, rng.integers(weights[-1]), side="right"))]


def write_split_file(path: Path, catalog: Catalog, divisions: Sequence[Division]) -> None:
    """Write a catalog's images, once, and divisions of it, atomically."""
    content = {
        "classes": catalog.classes,
        "images": [asdict(image) for image in catalog.images],
        "images_digest": catalog.images_digest,
        "splits": {split.digest: split.parts for division in divisions for split in division.splits},
        "divisions": [
            {"seed": division.seed, "splits": [split.digest for split in division.splits]} for division in divisions
        ],
        "skipped": [asdict(file) for file in catalog.bad],
        "duplicates": asdict(catalog.duplicates),
    }
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def read_split_file(path: Path) -> SplitFile:
    """Return what `write_split_file` wrote.

    Raises InputError where the file is missing or cut, or its digests are not those of its images and parts.
    """
    advice = "restore it, or name a new output folder"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        file = _split_file(values)
        digests = {digest: split_digest(file.images, parts) for digest, parts in file.splits.items()}
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; {advice}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a whole split file; {advice}") from error
    unknown = {image.label for image in file.images} - set(file.classes)
    if (
        images_digest(file.images) != file.images_digest
        or any(key != value for key, value in digests.items())
        or unknown
    ):
        raise InputError(f"{path} was changed after it was written; {advice}")
    return file


def _split_file(values: Mapping[str, Any]) -> SplitFile:
    duplicates = values["duplicates"]
    splits = {digest: Split(parts=tuple(parts), digest=digest) for digest, parts in values["splits"].items()}
    return SplitFile(
        classes=tuple(values["classes"]),
        images=tuple(CatalogImage(**image) for image in values["images"]),
        images_digest=values["images_digest"],
        splits={digest: split.parts for digest, split in splits.items()},
        divisions=tuple(
            Division(seed=each["seed"], splits=tuple(splits[digest] for digest in each["splits"]))
            for each in values["divisions"]
        ),
        skipped=tuple(BadImage(**file) for file in values["skipped"]),
        duplicates=Duplicates(
            across_classes=tuple(tuple(paths) for paths in duplicates["across_classes"]),
            across_parts=tuple(tuple(paths) for paths in duplicates["across_parts"]),
            repeats=duplicates["repeats"],
        ),
    )
