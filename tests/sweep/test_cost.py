from dataclasses import replace

import numpy as np
import pytest

from animefer_core.calibration import Pace
from animefer_core.data.pixels import ImageSet
from sweep.cost import RECORD_BYTES, REPORT_BYTES, START_SECONDS, costs, disk_bytes, memory_bytes
from sweep.execution.packing import Node, Packing, Share
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.records import one_split

GB = 1_000_000_000


@pytest.fixture
def data():
    rows = {"train": np.arange(100), "validation": np.arange(100, 110), "test": np.arange(110, 130)}
    labels = np.arange(130) % 2
    empty = np.zeros((130, 3, 1, 1), np.uint8)
    return ImageSet(pixels=empty, labels=labels, classes=("a", "b"), splits={"s": rows}, order=np.arange(130))


@pytest.fixture
def trials():
    settings = resolve({"models": "resnet18", "strategies": "linear_probe,full", "seeds": "1,2", "epochs": "2"})
    return grid(settings, one_split(), weights={"resnet18": "random"}, threads=1)


def cost_of(trials, data, present=(), extra_views=False):
    (cost,) = costs(trials, present, data, lambda _: Pace(head=1.0, everything=3.0), extra_views=extra_views)
    return cost


def test_a_model_without_records_is_costed_by_its_calibration(trials, data):
    cost = cost_of(trials, data)
    probe = 2 * (100 * 1.0 + 10 * 1.0) + 20 * 1.0
    full = 2 * (100 * 3.0 + 10 * 1.0) + 20 * 1.0
    assert (cost.model, cost.trials, cost.measured) == ("resnet18", 4, 0)
    assert cost.seconds == 2 * (probe + START_SECONDS) + 2 * (full + START_SECONDS)


def test_other_views_of_the_test_images_cost_forward_passes(trials, data):
    assert cost_of(trials, data, extra_views=True).seconds == cost_of(trials, data).seconds + 4 * 3 * 20 * 1.0


def test_trials_that_are_there_tell_better(trials, data):
    from animefer_core.record import TrialRecord
    from animefer_core.trial import identity

    present = [
        TrialRecord(**identity(config), status="completed", efficiency={"trial_seconds": 50.0}) for config in trials
    ]
    cost = cost_of(trials[:2], data, present)
    assert (cost.seconds, cost.measured) == (2 * (50.0 + START_SECONDS), 4)
    failed = [replace(record, status="failed") for record in present]
    assert cost_of(trials[:2], data, failed).measured == 0


def test_models_that_are_kept_fill_the_disk(trials, data):
    packing = Packing(nodes=[], threads=1, shares={("resnet18", "full"): Share(cpus=1)})

    def needed(save_models, keeps_epochs=False):
        return disk_bytes(trials, data, packing, save_models=save_models, extra_views=False, keeps_epochs=keeps_epochs)

    weights = 4 * 11_177_538
    assert needed("all") - needed("none") == 4 * weights
    assert needed("best") - needed("none") == 2 * weights, "one a seed"
    assert needed("none", keeps_epochs=True) - needed("none") == 4 * weights, "one trial at once"
    nothing = disk_bytes([], data, packing, save_models="all", extra_views=True, keeps_epochs=True)
    assert nothing == REPORT_BYTES


def test_memory_is_that_of_the_fullest_machine_or_card():
    peaks = {("a", "full"): 3 * GB, ("b", "full"): 5 * GB}
    node = Node(name="n", cpus=4, memory=16 * GB, gpus=2, gpu_bytes=10 * GB)
    on_cpus = Packing(nodes=[node], threads=1, shares={("a", "full"): Share(cpus=1), ("b", "full"): Share(cpus=2)})
    assert memory_bytes(on_cpus, peaks) == (12 * GB, 16 * GB)
    on_cards = replace(on_cpus, shares={name: Share(cpus=1, gpu=0.5) for name in peaks})
    assert memory_bytes(on_cards, peaks) == (10 * GB, 10 * GB)


def test_every_trial_at_once_keeps_an_epoch(trials, data):
    def needed(at_once, keeps_epochs):
        node = Node(name="n", cpus=at_once, memory=GB)
        packing = Packing(nodes=[node], threads=1, shares={("resnet18", "full"): Share(cpus=1)})
        return disk_bytes(trials, data, packing, save_models="none", extra_views=False, keeps_epochs=keeps_epochs)

    assert needed(3, True) - needed(3, False) == 3 * 4 * 4 * 11_177_538


def test_logits_of_validation_and_test_fill_the_disk(trials, data):
    packing = Packing(nodes=[], threads=1, shares={("resnet18", "full"): Share(cpus=1)})

    def needed(extra_views):
        return disk_bytes(trials, data, packing, save_models="none", extra_views=extra_views, keeps_epochs=False)

    logits = 4 * len(data.classes)
    assert needed(False) == REPORT_BYTES + 4 * (RECORD_BYTES + (10 + 20) * logits)
    assert needed(True) - needed(False) == 4 * 3 * 20 * logits
