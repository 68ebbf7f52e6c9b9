import io
import pickle
import struct
import warnings
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional

from animefer_core.data.catalog import Catalog, CatalogImage
from animefer_core.data.pixels import BadImageError, ImageSet, decode, image_set, without_test
from animefer_core.data.split import Split
from animefer_core.errors import InputError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT")
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def quarters() -> Image.Image:
    """Red and green above, blue and white below."""
    image = Image.new("RGB", (16, 16))
    for place, colour in zip(((0, 0), (8, 0), (0, 8), (8, 8)), (RED, GREEN, BLUE, WHITE), strict=True):
        image.paste(colour, (*place, place[0] + 8, place[1] + 8))
    return image


def test_result_is_colour_planes_of_bytes() -> None:
    pixels = decode(encoded(Image.new("RGB", (20, 10), (10, 20, 30))), 8)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 8, 8)
    assert pixels.flags.c_contiguous
    assert [np.unique(plane).tolist() for plane in pixels] == [[10], [20], [30]]


def test_path_and_content_give_the_same(tmp_path: Path) -> None:
    content = encoded(noise(20, 30), "JPEG")
    (tmp_path / "a.jpg").write_bytes(content)
    assert np.array_equal(decode(tmp_path / "a.jpg", 8), decode(content, 8))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "PA", "RGBA", "CMYK", "YCbCr"])
def test_a_white_image_is_white_in_every_mode(mode: str) -> None:
    image = Image.new("RGB", (12, 12), "white").convert(mode)
    kind = "JPEG" if mode == "YCbCr" else "TIFF" if mode in ("CMYK", "PA") else "PNG"
    assert decode(encoded(image, kind), 8).min() == 255


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK"])
def test_darkness_survives_every_mode(mode: str) -> None:
    image = Image.new("RGB", (12, 12), (60, 60, 60)).convert(mode)
    pixels = decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), 8)
    assert np.abs(pixels.astype(int) - 60).max() <= 1


def test_palette_colours_are_looked_up() -> None:
    palette = Image.new("P", (12, 12), 1)
    palette.putpalette([*RED, *GREEN])
    assert decode(encoded(palette), 8).mean(axis=(1, 2)).tolist() == [0, 255, 0]


def test_cmyk_jpeg_keeps_its_colours() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    planes = decode(encoded(cyan, "JPEG", quality=95), 8).mean(axis=(1, 2))
    assert planes == pytest.approx([0, 255, 255], abs=4)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white(mode: str) -> None:
    clear = Image.new("RGBA", (12, 12), (0, 0, 0, 0)).convert(mode)
    assert decode(encoded(clear), 8).min() == 255


def test_half_transparent_black_is_grey() -> None:
    half = Image.new("RGBA", (12, 12), (0, 0, 0, 128))
    assert set(np.unique(decode(encoded(half), 8))) <= {127, 128}


def test_transparent_palette_entry_is_white() -> None:
    palette = Image.new("P", (12, 12), 1)
    palette.putpalette([0, 0, 0, *RED])
    assert decode(encoded(palette, transparency=1), 8).min() == 255


def test_palette_entries_of_partial_transparency_are_laid_over_white() -> None:
    palette = Image.new("P", (12, 12), 1)
    palette.putpalette([0, 0, 0, 0, 0, 0])
    assert set(np.unique(decode(encoded(palette, transparency=bytes([0, 128])), 8))) <= {127, 128}


def test_transparent_colour_of_an_rgb_png_is_white() -> None:
    assert decode(encoded(Image.new("RGB", (12, 12), RED), transparency=RED), 8).min() == 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gradient_keeps_its_range(kind: str) -> None:
    gradient = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (256, 1))
    row = decode(encoded(Image.fromarray(gradient), kind), 256)[0, 0]
    assert np.abs(row - gradient[0] / 257).max() <= 0.5


def test_big_endian_16_bit_image_keeps_its_range() -> None:
    gradient = np.tile(np.linspace(0, 65535, 256).astype(">u2"), (256, 1))
    image = Image.frombytes("I;16B", (256, 256), gradient.tobytes())
    row = decode(encoded(image, "TIFF"), 256)[0, 0]
    assert np.abs(row.astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("white", [1, 255, 65535, 2_000_000])
def test_32_bit_integers_keep_their_range(white: int) -> None:
    stripes = np.repeat([[0, white]], 16, axis=1).astype(np.int32).repeat(32, axis=0)
    row = decode(encoded(Image.fromarray(stripes), "TIFF"), 32)[0, 0]
    assert (row[0], row[-1]) == (0, 255)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_keep_their_range(white: float) -> None:
    gradient = np.tile(np.linspace(0, white, 256).astype(np.float32), (256, 1))
    row = decode(encoded(Image.fromarray(gradient), "TIFF"), 256)[0, 0]
    assert np.abs(row.astype(int) - np.arange(256)).max() <= 1


def test_floats_that_are_no_numbers_or_negative_are_black() -> None:
    values = np.full((16, 16), [np.nan, np.inf, -np.inf, -5.0] * 4, dtype=np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF"), 16).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    upright = quarters()
    # How each orientation is stored, from the Exif standard's table of row 0 and column 0.
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.rotate(180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.rotate(90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.rotate(-90),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = decode(encoded(stored, kind, exif=exif), 16).astype(int)
    expected = np.asarray(upright).transpose(2, 0, 1)
    corners = np.ix_(range(3), (1, 14), (1, 14))
    assert np.abs(pixels[corners] - expected[corners]).max() < 60


def test_rotated_16_bit_png_is_turned() -> None:
    values = np.zeros((16, 16), dtype=np.uint16)
    values[:, :8] = 65535
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = decode(encoded(Image.fromarray(values), exif=exif), 16)
    assert (pixels[:, 0].min(), pixels[:, -1].max()) == (255, 0)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (12, 12), "white"), Image.new("RGB", (12, 12), "black")]
    assert decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), 8).min() >= 254


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_file_cut_short_is_bad(kind: str, share: float) -> None:
    content = encoded(noise(64, 64), kind)
    with pytest.raises(BadImageError):
        decode(content[: int(len(content) * share)], 32)


