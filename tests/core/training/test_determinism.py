import os

import pytest
import torch

from animefer_core import run_trial
from animefer_core.training.determinism import WORKSPACE, deterministic_algorithms
from tests.to_the_bit import numbers


def flags() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.delenv(WORKSPACE, raising=False)
    before = flags()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.backends.cudnn.benchmark = before[2]


def test_everything_is_set_inside():
    torch.backends.cudnn.benchmark = True
    with deterministic_algorithms(True):
        assert flags() == (True, False, False, ":4096:8")


def test_nothing_is_changed_where_it_is_not_wanted():
    before = flags()
    with deterministic_algorithms(False):
        assert flags() == before


@pytest.mark.parametrize("workspace", [None, ":16:8", ":0:0"])
@pytest.mark.parametrize("wanted", [True, False])
def test_all_is_as_before_afterwards_also_after_a_failure(monkeypatch, wanted, workspace):
    if workspace is not None:
        monkeypatch.setenv(WORKSPACE, workspace)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    with pytest.raises(ZeroDivisionError), deterministic_algorithms(wanted):
        _ = 1 / 0
    assert flags() == (True, True, True, workspace)


def test_a_workspace_of_ones_own_that_is_fixed_stays(monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with deterministic_algorithms(True):
        assert os.environ[WORKSPACE] == ":16:8"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_trial_runs_under_it_says_so_and_leaves_no_trace(make_config, make_images, wanted):
    before, seen = flags(), []
    record = run_trial(
        make_config("test_vit", "linear_probe"),
        make_images(),
        device="cpu",
        deterministic=wanted,
        on_epoch=lambda entry: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen == [wanted] * 2
    assert record.environment["deterministic"] is wanted
    assert flags() == before


@pytest.mark.parametrize("model", ["test_vit", "test_resnet", "resnet18"])
def test_on_a_cpu_it_changes_not_one_bit(make_config, make_images, model):
    """Which is why it is a setting, and no part of what a trial's id is made of."""
    plain, deterministic = (
        run_trial(make_config(model, "full"), make_images(), device="cpu", keep_state=True, deterministic=each)
        for each in (False, True)
    )
    assert numbers(plain) == numbers(deterministic)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224"])
def test_two_runs_on_one_card_are_equal_to_the_bit(make_config, make_images, model, precision):
    config = make_config(model, "full", precision=precision, epochs_cap=3)
    first, second = (
        run_trial(config, make_images(train=64), device="cuda", keep_state=True, deterministic=True) for _ in range(2)
    )
    assert numbers(first) == numbers(second)
