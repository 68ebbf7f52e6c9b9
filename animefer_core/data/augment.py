"""Training and evaluation views, made for whole batches on the device from pixels that were decoded once.

The transformations and their distributions are torchvision's (random resized crop, flip, colour jitter, rotation,
erasing); what is drawn for an image is data, drawn on the host for a whole epoch at once, so that every
configuration of a seed meets the same views. Pixels stay in floating point between the transformations, where
torchvision rounds each result to 8 bits.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional

from animefer_core.config import Views

TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
GRAY = (0.299, 0.587, 0.114)
TRUNCATED = 0.5 / 255
"""Pillow drops what is below a whole level of 255 after each colour operation: half a level on average."""
CACHED = 2**19
"""Floats of a piece of a batch on a CPU: the steps from crop to erasure pass over it while it is in the cache."""

Array = np.ndarray[Any, np.dtype[Any]]
Colours = tuple[float, float, float]


@dataclass(frozen=True)
class ViewDraws:
    """What was drawn for the training views of N images, one row an image."""

    crop: Array
    """Top, left, height, width of the crop, in decoded pixels: integers (N, 4)."""
    flip: Array
    """Whether the crop is mirrored: booleans (N,)."""
    factors: Array
    """Brightness, contrast and saturation factor, and hue shift as a share of the circle: (N, 4)."""
    order: Array
    """Which factor (by its column) is applied first, second, third and last: integers (N, 4)."""
    angle: Array
    """Rotation in degrees, counter-clockwise: (N,)."""
    erase: Array
    """Top, left, height, width of the erased box, in pixels of the view, all 0 where none is: integers (N, 4)."""

    def rows(self, index: Array | slice) -> Self:
        """Return the draws of some of the images, in the order of the index."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))


def draw_views(count: int, rng: np.random.Generator, views: Views, decoded: int, size: int) -> ViewDraws:
    """Draw the views of `count` images that are `decoded` pixels wide and high and become `size` pixels.

    The distributions are those of torchvision's RandomResizedCrop, RandomHorizontalFlip, ColorJitter,
    RandomRotation and RandomErasing with the settings of `views`.
    """
    flip = rng.random(count) < views.flip
    spread = np.array([views.brightness, views.contrast, views.saturation, views.hue])
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    lowest = np.array([0.0, 0.0, 0.0, -0.5])
    factors = rng.uniform(np.maximum(lowest, centre - spread), centre + spread, (count, 4))
    order = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    angle = rng.uniform(-views.rotation, views.rotation, count)
    crop = _draw_crops(count, rng, views, decoded)
    erase = _draw_erased(count, rng, views, size)
    return ViewDraws(crop, flip, factors, order, angle, erase)


def _draw_crops(count: int, rng: np.random.Generator, views: Views, side: int) -> Array:
    """Draw crop boxes (count, 4) in a square of `side` pixels; where all tries fail, the largest centred one."""
    width, height = _draw_sides(count, rng, side, views.crop_scale, views.crop_ratio)
    fits = (width > 0) & (width <= side) & (height > 0) & (height <= side)
    box = _first_fitting(rng, side, height, width, fits)
    low, high = views.crop_ratio
    widest, highest = min(side, round(side * high)), min(side, round(side / low))
    centred = [(side - highest) // 2, (side - widest) // 2, highest, widest]
    return np.where(fits.any(axis=1, keepdims=True), box, centred)


def _draw_erased(count: int, rng: np.random.Generator, views: Views, side: int) -> Array:
    """Draw the boxes (count, 4) to erase; zeros where nothing is erased, by chance or because all tries failed."""
    height, width = _draw_sides(count, rng, side, views.erase_scale, views.erase_ratio)
    fits = (height < side) & (width < side)
    erased = fits.any(axis=1) & (rng.random(count) < views.erase)
    return _first_fitting(rng, side, height, width, fits) * erased[:, None]


def _draw_sides(
    count: int, rng: np.random.Generator, side: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Array, Array]:
    """Draw two side lengths (count, TRIES) each: the area uniform, their ratio (first to second) log-uniform."""
    area = side * side * rng.uniform(*scale, (count, TRIES))
    aspect = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (count, TRIES)))
    return np.rint(np.sqrt(area * aspect)).astype(int), np.rint(np.sqrt(area / aspect)).astype(int)


