from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from animefer_core.data.alterations import ALTERATIONS

SIDE = 40


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Return four images: noise, and colours that change slowly, as JPEG expects them."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, SIDE), dtype=np.uint8)
    ramp = np.linspace(0, 255, SIDE)
    across, down = np.broadcast_to(ramp, (SIDE, SIDE)), np.broadcast_to(ramp[:, None], (SIDE, SIDE))
    smooth = np.stack([[across, down, 255 - across], [down, across, down]]).astype(np.uint8)
    return np.concatenate([noise, smooth])


def images(pixels: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in pixels]


def arrays(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(picture.convert("RGB")).transpose(2, 0, 1) for picture in pictures])


def test_the_views_are_these():
    assert list(ALTERATIONS) == ["grey", "jpeg30", "mirrored"]


@pytest.mark.parametrize("name", ALTERATIONS)
def test_every_view_has_the_shape_and_type_of_the_pixels_and_leaves_them(pixels, name):
    before = pixels.copy()
    made = ALTERATIONS[name](pixels)
    assert (made.shape, made.dtype) == (pixels.shape, np.uint8)
    assert not np.shares_memory(made, pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_images_view_does_not_depend_on_its_batch(pixels, name):
    alter = ALTERATIONS[name]
    np.testing.assert_array_equal(alter(pixels)[1:3], alter(pixels[1:3]))


def test_grey_is_pillows_to_the_level(pixels):
    expected = arrays([image.convert("L") for image in images(pixels)])
    np.testing.assert_array_equal(ALTERATIONS["grey"](pixels), expected)


def test_grey_is_pillows_for_every_primary_and_its_neighbours():
    levels = np.array([0, 1, 2, 127, 128, 254, 255], dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij")).reshape(1, 3, 7, 49)
    expected = arrays([image.convert("L") for image in images(colours)])
    np.testing.assert_array_equal(ALTERATIONS["grey"](colours), expected)


def test_jpeg_is_a_round_trip_of_quality_30_through_pillow(pixels):
    expected = []
    for image in images(pixels):
        file = BytesIO()
        image.save(file, format="JPEG", quality=30)
        expected.append(Image.open(BytesIO(file.getvalue())))
    made = ALTERATIONS["jpeg30"](pixels)
    np.testing.assert_array_equal(made, arrays(expected))
    assert (made != pixels).any()


def test_mirrored_is_pillows_and_twice_the_identity(pixels):
    mirrored = ALTERATIONS["mirrored"]
    flipped = arrays([image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images(pixels)])
    np.testing.assert_array_equal(mirrored(pixels), flipped)
    np.testing.assert_array_equal(mirrored(mirrored(pixels)), pixels)
