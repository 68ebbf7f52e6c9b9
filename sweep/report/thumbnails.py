"""The misread test images themselves, small enough to stand in the page: read only where they are as they were.

    sweep.json's last data folder ─▶ file, its SHA-256 as in split.json ─▶ the square the models saw ─▶ data: URI

Each carries as what every configuration's models read it, so that the page can show those of one cell of a confusion
matrix.
"""

import base64
import hashlib
import io
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from animefer_core.data.pixels import BadImageError, decode
from sweep.frames import Sweep
from sweep.report.misread import Readings, readings
from sweep.report.words import count
from sweep.settings import DEMO

SIDE = 96
"""In pixels."""
BUDGET = 320_000
"""Bytes of all thumbnails of a page with all that is said of each: with them, that of 80 trials stays under 4 MB."""
WORDS = 350
"""Bytes of a thumbnail's element without its names, its picture and who misread it."""
WORST = 24
"""Images that the page shows before a pair is chosen."""
OF_EACH_PAIR = 3
"""Images that each pair of classes has before further ones of any pair."""
QUALITY = 60


@dataclass(frozen=True, kw_only=True)
class Face:
    """One misread image."""

    image: str
    """Its path in split.json."""
    true: int
    """Class number."""
    share: float
    """Of the models that misread it."""
    mostly: int
    """The wrong class as which most models read it."""
    mistakes: Sequence[tuple[int, int, int]]
    """Place among `Faces.configurations`, wrong class number, how many of its seeds read the image so."""
    uri: str

    @property
    def written(self) -> str:
        """The mistakes as the page's script reads them."""
        return " ".join(",".join(map(str, mistake)) for mistake in self.mistakes)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Images of one class that some models read as another one."""

    true: int
    predicted: int
    shown: int
    """Of them on the page."""
    of: int


@dataclass(frozen=True, kw_only=True)
class Faces:
    """What the page shows of the misread images, and says of them."""

    shown: Sequence[Face] = ()
    """The worst first."""
    told: str
    pairs: Sequence[Pair] = ()
    configurations: Sequence[tuple[str, str]] = ()
    """Model and strategy."""
    seeds: Sequence[int] = ()
    """How many each configuration has."""


def faces(sweep: Sweep, root: Path | None) -> Faces:
    """Return the thumbnails of the images misread most often, as many as `BUDGET` allows; they lie in `root`, if there.

    The worst come first, then the worst of each pair of classes, then the rest. A file that is not there, or not the
    one that was tested, is left out and counted.
    """
    found = readings(sweep)
    rows = [] if found is None else _in_order(found)
    if found is None or not rows:
        return Faces(told="There is no misread image to show.")
    if root is None:
        return Faces(told="The images are not at hand where this page was written, so that none is shown.")
    shown: dict[int, Face] = {}
    lacking = spent = tried = 0
    for row in rows:
        tried += 1
        uri = _thumbnail(sweep, root, int(found.images[row]))
        if uri is None:
            lacking += 1
            continue
        face = _face(sweep, found, row, uri)
        if spent + _size(face) > BUDGET:
            tried -= 1
            break
        spent += _size(face)
        shown[row] = face
    return Faces(
        shown=[shown[row] for row in _worst_first(found) if row in shown],
        told=_told(len(shown), len(rows), lacking, everything=tried == len(rows)),
        pairs=list(_pairs(found, list(shown))),
        configurations=found.configurations,
        seeds=found.seeds.tolist(),
    )


def data_folder(sweep: Sweep, directory: Path) -> Path | None:
    """Return the folder of images that the sweep's last call named, if it is there; drawn faces lie in `directory`."""
    if sweep.data is None:
        return None
    folder = directory / "faces" if sweep.data == DEMO else Path(sweep.data)
    # Unlike Path.is_dir, this takes any text for a path, and one that is too long for one that is not there.
    return folder if os.path.isdir(folder) else None  # noqa: PTH112


def _worst_first(found: Readings) -> list[int]:
    wrong = found.wrong.sum(axis=1)
    order = np.lexsort((found.images, -found.always, -wrong))
    return [int(row) for row in order if wrong[row]]


def _in_order(found: Readings) -> list[int]:
    """Return the rows of the misread images in the order in which they are given room."""
    worst = _worst_first(found)
    predicted = found.wrong.argmax(axis=1)
    of_pair: Counter[tuple[int, int]] = Counter()
    early, late = worst[:WORST], list[int]()
    for row in worst[WORST:]:
        pair = (int(found.labels[row]), int(predicted[row]))
        of_pair[pair] += 1
        (early if of_pair[pair] <= OF_EACH_PAIR else late).append(row)
    return early + late


def _thumbnail(sweep: Sweep, root: Path, row: int) -> str | None:
    """Return an image of split.json as a data: URI of the square that models saw; None where it is not the same."""
    image = sweep.split_file.images[row]
    path = root / image.path
    try:
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != image.sha256:
            return None
        pixels = decode(content, SIDE, sweep.fingerprint.get("fit", "crop"))
    except (OSError, BadImageError):
        return None
    stream = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(stream, "WEBP", quality=QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _face(sweep: Sweep, found: Readings, row: int, uri: str) -> Face:
    wrong = found.by_configuration[:, row].copy()
    wrong[:, found.labels[row]] = 0
    return Face(
        image=sweep.split_file.images[int(found.images[row])].path,
        true=int(found.labels[row]),
        share=float(wrong.sum() / found.n_models),
        mostly=int(wrong.sum(axis=0).argmax()),
        mistakes=[(place, number, int(wrong[place, number])) for place, number in np.argwhere(wrong).tolist()],
        uri=uri,
    )


def _size(face: Face) -> int:
    """Return about how many bytes of the page a face takes."""
    return len(face.uri) + len(face.written) + 2 * len(face.image) + WORDS


def _pairs(found: Readings, shown: Sequence[int]) -> Iterator[Pair]:
    """Yield every pair of classes of which an image is shown, by class numbers."""
    here = np.zeros(len(found.labels), dtype=bool)
    here[list(shown)] = True
    n_classes = found.wrong.shape[1]
    wrong = found.wrong > 0
    for true, predicted in itertools.product(range(n_classes), repeat=2):
        of = wrong[:, predicted] & (found.labels == true)
        if (of & here).any():
            yield Pair(true=true, predicted=predicted, shown=int((of & here).sum()), of=int(of.sum()))


def _told(shown: int, misread: int, lacking: int, *, everything: bool) -> str:
    if not shown:
        return "The images are not at hand where this page was written, or have changed since, so that none is shown."
    of = "All" if shown == misread else f"{shown:,} of the"
    told = f"{of} {count(misread, 'misread image')} {'is' if shown == 1 else 'are'} in this page"
    why = [f"{lacking:,} {'is' if lacking == 1 else 'are'} not at hand or changed since"] if lacking else []
    why += [] if everything else [f"the room of {BUDGET / 1e6:g} MB is used up"]
    return f"{told}{': ' + ', and '.join(why) if why else ''}."
