"""Fixed alterations of decoded images, under which a trained model meets the test images once more.

    grey       without colour: what is left of a model that told the classes by it
    jpeg30     coarse: without the fine detail that a strong compression takes away
    mirrored   left for right, which says nothing about a face's emotion

They are made of the decoded squares, before the evaluation view cuts out its centre and normalises it.
"""

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from PIL import Image

from animefer_core.data.pixels import Pixels

Alteration = Callable[[Pixels], Pixels]
"""Makes new pixels (images, 3, side, side) of others, which it leaves as they are."""
JPEG_QUALITY = 30
LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in ITU-R 601's luma, in 65536ths: those of Pillow's convert("L")."""


def grey(pixels: Pixels) -> Pixels:
    """Return (images, 3, side, side) with each pixel's luma in all three channels, rounded as Pillow rounds it."""
    red, green, blue = (weight * pixels[:, channel].astype(np.uint32) for channel, weight in enumerate(LUMA))
    luma = ((red + green + blue + 0x8000) >> 16).astype(np.uint8)
    return np.repeat(luma[:, None], 3, axis=1)


def jpeg(pixels: Pixels) -> Pixels:
    """Return (images, 3, side, side) written as JPEG of quality 30 by Pillow and read again; colour is halved in size.

    What is compressed is the decoded square at its decoded side, whatever size and format its file had.
    """
    return np.stack([_through_jpeg(image) for image in pixels])


def _through_jpeg(image: Pixels) -> Pixels:
    file = BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.ascontiguousarray(np.asarray(Image.open(file)).transpose(2, 0, 1))


def mirrored(pixels: Pixels) -> Pixels:
    """Return (images, 3, side, side) with left and right exchanged."""
    return np.ascontiguousarray(pixels[..., ::-1])


ALTERATIONS: Mapping[str, Alteration] = {"grey": grey, "jpeg30": jpeg, "mirrored": mirrored}
"""View's name, in records and tables -> what makes it."""