def _first_fitting(rng: np.random.Generator, side: int, height: Array, width: Array, fits: Array) -> Array:
    """Return the boxes (count, 4) of each row's first try that fits, at a place drawn uniformly."""
    rows, first = np.arange(len(fits)), fits.argmax(axis=1)
    height, width = height[rows, first], width[rows, first]
    place = rng.random((2, len(fits)))
    top, left = (np.floor(place * (side + 1 - np.stack([height, width])))).astype(int)
    return np.stack([top, left, height, width], axis=1)


def training_views(
    pixels: torch.Tensor, draws: ViewDraws, views: Views, size: int, mean: Colours, std: Colours
) -> torch.Tensor:
    """Return the drawn views (B, 3, size, size), float32 and normalised, of uint8 pixels (B, 3, S, S).

    The order is the study's: crop and resize, flip, jitter, rotate, normalise, erase.
    """
    piece = max(1, CACHED // (3 * size**2)) if pixels.device.type == "cpu" else len(pixels)
    made = [
        _views_of(pixels[first : first + piece], draws.rows(slice(first, first + piece)), views, size, mean, std)
        for first in range(0, len(pixels), piece)
    ]
    return torch.cat(made)


def _views_of(
    pixels: torch.Tensor, draws: ViewDraws, views: Views, size: int, mean: Colours, std: Colours
) -> torch.Tensor:
    """Return what `training_views` does, all images in one piece."""
    images = _crop(pixels, draws, size)
    if views.brightness or views.contrast or views.saturation or views.hue:
        images = _jitter(images, draws)
    if views.rotation:
        images = _rotate(images, draws.angle)
    images = _normalise(images, mean, std)
    for row in np.flatnonzero(draws.erase[:, 2]):
        top, left, height, width = draws.erase[row].tolist()
        images[row, :, top : top + height, left : left + width] = 0
    return images


def evaluation_views(pixels: torch.Tensor, size: int, mean: Colours, std: Colours) -> torch.Tensor:
    """Return the normalised centre (B, 3, size, size), float32, of uint8 pixels (B, 3, S, S), S ≥ size."""
    first = round((pixels.shape[-1] - size) / 2)
    centre = pixels[..., first : first + size, first : first + size]
    return _normalise(centre.float().div_(255), mean, std)


def _normalise(images: torch.Tensor, mean: Colours, std: Colours) -> torch.Tensor:
    """Return images of values in 0 to 1 less the mean, over the deviation, channel by channel."""
    scale = 1 / torch.tensor(std, device=images.device).view(3, 1, 1)
    shift = -torch.tensor(mean, device=images.device).view(3, 1, 1) * scale
    return torch.addcmul(shift, images, scale)


def _crop(pixels: torch.Tensor, draws: ViewDraws, size: int) -> torch.Tensor:
    """Return the crops (B, 3, size, size), resized and flipped, in 0 to 1.

    Resizing is linear along each axis, so a view is two products with matrices that hold crop, flip and filter.
    """
    side = pixels.shape[-1]
    top, left, height, width = draws.crop.T
    rows = _resizing(top, height, np.zeros_like(draws.flip), side, size, pixels.device)
    columns = _resizing(left, width, draws.flip, side, size, pixels.device)
    across = pixels.flatten(1, 2).float() @ columns.div_(255).mT
    return torch.matmul(rows[:, None], across.view(-1, 3, side, size))


def _resizing(start: Array, length: Array, reverse: Array, side: int, size: int, device: torch.device) -> torch.Tensor:
    """Return matrices (B, size, side) that take `length` pixels from `start` on to `size` pixels, maybe reversed.

    Each output pixel is the mean of the input under a triangle as wide as the reduction, at least two pixels:
    the antialiased bilinear filter of Pillow and torchvision.
    """
    scale = length / size
    taps = math.ceil(2 * max(1.0, scale.max())) + 1
    columns = np.stack([start, length, scale, np.maximum(scale, 1), reverse]).astype(np.float32)
    start_, length_, scale_, support, reverse_ = torch.from_numpy(columns).to(device)[:, :, None, None]
    output = torch.arange(0.5, size, device=device)[:, None]
    centre = torch.where(reverse_ > 0, size - output, output) * scale_
    index = (centre - support).floor_() + torch.arange(taps, device=device)
    weight = (1 - (index + 0.5 - centre).abs_() / support).clamp_min_(0)
    weight *= (index >= 0) & (index < length_)
    weight /= weight.sum(dim=2, keepdim=True)
    column = (index + start_).clamp_(0, side - 1).long()
    return torch.zeros(len(start), size, side, device=device).scatter_add_(2, column, weight)


def _jitter(images: torch.Tensor, draws: ViewDraws) -> torch.Tensor:
    """Return images (B, 3, H, W) in 0 to 1 under each one's colour jitter, in its own order.

    Brightness, contrast and saturation are one affine map of the colour, so at each of the four places the whole
    batch takes one step together; only the images whose turn it is to shift their hue are picked out.
    """
    colours = images.flatten(2)
    gray = torch.tensor(GRAY, device=images.device)
    for place in range(4):
        operation = draws.order[:, place]
        factor = np.take_along_axis(draws.factors, operation[:, None], axis=1)[:, 0]
        hue = np.flatnonzero(operation == HUE)
        if hue.size < len(operation):
            matrix, offset = _colour_step(operation, factor, colours, gray)
            colours = torch.baddbmm(offset, matrix, colours).clamp_(0, 1)
        if hue.size:
            index = torch.from_numpy(hue).to(images.device)
            shift = torch.from_numpy(factor[hue].astype(np.float32)).to(images.device)
            colours[index] = _shift_hue(colours[index], shift)
    return colours.view_as(images)


def _colour_step(
    operation: Array, factor: Array, colours: torch.Tensor, gray: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return matrices (B, 3, 3) and offsets (B, 3, 1) of each image's operation; the identity for hue."""
    own = np.where(operation == HUE, 1.0, factor)
    lost = np.where(own == 1, 0.0, TRUNCATED)
    to_gray = np.where(operation == SATURATION, 1 - own, 0.0)
    to_mean = np.where(operation == CONTRAST, 1 - own, 0.0)
    columns = np.stack([own, to_gray, to_mean, lost]).astype(np.float32)
    own_, to_gray_, to_mean_, lost_ = torch.from_numpy(columns).to(colours.device)[:, :, None, None]
    matrix = own_ * torch.eye(3, device=colours.device) + to_gray_ * gray
    mean = (colours.mean(dim=2) @ gray)[:, None, None]
    return matrix, (to_mean_ * mean - lost_).expand(-1, 3, 1)


def _shift_hue(colours: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Return colours (B, 3, P) in 0 to 1 with the hue moved by a share of the circle (B,), value and chroma kept.

    On the colour hexagon a hue is a place from -3 to 3 (red at 0, green at 2, blue at -2) whose size is
    1 + (green + blue - red - least) / chroma and whose sign is that of green - blue; along it, what a channel
    lacks of the greatest is a trapezoid of chroma's height around the place opposite to its own.
    """
    red, green, blue = colours.unbind(1)
    value, least = colours.amax(1), colours.amin(1)
    chroma = value - least
    place = (green + blue).sub_(red).sub_(least).div_(chroma.clamp_min(1e-12)).add_(1)
    place = place.copysign_(green - blue).add_(6 * shift[:, None])
    shifted = torch.empty_like(colours)
    # Places up to 3 beyond the circle's seam still come out right: each lack is even, and clamped on both sides.
    lacks = [2 - (place.abs() - 3).abs_(), *(((place + own).abs_() - 3).abs_() - 1 for own in (1, -1))]
    for channel, lack in enumerate(lacks):
        torch.addcmul(value, chroma, lack.clamp_(0, 1), value=-1, out=shifted[:, channel])
    return shifted


def _rotate(images: torch.Tensor, angle: Array) -> torch.Tensor:
    """Return images (B, 3, H, H) turned counter-clockwise about their centre by degrees (B,), corners black."""
    side = images.shape[-1]
    radians = np.deg2rad(angle).astype(np.float32)
    cosine, sine = torch.from_numpy(np.stack([np.cos(radians), np.sin(radians)])).to(images.device)[:, :, None, None]
    line = torch.arange(1 - side, side, 2, device=images.device) / side
    x, y = cosine * line - sine * line[:, None], sine * line + cosine * line[:, None]
    turned = functional.grid_sample(images, torch.stack((x, y), dim=3), padding_mode="border", align_corners=False)
    return turned.mul_(torch.maximum(x.abs_(), y.abs_()).le_(1)[:, None])
