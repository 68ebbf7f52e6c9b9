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
    """Return the normalised centre (B, 3, size, size), float32, of uint8 pixels (B, 3, S, S) with S of at least size."""
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
    return torch.matmul(rows[:, None], across.unflatten(1, (3, side)))


def _resizing(start: Array, length: Array, reverse: Array, side: int, size: int, device: torch.device) -> torch.Tensor:
    """Return matrices (B, size, side) that take `length` pixels from `start` on to `size` pixels, maybe reversed.

    Each output pixel is the mean of the input under a triangle as wide as the reduction, at least two pixels:
    the antialiased bilinear filter of Pillow and torchvision.
    """
    scale = length[:, None] / size
    support = np.maximum(scale, 1.0)
    output = np.where(reverse[:, None], np.arange(size)[::-1], np.arange(size))
    centre = (output + 0.5) * scale
    taps = math.ceil(2 * support.max()) + 1
    first = np.floor(centre - support).astype(int)
    index = first[:, :, None] + np.arange(taps)
    inside = (index >= 0) & (index < length[:, None, None])
    weight = np.maximum(0, 1 - np.abs(index + 0.5 - centre[:, :, None]) / support[:, :, None]) * inside
    weight /= weight.sum(axis=2, keepdims=True)
    column = np.clip(index + start[:, None, None], 0, side - 1)
    matrices = torch.zeros(len(start), size, side, device=device)
    return matrices.scatter_add_(
        2, torch.from_numpy(column).to(device), torch.from_numpy(weight.astype(np.float32)).to(device)
    )


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
        matrix, offset = _colour_step(operation, factor, colours, gray)
        colours = torch.baddbmm(offset, matrix, colours).clamp_(0, 1)
        hue = np.flatnonzero(operation == HUE)
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
    to_gray = np.where(operation == SATURATION, 1 - own, 0.0)
    to_mean = np.where(operation == CONTRAST, 1 - own, 0.0)
    own, to_gray, to_mean = torch.from_numpy(np.stack([own, to_gray, to_mean]).astype(np.float32)).to(colours.device)
    eye = torch.eye(3, device=colours.device)
    matrix = own[:, None, None] * eye + to_gray[:, None, None] * gray
    mean = colours.mean(dim=2) @ gray
    return matrix, (to_mean * mean)[:, None, None].expand(-1, 3, 1)


def _shift_hue(colours: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Return colours (B, 3, P) in 0 to 1 with the hue moved by a share of the circle (B,), value and chroma kept.

    On the colour hexagon a hue is a place from 0 to 6, at which red, green and blue are trapezoids.
    """
    red, green, blue = colours.unbind(1)
    value = colours.amax(1)
    chroma = value - colours.amin(1)
    place = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    )
    place = place / chroma.clamp_min(1e-12) + 6 * shift[:, None]
    shifted = torch.empty_like(colours)
    for channel, middle in enumerate((3.0, 5.0, 1.0)):
        # The share of the chroma that a channel lacks is a trapezoid around the place opposite to its own.
        distance = torch.remainder(place - middle + 3, 6).sub_(3).abs_()
        shifted[:, channel] = value - chroma * (2 - distance).clamp_(0, 1)
    return shifted


def _rotate(images: torch.Tensor, angle: Array) -> torch.Tensor:
    """Return images (B, 3, H, W) turned counter-clockwise about their centre by degrees (B,), corners black."""
    radians = np.deg2rad(angle)
    cosine, sine, zero = np.cos(radians), np.sin(radians), np.zeros_like(radians)
    inverse = np.stack([np.stack([cosine, -sine, zero], axis=1), np.stack([sine, cosine, zero], axis=1)], axis=1)
    matrices = torch.from_numpy(inverse.astype(np.float32)).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
