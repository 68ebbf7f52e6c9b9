"""A folder of images -> paths, labels and SHA-256 digests; every file opened once, bad ones named.

Two layouts are read:

    ROOT/<class>/**/<image>            parts are cut by split.py
    ROOT/<part>/<class>/**/<image>     parts are given: train or training; valid, val or validation; test or testing

Hidden files, files whose name has no image's ending and images beside the class folders are no part of the data.
Symbolic links are followed.
"""

import hashlib
import os
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from animefer_core.config import Fit, canonical_json
from animefer_core.data.pixels import BadImageError, Pixels, decode
from animefer_core.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
NAMED_AT_MOST = 20
"""Files named in one message; those beyond are counted only."""

_WANTED = "name a folder that holds one folder of images for each class"


@dataclass(frozen=True, kw_only=True)
class CatalogImage:
    """One image file."""

    path: str
    """Relative to the root, with forward slashes."""
    label: str
    """The class folder's name, in Unicode's composed form."""
    sha256: str
    """Of the file's bytes, hexadecimal."""
    group: str | None = None
    """Images of one group stay in one part together."""
    part: str | None = None
    """The given part: "train", "validation" or "test"; None where parts are to be cut."""


@dataclass(frozen=True, kw_only=True)
class BadImage:
    """A file that was left out."""

    path: str
    """Relative to the root, with forward slashes."""
    reason: str
    """Why, as the end of a sentence that starts with the path."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which files are identical, byte for byte."""

    across_classes: tuple[tuple[str, ...], ...] = ()
    """Sets of paths of identical files that lie in more than one class."""
    across_parts: tuple[tuple[str, ...], ...] = ()
    """Sets of paths of identical files that lie in more than one given part."""
    repeats: int = 0
    """Files beyond the first of every set of identical ones within a class and given part."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The images of a folder."""

    root: Path
    classes: tuple[str, ...]
    """Sorted."""
    images: tuple[CatalogImage, ...]
    """Sorted by path."""
    bad: tuple[BadImage, ...] = ()
    """Files left out by `skip_bad`, sorted by path."""
    duplicates: Duplicates = Duplicates()

    @cached_property
    def images_digest(self) -> str:
        """Which images these are; see `images_digest`."""
        return images_digest(self.images)


def images_digest(images: Sequence[CatalogImage]) -> str:
    """Return the SHA-256 of the canonical JSON of the sorted [sha256, label, given part or ""] of every image.

    Names and order of the files do not enter it: the same images under the same labels are the same data.
    """
    rows = sorted([image.sha256, image.label, image.part or ""] for image in images)
    return hashlib.sha256(canonical_json(rows).encode()).hexdigest()


def read_images(
    root: Path, size: int, *, skip_bad: bool = False, allow_duplicates: bool = False, fit: Fit = "crop"
) -> tuple[Catalog, Pixels]:
    """Return a folder's catalog and its images as (images, 3, size, size), each file opened, hashed and decoded once.

    `fit` says how images that are no squares become some, as in `decode`.
    `skip_bad` leaves out files that cannot be used and lists them in the catalog; `allow_duplicates` goes on where
    identical files carry different labels or lie in different given parts.

    Raises InputError where the folder, its layout, a class or files cannot be used as they are.
    """
    try:
        files = _list_files(root)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}; make it readable") from error
    pixels = np.empty((len(files), 3, size, size), dtype=np.uint8)
    results = _read_files(root, files, pixels, fit)
    good = [row for row, result in enumerate(results) if isinstance(result, CatalogImage)]
    images = tuple(result for result in results if isinstance(result, CatalogImage))
    bad = tuple(result for result in results if isinstance(result, BadImage))
    if bad and not skip_bad:
        raise InputError(_bad_message(root, bad))
    _check_classes(root, files, images)
    duplicates = find_duplicates(images)
    if not allow_duplicates:
        _check_duplicates(root, duplicates)
    catalog = Catalog(
        root=root, classes=tuple(sorted({i.label for i in images})), images=images, bad=bad, duplicates=duplicates
    )
    return catalog, _keep_rows(pixels, good)


def find_duplicates(images: Sequence[CatalogImage]) -> Duplicates:
    """Return which of the images are identical files."""
    same: dict[str, list[CatalogImage]] = defaultdict(list)
    for image in images:
        same[image.sha256].append(image)
    sets = [copies for copies in same.values() if len(copies) > 1]
    places = Counter((image.sha256, image.label, image.part) for image in images)
    return Duplicates(
        across_classes=tuple(_paths(copies) for copies in sets if len({image.label for image in copies}) > 1),
        across_parts=tuple(_paths(copies) for copies in sets if len({image.part for image in copies}) > 1),
        repeats=sum(places.values()) - len(places),
    )


@dataclass(frozen=True, kw_only=True)
class _File:
    """An image file before it is opened; the fields are CatalogImage's."""

    path: str
    label: str
    part: str | None


def _list_files(root: Path) -> list[_File]:
    """Return the image files below a root in the order of their paths, or raise InputError for its layout."""
    if not root.exists():
        raise InputError(f"{root} does not exist; {_WANTED}")
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {_WANTED}")
    given = _part_folders(root)
    files = [
        _File(
            path=path.relative_to(root).as_posix(),
            label=_printable(unicodedata.normalize("NFC", folder.name)),
            part=part,
        )
        for part, place in (given.items() if given else [(None, root)])
        for folder in _class_folders(place)
        for path in _image_files(folder, {_identity(root), _identity(place)})
    ]
    return sorted(files, key=lambda file: file.path)


