"""The estimate beside what processes that train really grow by, on this machine's processor."""

from dataclasses import replace
from functools import cache

import pytest

from animefer_core.training.strategies import KNOWN, STUDY
from sweep.execution.memory import estimate
from tests.benchmarks.memory import Case, measured

MODELS = ("resnet18", "vit_tiny_patch16_224")
STRATEGIES = ("linear_probe", "partial", "full")
SLACK = 150_000_000
"""What kernels and the allocator hold beside tensors, whatever the network: some 70 to 150 MB as measured."""


def need(model, strategy, **options):
    given = {"classes": 6, "image_size": 112, "precision": "fp32"} | options
    return estimate(model, KNOWN[strategy], **given)


@cache
def grown(model, strategy):
    return measured(Case(model=model, strategy=strategy, image_size=112)).tensors


@pytest.mark.parametrize("model", MODELS)
def test_it_is_what_a_process_grows_by(model):
    for strategy in ("linear_probe", "full"):
        estimated = need(model, strategy).total
        assert 0.8 * estimated <= grown(model, strategy) <= 1.3 * estimated + SLACK, strategy


@pytest.mark.parametrize("model", MODELS)
def test_the_more_trains_the_more_is_needed(model):
    needs = [need(model, strategy).total for strategy in STRATEGIES]
    assert needs == sorted(set(needs))
    assert grown(model, "linear_probe") < grown(model, "full")


def test_a_probe_has_gradients_and_moments_of_its_head_alone():
    probe = need("resnet18", "linear_probe")
    head = 4 * (512 * 6 + 6)
    assert (probe.gradients, probe.moments) == (head, 2 * head)


def test_full_training_has_them_of_everything():
    full = need("resnet18", "full")
    assert full.gradients == 4 * 11_179_590
    assert full.moments == 2 * full.gradients


def test_progressive_training_is_estimated_where_most_is_open():
    assert need("resnet18", "progressive").gradients == need("resnet18", "full").gradients
    assert need("resnet18", "progressive", epochs_cap=3).gradients == need("resnet18", "linear_probe").gradients


def test_activations_grow_with_the_batch_and_shrink_with_bf16():
    full = STUDY["full"]
    small = estimate("resnet18", full, classes=6, image_size=112, precision="bf16")
    assert small.activations < 0.75 * need("resnet18", "full").activations
    double = estimate("resnet18", replace(full, batch_size=64), classes=6, image_size=112, precision="fp32")
    assert 1.8 < double.activations / need("resnet18", "full").activations < 2.2


def test_a_card_holds_the_images_and_a_context_besides():
    full = need("resnet18", "full")
    assert full.on_card(1_000_000_000) - full.on_card(0) == pytest.approx(1.2e9)
    assert full.on_card(0) > 500_000_000 + full.total