def test_cut_progressive_jpeg_is_bad() -> None:
    content = encoded(noise(64, 64), "JPEG", progressive=True)
    with pytest.raises(BadImageError, match="cut short"):
        decode(content[:-20], 32)


@pytest.mark.parametrize("content", [b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_other_content_is_no_image(content: bytes) -> None:
    with pytest.raises(BadImageError, match="is no JPEG, PNG"):
        decode(content, 8)


def test_empty_file_says_so() -> None:
    with pytest.raises(BadImageError, match="is empty"):
        decode(b"", 8)


def test_file_that_is_not_there_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="cannot be read: No such file"):
        decode(tmp_path / "none.png", 8)


def test_colours_that_pillow_cannot_convert_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Image.Image:
        raise ValueError("conversion from LAB to RGB not supported")

    content = encoded(Image.new("LAB", (12, 12)), "TIFF")
    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(BadImageError, match="colours of an unknown kind: conversion from LAB"):
        decode(content, 8)


@pytest.mark.parametrize("sides", [(17, 5_882_353), (10_001, 10_000), (16_000, 16_000), (60_000, 60_000)])
def test_more_than_100_megapixels_are_refused_from_the_header(sides: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImageError, match=f"{sides[0]} x {sides[1]} pixels, more than 100 megapixels"):
            decode(png_header(*sides), 8)


def test_100_megapixels_are_within_the_limit() -> None:
    with pytest.raises(BadImageError, match="cut short"):
        decode(png_header(10_000, 10_000), 8)


def test_pillows_lower_limit_is_not_in_the_way_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encoded(noise(9, 9)), 8)
    assert Image.MAX_IMAGE_PIXELS == 40


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (300, 200), (200, 301), (17, 90), (90, 17), (1, 40), (640, 33)]
)
@pytest.mark.parametrize("size", [32, 37])
def test_scaling_and_cropping_are_torchvisions(width: int, height: int, size: int) -> None:
    image = noise(width, height)
    expected = functional.center_crop(functional.resize(image, size), size)
    pixels = decode(encoded(image), size).transpose(1, 2, 0)
    assert np.abs(pixels.astype(int) - np.asarray(expected)).max() <= 1


def test_extreme_strip_fits_in_memory() -> None:
    assert decode(encoded(Image.new("L", (1, 200_000), 77)), 256).shape == (3, 256, 256)


def small_set(pixels: np.ndarray) -> ImageSet:
    labels = ["b", "a", "a", "b"]
    images = tuple(CatalogImage(path=f"{i}.png", label=label, sha256=f"{i}") for i, label in enumerate(labels))
    parts = ("train", "test", "validation", "train")
    catalog = Catalog(root=Path("x"), classes=("a", "b"), images=images)
    return image_set(catalog, pixels, [Split(parts=parts, digest="s")])


def test_image_set_numbers_the_classes_in_order() -> None:
    assert small_set(np.zeros((4, 3, 2, 2), np.uint8)).labels.tolist() == [1, 0, 0, 1]


def test_image_set_has_the_rows_of_every_part() -> None:
    rows = small_set(np.zeros((4, 3, 2, 2), np.uint8)).rows("s")
    assert {part: list(numbers) for part, numbers in rows.items()} == {"train": [0, 3], "validation": [2], "test": [1]}


def set_of(sizes: dict[str, int]) -> ImageSet:
    """Return a set of training images only, so many of each class, whose SHA-256 are in another order than they."""
    labels = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    order = np.random.default_rng(3).permutation(labels.size)
    splits = {"s": {"train": np.arange(labels.size), "validation": np.empty(0, int), "test": np.empty(0, int)}}
    pixels = np.zeros((labels.size, 3, 1, 1), np.uint8)
    return ImageSet(pixels=pixels, labels=labels, classes=tuple(sizes), splits=splits, order=order)