def _part_folders(root: Path) -> dict[str | None, Path]:
    """Return the given parts' folders; none where the root holds class folders."""
    folders = _folders(root)
    named = [folder for folder in folders if folder.name.casefold() in PART_FOLDERS]
    parts: dict[str | None, Path] = {PART_FOLDERS[folder.name.casefold()]: folder for folder in named}
    if not parts or (len(parts) == 1 and len(folders) > 1):
        return {}
    if len(parts) < len(named):
        raise InputError(f"{root} has two folders for one part among {_names(named)}; keep one of each")
    if "train" not in parts:
        raise InputError(f"{root} has {_names(named)} but no train folder; add it")
    if others := [folder for folder in folders if folder not in named]:
        raise InputError(f"{root} has {_names(others)} beside {_names(named)}; move what is no part of the data away")
    return parts


def _class_folders(place: Path) -> list[Path]:
    """Return the class folders of a place, or raise InputError where there are none."""
    folders = _folders(place)
    if not folders and any(_is_image(path) for path in place.iterdir()):
        raise InputError(f"{place} holds images but no class folders; move the images of each class into a folder")
    bare = [folder for folder in folders if next(_image_files(folder, set()), None) is None]
    if len(bare) == len(folders):
        raise InputError(f"{place} has no images; {_WANTED}")
    if bare:
        raise InputError(f"{bare[0]} is a class without images; add images to it, or remove or hide the folder")
    return folders


def _folders(place: Path) -> list[Path]:
    """Return the sub-folders that are not hidden, sorted by name."""
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _image_files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the image files of a folder and its sub-folders, none of them entered twice."""
    if _identity(folder) in seen:
        return
    seen.add(_identity(folder))
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _image_files(path, seen)
        elif _is_image(path):
            yield path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _identity(folder: Path) -> tuple[int, int]:
    """Return what tells a folder from all others, whichever links lead to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _read_files(root: Path, files: Sequence[_File], pixels: Pixels, fit: Fit) -> list[CatalogImage | BadImage]:
    """Read the files on several threads, each into its row of the pixels; results in the files' order."""
    # Pillow warns of broken metadata in images that are whole.
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module="PIL")
        return list(pool.map(partial(_read_file, root, pixels, fit), range(len(files)), files))


def _read_file(root: Path, pixels: Pixels, fit: Fit, row: int, file: _File) -> CatalogImage | BadImage:
    """Hash one file, and decode it into its row of the pixels."""
    try:
        content = _content(root / file.path)
        pixels[row] = decode(content, pixels.shape[-1], fit)
    except BadImageError as error:
        return BadImage(path=_printable(file.path), reason=str(error))
    return CatalogImage(path=file.path, label=file.label, part=file.part, sha256=hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    """Return a file's bytes, or raise BadImageError; a pipe or device is not waited for."""
    if _printable(str(path)) != str(path):
        raise BadImageError("has a name that is not Unicode")
    if not path.is_file():
        raise BadImageError("is no file, or a link that leads nowhere")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror}") from error


def _printable(path: str) -> str:
    """Return a path with bytes that are not Unicode written out."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _keep_rows(pixels: Pixels, rows: Sequence[int]) -> Pixels:
    """Return some rows, ascending, moved to the front of the same memory: a second array might not fit."""
    for place, row in enumerate(rows):
        if place != row:
            pixels[place] = pixels[row]
    return pixels[: len(rows)]


def _check_classes(root: Path, files: Sequence[_File], images: Sequence[CatalogImage]) -> None:
    """Raise InputError for a single class, or a class that has no usable image in all or one of the given parts."""
    labels = sorted({file.label for file in files})
    if len(labels) == 1:
        raise InputError(f"{root} has only one class, {labels[0]}; put the images of at least two in a folder each")
    present = {(image.part, image.label) for image in images}
    for part in {file.part: None for file in files}:
        if missing := [label for label in labels if (part, label) not in present]:
            where = f"the {part} folder of {root}" if part else f"{root}"
            raise InputError(f"{where} has no usable image of class {', '.join(missing)}; add some or remove the class")


def _check_duplicates(root: Path, duplicates: Duplicates) -> None:
    """Raise InputError where identical files would teach two labels, or be trained on and tested."""
    advice = "remove all but one of each, or pass --allow-duplicates to go on and have the report say so"
    for sets, where in ((duplicates.across_classes, "classes"), (duplicates.across_parts, "parts")):
        if sets:
            named = _first_named([" = ".join(paths) for paths in sets])
            raise InputError(f"{root} has identical files in different {where}: {named}; {advice}")


def _bad_message(root: Path, bad: Sequence[BadImage]) -> str:
    named = _first_named([f"{_printable(str(root))}/{file.path} {file.reason}" for file in bad])
    count = "1 image" if len(bad) == 1 else f"{len(bad)} images"
    return f"{count} cannot be used: {named}; mend or remove them, or pass --skip-bad to leave them out"


def _first_named(names: Sequence[str]) -> str:
    """Return the names in one line, those beyond the first twenty counted only."""
    rest = len(names) - NAMED_AT_MOST
    return "; ".join(names[:NAMED_AT_MOST]) + (f"; and {rest} more" if rest > 0 else "")


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


def _paths(images: Sequence[CatalogImage]) -> tuple[str, ...]:
    return tuple(image.path for image in images)
