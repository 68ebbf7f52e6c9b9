"""Every image decoded once, to one uint8 array (images, 3, side, side).

An image is turned upright by its EXIF orientation, laid over white where it is transparent, made RGB, and made square:

    crop      its short side scaled to fit, the centre square kept (the study's)
    pad       its long side scaled to fit, the rest black
    stretch   both sides scaled to fit

Scaling is bilinear with antialiasing, as torchvision's Resize does with Pillow images.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from animefer_core.config import Fit
from animefer_core.errors import InputError

if TYPE_CHECKING:
    from animefer_core.data.catalog import Catalog
    from animefer_core.data.split import Split

Pixels = npt.NDArray[np.uint8]

PARTS = ("train", "validation", "test")
MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What Pillow may take a file for; it knows formats, such as PostScript, that start other programs."""

_LARGE = 25_000_000
_one_large_image = threading.Lock()
_lifted_limit = threading.Lock()


class BadImageError(Exception):
    """A file that cannot be used; the message is the reason alone, so that the caller names the file."""


def decode(source: Path | bytes, size: int, fit: Fit = "crop") -> Pixels:
    """Return an image file, or its content, as (3, size, size) in RGB; of an animation the first frame.

    `fit` is one of the three ways above.
    Raises BadImageError where the file cannot be read, is no image of `FORMATS`, is damaged or cut short, or has
    more than `MAX_PIXELS` pixels; the last is read from its header, before anything is decoded.
    """
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror}") from error
    image = _open(content)
    # Several phone pictures at once fit in memory; several posters might not.
    with _one_large_image if image.width * image.height > _LARGE else nullcontext():
        square = SQUARES[fit](_rgb(_upright(image)), size)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _open(content: bytes) -> Image.Image:
    """Return the image with only its header read, or raise BadImageError."""
    if not content:
        raise BadImageError("is empty")
    try:
        # Pillow warns at 89 megapixels and raises at 179; ours is one limit, and checked below.
        with _lifted_limit:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(BytesIO(content), formats=FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError as error:
        raise BadImageError("is no JPEG, PNG, WebP, BMP, GIF or TIFF image") from error
    except Exception as error:  # Pillow raises nearly anything on a damaged header
        raise BadImageError(f"is damaged: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise BadImageError(f"has {image.width} x {image.height} pixels, more than 100 megapixels")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Return the image decoded and turned by its EXIF orientation, or raise BadImageError."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # Pillow raises nearly anything on damaged data
        raise BadImageError(f"is damaged or cut short: {error}") from error
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB, or raise BadImageError for a mode that Pillow cannot convert."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bit(np.asarray(image))).convert("RGB")
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        opaque = image.convert("RGBA")
    except ValueError as error:
        raise BadImageError(f"has colours of an unknown kind: {error}") from error
    white = Image.new("RGBA", opaque.size, "white")
    return Image.alpha_composite(white, opaque).convert("RGB")


def _eight_bit(values: npt.NDArray[np.generic]) -> Pixels:
    """Return grey values of more than 8 bits, (height, width), scaled to 0..255.

    White is 65535 in 16-bit images. Wider ones do not say: it is the smallest of 1, 255 and 65535 that no pixel
    exceeds, else the brightest pixel. Negative values and those that are no number are black.
    """
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(grey.max())
    white = 65535.0 if values.dtype.itemsize == 2 else next((w for w in (1.0, 255.0, 65535.0) if peak <= w), peak)
    return np.rint(grey.clip(0, white) * (255 / white)).astype(np.uint8)


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    """Return the centre square of the image scaled to (size, size).

    It is what torchvision's Resize(size) and CenterCrop(size) give, to one level in 255, but nothing outside the
    square is computed: a strip of 1 by 100,000 pixels would not fit in memory once scaled.
    """
    width, height = (max(size, int(size * side / min(image.size))) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _padded(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image scaled into (size, size), black beside it: as the corners of a rotated view are."""
    width, height = (max(1, round(size * side / max(image.size))) for side in image.size)
    square = Image.new("RGB", (size, size))
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(scaled, ((size - width) // 2, (size - height) // 2))
    return square


def _stretched(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image scaled to (size, size), whatever its shape."""
    return image.resize((size, size), Image.Resampling.BILINEAR)


SQUARES: Mapping[Fit, Callable[[Image.Image, int], Image.Image]] = {
    "crop": _centre_square,
    "pad": _padded,
    "stretch": _stretched,
}


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """What a trial sees of the data: pixels, labels and the rows of each part.

    It may be shared: nothing writes into it, and its pixels are one contiguous block that pickle protocol 5 passes
    on without a copy.
    """

    pixels: Pixels
    """(images, 3, side, side), RGB, in the catalog's order"""
    labels: npt.NDArray[np.int64]
    """(images,) numbers of the classes"""
    classes: tuple[str, ...]
    """Names, sorted."""
    splits: Mapping[str, Mapping[str, npt.NDArray[np.int64]]]
    """Digest of a split -> part -> rows of `pixels`, ascending."""
    order: npt.NDArray[np.int64]
    """(images,) all rows in the order in which a share of the training images takes them, class by class."""

    def rows(self, split_digest: str, train_fraction: float = 1.0) -> dict[str, npt.NDArray[np.int64]]:
        """Return the rows of "train", "validation" and "test", ascending; of the training part a share of each class.

        A smaller share lies within every larger one. Raises InputError for a split that is not there, and for a share
        that leaves a class without a training image.
        """
        if split_digest not in self.splits:
            raise InputError(f"these images have no split {split_digest[:12]}; prepare them with it.")
        rows = dict(self.splits[split_digest])
        if train_fraction < 1:
            rows["train"] = self._first(rows["train"], train_fraction)
        return rows

    def _first(self, train: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.int64]:
        ordered = self.order[np.isin(self.order, train)]
        kept = []
        for number in np.unique(self.labels[train]):
            own = ordered[self.labels[ordered] == number]
            count = share_of(own.size, fraction)
            if count == 0:
                raise InputError(
                    f"--train-fraction {fraction:g}: class {self.classes[number]} has {own.size} training images, and "
                    f"none of them would be left; give {0.5 / own.size:.3g} or more."
                )
            kept.append(own[:count])
        return np.sort(np.concatenate(kept))


def share_of(images: int, fraction: float) -> int:
    """Return how many of a class's training images a share of them is, rounded to the nearest."""
    return math.floor(fraction * images + 0.5)


def image_set(catalog: "Catalog", pixels: Pixels, splits: "Iterable[Split]") -> ImageSet:
    """Return the image set of a catalog, its pixels (images, 3, side, side) and some of its splits.

    Shares of the training images go by the files' SHA-256, which is as good as drawn, and the same on every machine
    and under every name. Raises ValueError where the three are not of the same number of images.
    """
    splits = list(splits)
    for split in splits:
        if not len(catalog.images) == len(pixels) == len(split.parts):
            raise ValueError(f"{len(catalog.images)} images, {len(pixels)} pixels, {len(split.parts)} parts of a split")
    number = {label: index for index, label in enumerate(catalog.classes)}
    return ImageSet(
        pixels=np.ascontiguousarray(pixels),
        labels=np.array([number[image.label] for image in catalog.images], dtype=np.int64),
        classes=catalog.classes,
        splits={split.digest: {part: split.rows(part) for part in PARTS} for split in splits},
        order=np.argsort(np.array([image.sha256 for image in catalog.images]), kind="stable"),
    )


def without_test(data: ImageSet, split_digest: str) -> ImageSet:
    """Return a split's training and validation images alone: no test pixels, labels or rows; the rest renumbered."""
    rows = data.rows(split_digest)
    kept = np.sort(np.concatenate([rows["train"], rows["validation"]]))
    return ImageSet(
        pixels=np.ascontiguousarray(data.pixels[kept]),
        labels=data.labels[kept],
        classes=data.classes,
        splits={split_digest: {part: np.searchsorted(kept, rows[part]) for part in ("train", "validation")}},
        order=np.searchsorted(kept, data.order[np.isin(data.order, kept)]),
    )