@pytest.mark.parametrize(
    ("fraction", "kept"), [(1.0, [40, 10]), (0.5, [20, 5]), (0.25, [10, 3]), (0.1, [4, 1]), (0.05, [2, 1])]
)
def test_a_share_of_the_training_images_is_stratified(fraction: float, kept: list[int]) -> None:
    images = set_of({"a": 40, "b": 10})
    assert np.bincount(images.labels[images.rows("s", fraction)["train"]]).tolist() == kept


def test_a_smaller_share_lies_within_every_larger_one() -> None:
    images = set_of({"a": 40, "b": 7, "c": 13})
    parts = [set(images.rows("s", share)["train"].tolist()) for share in (0.1, 0.25, 0.5, 0.9, 1.0)]
    assert all(smaller < larger for smaller, larger in pairwise(parts))


def test_a_share_is_not_the_first_of_the_rows() -> None:
    assert set_of({"a": 40, "b": 10}).rows("s", 0.5)["train"].tolist() != [*range(20), *range(40, 45)]


def test_a_share_that_leaves_a_class_empty_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"--train-fraction 0\.04: class b has 10 training images, .* give 0\.05 or more"
    ):
        set_of({"a": 40, "b": 10}).rows("s", 0.04)


def test_the_share_goes_by_content_not_by_name() -> None:
    def files(names: list[str]) -> set[str]:
        images = tuple(CatalogImage(path=name, label="a", sha256=f"{hash(name) % 7}{name[::-1]}") for name in names)
        catalog = Catalog(root=Path("x"), classes=("a",), images=images)
        split = Split(parts=("train",) * len(names), digest="s")
        kept = image_set(catalog, np.zeros((len(names), 3, 1, 1), np.uint8), [split]).rows("s", 0.5)["train"]
        return {images[row].sha256 for row in kept}

    names = [f"{number:02}.png" for number in range(20)]
    assert files(names) == files(names[::-1])


def test_a_split_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="have no split elsewhere"):
        set_of({"a": 4}).rows("elsewhere")


def test_image_set_takes_read_only_pixels() -> None:
    pixels = np.zeros((4, 3, 2, 2), np.uint8)
    pixels.flags.writeable = False
    assert small_set(pixels).pixels is pixels


def test_image_set_of_other_length_is_refused() -> None:
    with pytest.raises(ValueError, match="4 images, 3 pixels"):
        small_set(np.zeros((3, 3, 2, 2), np.uint8))


def test_image_set_pickles_without_copying_its_pixels() -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = small_set(np.arange(4 * 3 * 64 * 64, dtype=np.uint32).astype(np.uint8).reshape(4, 3, 64, 64))
    stream = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    back = pickle.loads(stream, buffers=buffers)
    assert len(stream) < 2_000
    assert np.shares_memory(back.pixels, data.pixels)


WIDE = Image.new("RGB", (40, 20), (200, 100, 50))
WIDE.paste((10, 20, 30), (0, 0, 4, 20))
"""With a dark left edge, which a centre square does not hold."""


def test_a_cropped_image_loses_its_ends():
    assert set(np.unique(decode(encoded(WIDE), 16, "crop")[0])) == {200}


def test_a_padded_image_is_whole_between_black_bars():
    square = decode(encoded(WIDE), 16, "pad")
    assert not square[:, :4].any()
    assert not square[:, 12:].any()
    assert square[0, 4:12, 0].max() <= 60
    assert set(np.unique(square[0, 4:12, 4:])) == {200}


def test_a_stretched_image_is_whole_and_fills_the_square():
    square = decode(encoded(WIDE), 16, "stretch")
    assert square.min() > 0
    assert square[0, :, 0].max() <= 60
    assert set(np.unique(square[0, :, 4:])) == {200}


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_square_image_is_the_same_however_it_is_fitted(fit):
    content = encoded(noise(24, 24))
    assert np.array_equal(decode(content, 16, fit), decode(content, 16))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_strip_fits(fit):
    assert decode(encoded(Image.new("L", (1, 5000), 77)), 32, fit).shape == (3, 32, 32)


def test_without_test_no_test_image_is_there_in_any_form() -> None:
    pixels = np.arange(7, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1)
    labels = np.array([0, 1, 0, 1, 0, 1, 0])
    rows = {"train": np.array([0, 3, 5]), "validation": np.array([1, 6]), "test": np.array([2, 4])}
    order = np.array([6, 2, 0, 5, 1, 3, 4])
    whole = ImageSet(pixels=pixels, labels=labels, classes=("a", "b"), splits={"s": rows}, order=order)
    kept = without_test(whole, "s")
    assert set(kept.rows("s")) == {"train", "validation"}
    assert kept.pixels[kept.order, 0, 0, 0].tolist() == [6, 0, 5, 1, 3]
    assert len(kept.labels) == len(kept.pixels) == 5
    for part, index in kept.rows("s").items():
        assert kept.pixels[index, 0, 0, 0].tolist() == rows[part].tolist()
        assert kept.labels[index].tolist() == labels[rows[part]].tolist()
