import numpy as np
import pytest

from sweep.statistics import aurc, aurc_interval, risk_by_coverage, total_interval

CONFIDENCE = [0.95, 0.85, 0.75, 0.65, 0.55, 0.92, 0.81, 0.45]
CORRECT = [1, 1, 0, 1, 0, 1, 0, 1]


def test_risk_is_the_share_of_errors_among_the_surest():
    expected = [0, 0, 0, 1 / 4, 2 / 5, 2 / 6, 3 / 7, 3 / 8]
    np.testing.assert_allclose(risk_by_coverage(CONFIDENCE, CORRECT), expected)
    assert aurc(CONFIDENCE, CORRECT) == pytest.approx(np.mean(expected))


def drawn(rng, n_seeds, n_images, difficulty=None):
    """Answers whose confidence is honest."""
    difficulty = rng.standard_normal(n_images) if difficulty is None else difficulty
    confidence = 1 / (1 + np.exp(-1 - difficulty - 0.3 * rng.standard_normal((n_seeds, n_images))))
    return confidence, rng.random((n_seeds, n_images)) < confidence


def test_the_interval_covers_the_area_on_endless_images():
    rng = np.random.default_rng(0)
    truth = aurc(*drawn(rng, 1, 400_000)).item()
    inside = []
    for _ in range(300):
        interval = aurc_interval(*drawn(rng, 5, 200))
        inside.append(interval.low <= truth <= interval.high)
    # Standard error of 300 draws at 95 %: 0.013.
    assert 0.90 <= np.mean(inside) <= 0.99


def test_the_mean_is_that_of_the_seeds():
    confidence, correct = drawn(np.random.default_rng(3), 4, 50)
    assert aurc_interval(confidence, correct).mean == pytest.approx(aurc(confidence, correct).mean())


def test_the_interval_is_that_of_thirty_blocks_left_out_in_turn():
    """Of 45 images the blocks are two images and one, in turn."""
    confidence, correct = drawn(np.random.default_rng(6), 4, 45)
    blocks = [images for first in range(0, 45, 3) for images in ([first, first + 1], [first + 2])]
    whole = aurc(confidence, correct)
    without = [aurc(np.delete(confidence, images, axis=1), np.delete(correct, images, axis=1)) for images in blocks]
    expected = total_interval(30 * whole[:, None] - 29 * np.stack(without, axis=1))
    found = aurc_interval(confidence, correct)
    assert len(blocks) == 30
    assert 0 < found.low < found.high < 1
    assert found.high - found.low == pytest.approx(expected.high - expected.low)


def test_order_of_seeds_changes_nothing():
    confidence, correct = drawn(np.random.default_rng(7), 5, 50)
    turned = aurc_interval(confidence[::-1], correct[::-1])
    assert vars(turned) == pytest.approx(vars(aurc_interval(confidence, correct)))


def test_only_the_order_of_confidences_counts():
    confidence, correct = drawn(np.random.default_rng(8), 5, 50)
    assert aurc_interval(3 + 7 * confidence, correct) == aurc_interval(confidence, correct)


def test_seeds_repeated_as_others_never_widen_the_interval():
    confidence, correct = drawn(np.random.default_rng(9), 5, 50)
    more, less = (
        aurc_interval(np.tile(confidence, (3, 1)), np.tile(correct, (3, 1))),
        aurc_interval(confidence, correct),
    )
    assert more.high - more.low <= less.high - less.low + 1e-12


def test_images_of_one_group_count_as_one():
    rng = np.random.default_rng(4)
    confidence, correct = drawn(rng, 5, 25)
    repeated = (np.tile(confidence, 8), np.tile(correct, 8))
    groups = np.tile(np.arange(25), 8)
    blind, grouped = aurc_interval(*repeated), aurc_interval(*repeated, groups=groups)
    assert grouped.high - grouped.low > 1.3 * (blind.high - blind.low)


def test_a_single_group_is_refused():
    confidence, correct = drawn(np.random.default_rng(5), 3, 25)
    with pytest.raises(ValueError, match="two test images or groups"):
        aurc_interval(confidence, correct, groups=np.zeros(25, dtype=int))
