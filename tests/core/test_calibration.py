import pytest

from animefer_core.calibration import Pace, measure
from animefer_core.config import Streams, TrialConfig
from animefer_core.training.strategies import STUDY, Strategy

PACE = Pace(head=1.0, everything=5.0)


def seconds(strategy, cap=None, **images):
    return PACE.seconds(strategy, cap, 4, **{"training": 0, "validation": 0, "test": 0} | images)


def test_a_probe_costs_forward_passes_and_full_training_everything():
    assert seconds(STUDY["linear_probe"], training=10) == 20 * 10 * 1.0
    assert seconds(STUDY["full"], training=10) == 40 * 10 * 5.0


def test_half_of_the_blocks_is_half_way():
    assert seconds(Strategy(name="half", blocks=2, max_epochs=1), training=10) == 10 * 3.0


def test_progressive_unfreezing_gets_dearer_block_by_block():
    assert seconds(STUDY["progressive"], cap=10, training=1) == 5 * 1.0 + 5 * 2.0


def test_validation_is_every_epoch_and_the_test_once():
    assert seconds(STUDY["linear_probe"], cap=3, validation=10, test=7) == 3 * 10 * 1.0 + 7 * 1.0


def test_a_networks_pace_is_measured():
    config = TrialConfig(
        model="resnet18",
        strategy=STUDY["full"],
        streams=Streams(init=1, order=1, augmentation=1),
        split_digest="none of these",
        image_size=64,
        threads=1,
    )
    pace = measure(config, classes=3, device="cpu")
    assert 0 < pace.head <= pace.everything


@pytest.mark.parametrize("batch_size", [2, 32])
def test_any_batch_size_can_be_measured(batch_size):
    strategy = Strategy(name="own", batch_size=batch_size)
    config = TrialConfig(
        model="resnet18",
        strategy=strategy,
        streams=Streams(init=1, order=1, augmentation=1),
        split_digest="none of these",
        image_size=32,
        threads=1,
    )
    assert measure(config, classes=2, device="cpu").head > 0
