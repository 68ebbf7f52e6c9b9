import colorsys
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision import transforms
from torchvision.transforms import InterpolationMode, functional

from animefer_core.config import Views
from animefer_core.data.augment import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    ViewDraws,
    draw_views,
    evaluation_views,
    training_views,
)

BLACK, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
LEVEL = 1 / 255
COUNT = 60
DRAWS, SIDE = 4000, 224
ADJUST = {
    BRIGHTNESS: functional.adjust_brightness,
    CONTRAST: functional.adjust_contrast,
    SATURATION: functional.adjust_saturation,
    HUE: functional.adjust_hue,
}


def pictures(side: int, count: int = COUNT) -> torch.Tensor:
    """Return uint8 pictures (count, 3, side, side): smooth colours, hard edges and a little noise."""
    rng = np.random.default_rng(side)
    made = []
    for _ in range(count):
        blurred = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((side, side))
        values = np.array(blurred) + rng.normal(0, 5, (side, side, 3))
        for _ in range(4):
            top, left = rng.integers(0, side, 2)
            height, width = rng.integers(2, side // 3, 2)
            values[top : top + height, left : left + width] = rng.integers(0, 256, 3)
        made.append(np.clip(values, 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()


def plain(count: int, side: int) -> ViewDraws:
    """Return draws that leave pictures of a side as they are."""
    return ViewDraws(
        crop=np.tile([0, 0, side, side], (count, 1)),
        flip=np.zeros(count, dtype=bool),
        factors=np.tile([1.0, 1.0, 1.0, 0.0], (count, 1)),
        order=np.tile(np.arange(4), (count, 1)),
        angle=np.zeros(count),
        erase=np.zeros((count, 4), dtype=int),
    )


def drawn(count: int, side: int, size: int, views: Views) -> ViewDraws:
    return draw_views(count, np.random.default_rng(1), views, side, size)


def by_torchvision(picture: torch.Tensor, draw: ViewDraws, size: int) -> torch.Tensor:
    """Return one picture's view in 0 to 1 by torchvision on Pillow, in the study's order, without erasing."""
    image = functional.to_pil_image(picture)
    image = functional.resized_crop(image, *draw.crop.tolist(), [size, size], InterpolationMode.BILINEAR)
    if draw.flip:
        image = functional.hflip(image)
    for operation in draw.order:
        if draw.factors[operation] != (0 if operation == HUE else 1):
            image = ADJUST[int(operation)](image, float(draw.factors[operation]))
    if draw.angle:
        image = functional.rotate(image, float(draw.angle), InterpolationMode.BILINEAR, fill=0)
    return functional.to_tensor(image)


def differences(pixels: torch.Tensor, draws: ViewDraws, size: int) -> torch.Tensor:
    """Return each picture's mean absolute difference from torchvision's view, in levels of 255."""
    ours = training_views(pixels, draws, Views(), size, BLACK, ONE)
    theirs = torch.stack([by_torchvision(pixels[row], draws.rows(row), size) for row in range(len(pixels))])
    return (ours - theirs).abs().mean(dim=(1, 2, 3)) / LEVEL


class TestAgainstTorchvision:
    @pytest.mark.parametrize(("side", "size"), [(128, 112), (37, 32), (96, 32), (48, 64)])
    def test_views_are_torchvisions_within_its_rounding(self, side, size):
        difference = differences(pictures(side), drawn(COUNT, side, size, Views(erase=0)), size)
        assert difference.mean() <= 1.5
        assert difference.max() <= 3

    @pytest.mark.parametrize("size", [64, 40, 20, 96])
    def test_crop_resize_and_flip(self, size):
        draws = drawn(COUNT, 64, size, Views(crop_scale=(0.1, 1.0)))
        draws = replace(plain(COUNT, 64), crop=draws.crop, flip=draws.flip)
        assert differences(pictures(64), draws, size).max() < 0.5

    @pytest.mark.parametrize("operation", [BRIGHTNESS, CONTRAST, SATURATION])
    def test_a_colour_factor(self, operation):
        draws = plain(COUNT, 48)
        draws.factors[:, operation] = np.linspace(0.2, 1.8, COUNT)
        assert differences(pictures(48), draws, 48).max() < 1

    def test_a_hue_shift(self):
        draws = plain(COUNT, 48)
        draws.factors[:, HUE] = np.linspace(-0.5, 0.5, COUNT)
        assert differences(pictures(48), draws, 48).max() < 3

    def test_a_rotation_has_torchvisions_corners(self):
        draws = replace(plain(COUNT, 48), angle=np.linspace(-60, 60, COUNT))
        assert differences(pictures(48), draws, 48).max() < 1

    def test_the_order_of_the_factors_counts(self):
        pixels, draws = pictures(48), drawn(COUNT, 48, 48, Views(erase=0, rotation=0, brightness=0.8, contrast=0.8))
        reversed_ = replace(draws, order=draws.order[:, ::-1])
        ours = [training_views(pixels, each, Views(), 48, BLACK, ONE) for each in (draws, reversed_)]
        assert (ours[0] - ours[1]).abs().mean() > 2 * LEVEL
        assert differences(pixels, reversed_, 48).mean() <= 1.5

    @pytest.mark.parametrize(("side", "size"), [(64, 56), (37, 32), (39, 32), (32, 32)])
    def test_evaluation_views(self, side, size):
        pixels = pictures(side)
        steps = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        theirs = torch.stack([steps(picture) for picture in pixels])
        assert torch.allclose(evaluation_views(pixels, size, MEAN, STD), theirs, atol=1e-5)


class TestViews:
    def test_a_plain_view_is_the_normalised_picture(self):
        pixels = pictures(32, 3)
        views = training_views(pixels, plain(3, 32), Views(), 32, MEAN, STD)
        assert torch.allclose(views, evaluation_views(pixels, 32, MEAN, STD), atol=1e-5)

    @pytest.mark.parametrize("make", ["training", "evaluation"])
    def test_views_are_contiguous_float32(self, make):
        pixels = pictures(37, 3)
        if make == "training":
            views = training_views(pixels, drawn(3, 37, 32, Views()), Views(), 32, MEAN, STD)
        else:
            views = evaluation_views(pixels, 32, MEAN, STD)
        assert (views.dtype, tuple(views.shape), views.is_contiguous()) == (torch.float32, (3, 3, 32, 32), True)

    def test_hue_is_shifted_as_on_the_colour_circle(self):
        rng = np.random.default_rng(0)
        colours = np.concatenate([rng.integers(0, 256, (240, 3)), 255 * (np.arange(8)[:, None] >> np.arange(3) & 1)])
        colours = np.concatenate([colours, np.repeat(rng.integers(0, 256, (8, 1)), 3, axis=1)]).astype(np.uint8)
        pixels = torch.from_numpy(colours).T.reshape(1, 3, 16, 16)
        for shift in (-0.5, -0.3, -0.05, 0.01, 0.2, 0.5):
            draws = plain(1, 16)
            draws.factors[:, HUE] = shift
            hsv = [colorsys.rgb_to_hsv(*(colour / 255)) for colour in colours]
            wanted = torch.tensor([colorsys.hsv_to_rgb((hue + shift) % 1, *rest) for hue, *rest in hsv])
            shifted = training_views(pixels, draws, Views(), 16, BLACK, ONE).reshape(3, 256).T
            assert torch.allclose(shifted, wanted.float(), atol=1e-4)

    def test_erased_boxes_are_zero_after_normalising_and_nothing_else_is(self):
        pixels = torch.full((2, 3, 16, 16), 200, dtype=torch.uint8)
        draws = plain(2, 16)
        draws.erase[1] = [2, 3, 5, 7]
        zero = training_views(pixels, draws, Views(), 16, MEAN, STD) == 0
        assert not zero[0].any()
        assert zero[1, :, 2:7, 3:10].all()
        assert int(zero[1].sum()) == 3 * 5 * 7

    def test_an_image_does_not_depend_on_its_batch(self):
        pixels, draws = pictures(37), drawn(COUNT, 37, 32, Views())
        together = training_views(pixels, draws, Views(), 32, MEAN, STD)
        apart = training_views(pixels[7:9], draws.rows(slice(7, 9)), Views(), 32, MEAN, STD)
        assert torch.allclose(together[7:9], apart, atol=1e-5)

    def test_the_same_draws_give_the_same_bits(self):
        pixels, draws = pictures(37), drawn(COUNT, 37, 32, Views())
        first, second = (training_views(pixels, draws, Views(), 32, MEAN, STD) for _ in range(2))
        assert torch.equal(first, second)

    def test_a_batch_larger_than_a_piece_is_whole(self, monkeypatch):
        pixels, draws = pictures(37), drawn(COUNT, 37, 32, Views())
        whole = training_views(pixels, draws, Views(), 32, MEAN, STD)
        monkeypatch.setattr("animefer_core.data.augment.CACHED", 7 * 3 * 32 * 32)
        assert torch.allclose(training_views(pixels, draws, Views(), 32, MEAN, STD), whole, atol=1e-5)

    @pytest.mark.parametrize(
        ("off", "unchanged"), [({"rotation": 0.0}, "angle"), ({"brightness": 0.0, "contrast": 0.0}, "factors")]
    )
    def test_a_transformation_that_is_off_draws_its_identity(self, off, unchanged):
        column = {"angle": np.s_[:], "factors": np.s_[:, :2]}[unchanged]
        values = getattr(drawn(50, 37, 32, replace(Views(), **off)), unchanged)[column]
        assert np.array_equal(values, getattr(plain(50, 37), unchanged)[column])


class TestDraws:
    def test_one_generator_gives_the_same_draws(self):
        first, second = drawn(20, 128, 112, Views()), drawn(20, 128, 112, Views())
        assert all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(ViewDraws))

    def test_rows_follow_the_index(self):
        draws = drawn(20, 128, 112, Views())
        chosen = draws.rows(np.array([5, 3]))
        assert all(np.array_equal(getattr(chosen, f.name), getattr(draws, f.name)[[5, 3]]) for f in fields(ViewDraws))

    @pytest.mark.parametrize("side", [37, 128])
    def test_boxes_lie_within_their_square(self, side):
        draws = drawn(DRAWS, side, side, Views(erase=1.0))
        for box in (draws.crop, draws.erase):
            assert (box >= 0).all()
            assert (box[:, :2] + box[:, 2:] <= side).all()

    @pytest.mark.parametrize(("ratio", "scale"), [((3.0, 4.0), (1.0, 1.0)), ((0.2, 0.3), (1.0, 1.0))])
    def test_the_crop_after_ten_failed_tries_is_torchvisions(self, ratio, scale):
        draws = drawn(3, 60, 60, Views(crop_ratio=ratio, crop_scale=scale))
        box = transforms.RandomResizedCrop.get_params(torch.zeros(3, 60, 60), list(scale), list(ratio))
        assert draws.crop.tolist() == [list(box)] * 3

    def test_nothing_is_erased_where_no_box_fits(self):
        assert not drawn(50, 64, 64, Views(erase=1.0, erase_scale=(2.0, 3.0))).erase.any()


@pytest.fixture(scope="module")
def ours() -> ViewDraws:
    return draw_views(DRAWS, np.random.default_rng(2), Views(erase=1.0), SIDE, SIDE)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    torch.manual_seed(0)
    views, image = Views(), torch.zeros(3, SIDE, SIDE)
    crop = transforms.RandomResizedCrop.get_params
    return np.array([crop(image, list(views.crop_scale), list(views.crop_ratio)) for _ in range(DRAWS)])


@pytest.fixture(scope="module")
def erased() -> np.ndarray:
    torch.manual_seed(0)
    views, image = Views(), torch.zeros(3, SIDE, SIDE)
    erase = transforms.RandomErasing.get_params
    return np.array([erase(image, views.erase_scale, views.erase_ratio, [0])[:4] for _ in range(DRAWS)])


@pytest.fixture(scope="module")
def jitters() -> list[tuple]:
    torch.manual_seed(0)
    views = Views()
    jitter = transforms.ColorJitter(views.brightness, views.contrast, views.saturation, views.hue)
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    return [jitter.get_params(*ranges) for _ in range(DRAWS)]


class TestDistributions:
    """Every parameter against torchvision's own draws (Kolmogorov-Smirnov, fixed seeds)."""

    def agree(self, ours: np.ndarray, theirs: np.ndarray) -> bool:
        return stats.ks_2samp(ours, theirs).pvalue > 0.01

    @pytest.mark.parametrize("kind", ["crop", "erase"])
    def test_area(self, ours, crops, erased, kind):
        theirs = crops if kind == "crop" else erased
        assert self.agree(getattr(ours, kind)[:, 2:].prod(axis=1), theirs[:, 2:].prod(axis=1))

    @pytest.mark.parametrize("kind", ["crop", "erase"])
    def test_aspect(self, ours, crops, erased, kind):
        theirs, mine = (crops if kind == "crop" else erased), getattr(ours, kind)
        assert self.agree(mine[:, 3] / mine[:, 2], theirs[:, 3] / theirs[:, 2])

    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("kind", ["crop", "erase"])
    def test_place(self, ours, crops, erased, kind, axis):
        assert self.agree(getattr(ours, kind)[:, axis], (crops if kind == "crop" else erased)[:, axis])

    @pytest.mark.parametrize("factor", [BRIGHTNESS, CONTRAST, SATURATION, HUE])
    def test_factor(self, ours, jitters, factor):
        assert self.agree(ours.factors[:, factor], np.array([drawn[1 + factor] for drawn in jitters]))

    def test_every_order_is_as_likely(self, ours):
        _, counts = np.unique(ours.order, axis=0, return_counts=True)
        assert len(counts) == math.factorial(4)
        assert stats.chisquare(counts).pvalue > 0.01

    def test_angle(self, ours):
        torch.manual_seed(0)
        angles = [transforms.RandomRotation.get_params([-10.0, 10.0]) for _ in range(DRAWS)]
        assert self.agree(ours.angle, np.array(angles))

    def test_half_the_images_are_flipped(self, ours):
        assert stats.binomtest(int(ours.flip.sum()), DRAWS, Views().flip).pvalue > 0.01

    def test_a_tenth_of_the_images_is_erased(self):
        erased = int(drawn(DRAWS, 64, 64, Views()).erase[:, 2].astype(bool).sum())
        assert stats.binomtest(erased, DRAWS, Views().erase).pvalue > 0.01

    def test_flip_and_erasing_are_independent(self):
        draws = drawn(DRAWS, 64, 64, Views(erase=0.5))
        table = [[np.sum((draws.flip == a) & ((draws.erase[:, 2] > 0) == b)) for a in (0, 1)] for b in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > 0.01
