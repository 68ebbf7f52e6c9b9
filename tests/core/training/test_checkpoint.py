"""A trial that is stopped after some epoch and taken up again gives the record of one left alone, to the bit."""

import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from animefer_core import TrialConfig, run_trial, trial
from animefer_core.data.pixels import ImageSet
from animefer_core.record import TrialRecord
from animefer_core.training import checkpoint, loop
from animefer_core.training.checkpoint import EpochState, TimedCheckpoints, read_checkpoint, write_checkpoint
from animefer_core.training.strategies import KNOWN, Strategy
from animefer_core.trial import build_network
from tests.to_the_bit import numbers

# timm's smallest networks of either family, built and blocked like the large ones.
VIT, RESNET = "test_vit", "test_resnet"


class StoppedError(Exception):
    """Ends a trial as a lost process does, between two epochs."""


@pytest.fixture(scope="module")
def images(make_images) -> ImageSet:
    return make_images()


def in_file(path: Path, minutes: float = 0) -> TimedCheckpoints:
    return TimedCheckpoints(minutes, partial(read_checkpoint, path), partial(write_checkpoint, path))


def run(config: TrialConfig, images: ImageSet, path: Path | None = None) -> TrialRecord:
    checkpoints = None if path is None else in_file(path)
    return run_trial(config, images, device="cpu", keep_state=True, checkpoints=checkpoints)


def stop(config: TrialConfig, images: ImageSet, path: Path, after: int) -> None:
    """Run a trial, and end it once this epoch is complete."""

    def on_epoch(entry):
        if entry["epoch"] == after:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_trial(config, images, device="cpu", on_epoch=on_epoch, checkpoints=in_file(path))


def assert_resumes(config: TrialConfig, images: ImageSet, path: Path, after: int) -> TrialRecord:
    """Stop after an epoch, go on from there, and compare with a trial left alone; return the record of the former."""
    alone = run(config, images)
    stop(config, images, path, after)
    resumed = run(config, images, path)
    assert resumed.environment["resumed_after_epochs"] == [after]
    assert numbers(resumed) == numbers(alone)
    return resumed


def strategy(name: str, **changes: object) -> Strategy:
    return replace(KNOWN[name], **changes)


BY_STEPS = [
    (VIT, strategy("progressive", unfreeze_every=2), 6, (1, 2, 3, 4, 5, 6)),
    (RESNET, strategy("progressive", unfreeze_every=1), 4, (1, 2, 3)),
]
WARMUP_AND_COSINE = [(VIT, strategy("full"), 6, (1, 2, 3, 4, 6)), (RESNET, strategy("full"), 5, (2, 4))]
OTHERS = [
    (VIT, strategy("lp_ft"), 5, (1, 2, 3)),
    (VIT, strategy("layer_decay"), 5, (2, 4)),
    (RESNET, strategy("partial"), 3, (1, 2)),
    (RESNET, replace(strategy("progressive", unfreeze_every=1, block_order="from_stem"), name="stem_first"), 3, (3,)),
    ("resnet18", strategy("partial"), 3, (2,)),
    ("vit_tiny_patch16_224", strategy("progressive", unfreeze_every=1), 3, (1,)),
]
CASES = [
    pytest.param(model, each, epochs, after, id=f"{model}-{each.name}-after-{after}-of-{epochs}")
    for model, each, epochs, stops in [*BY_STEPS, *WARMUP_AND_COSINE, *OTHERS]
    for after in stops
]


@pytest.mark.parametrize(("model", "chosen", "epochs", "after"), CASES)
def test_it_ends_as_if_nothing_had_happened(make_config, images, tmp_path, model, chosen, epochs, after):
    config = replace(make_config(model), strategy=chosen, epochs_cap=epochs)
    assert_resumes(config, images, tmp_path / "it", after)


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("name", ["linear_probe", "partial"])
def test_statistics_that_move_in_frozen_blocks_go_on_moving(make_config, images, tmp_path, name, after):
    config = make_config(RESNET, name, epochs_cap=3, frozen_norm="train")
    assert_resumes(config, images, tmp_path / "it", after)


def test_dropout_draws_on(make_config, images, tmp_path, monkeypatch):
    def with_dropout(config, classes, weights):
        network = build_network(config, classes, weights)
        for module in network.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.3
        return network

    config = make_config(VIT, "full", epochs_cap=4)
    without = run(config, images)
    monkeypatch.setattr(trial, "build_network", with_dropout)
    resumed = assert_resumes(config, images, tmp_path / "it", 2)
    assert numbers(resumed)["history"] != numbers(without)["history"]


def test_convolutions_in_bf16_with_their_channels_last(make_config, images, tmp_path):
    config = make_config(RESNET, "full", epochs_cap=3, precision="bf16")
    assert_resumes(config, images, tmp_path / "it", 2)


def test_moments_come_back_in_the_layout_of_their_parameter(make_config, images, tmp_path):
    model = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(1, 4, 3, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "adamw": checkpoint.adamw_of(model, optimizer)}
    write_checkpoint(tmp_path / "it", replace(EMPTY, **state))
    again = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    restored = torch.optim.AdamW(again.parameters(), fused=True)
    read_checkpoint(tmp_path / "it").restore(again, restored)
    for ours, theirs in ((model.weight, again.weight), (model.bias, again.bias)):
        for key, value in optimizer.state[ours].items():
            assert torch.equal(restored.state[theirs][key], value)
            assert restored.state[theirs][key].stride() == value.stride()


class TestPatience:
    """Validation losses are scripted, so that the best epoch lies where it hurts most."""

    def script(self, monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> None:
        remaining = iter(losses)
        monkeypatch.setattr(loop, "cross_entropy", lambda logits, labels: next(remaining))

    @pytest.mark.parametrize("model", [VIT, RESNET])
    @pytest.mark.parametrize("after", [2, 3, 4, 5])
    def test_the_best_epoch_is_the_same_and_so_are_its_weights(
        self, make_config, images, tmp_path, monkeypatch, model, after
    ):
        """Epoch 2 is the best; one block opens in epoch 3, another in epoch 5; patience ends with epoch 5."""
        chosen = Strategy(name="by steps", max_epochs=9, patience=3, unfreeze_every=2)
        config, losses = replace(make_config(model), strategy=chosen, epochs_cap=None), [3.0, 1.0, 2.0, 2.5, 1.5]
        self.script(monkeypatch, losses)
        alone = run(config, images)
        self.script(monkeypatch, losses)
        stop(config, images, tmp_path / "it", after)
        self.script(monkeypatch, losses[after:])
        resumed = run(config, images, tmp_path / "it")
        assert (resumed.epochs_run, resumed.best_epoch) == (5, 2)
        assert numbers(resumed) == numbers(alone)


def test_a_trial_may_be_taken_up_again_and_again(make_config, images, tmp_path):
    config = make_config(RESNET, "progressive", epochs_cap=5)
    for after in (1, 2, 4):
        stop(config, images, tmp_path / "it", after)
    resumed = run(config, images, tmp_path / "it")
    assert resumed.environment["resumed_after_epochs"] == [1, 2, 4]
    assert numbers(resumed) == numbers(run(config, images))


def test_only_the_missing_epochs_are_trained(make_config, images, tmp_path):
    config = make_config(VIT, "full", epochs_cap=4)
    stop(config, images, tmp_path / "it", 3)
    seen = []
    record = run_trial(config, images, device="cpu", on_epoch=seen.append, checkpoints=in_file(tmp_path / "it"))
    assert [entry["epoch"] for entry in seen] == [4]
    assert [entry["epoch"] for entry in record.history] == [1, 2, 3, 4]


def test_the_seconds_of_earlier_epochs_are_those_that_they_took(make_config, images, tmp_path):
    config = make_config(VIT, "linear_probe", epochs_cap=3)
    stop(config, images, tmp_path / "it", 2)
    kept = read_checkpoint(tmp_path / "it").history
    record = run(config, images, tmp_path / "it")
    assert record.history[:2] == kept
    seconds = sum(entry["seconds"] for entry in record.history)
    assert record.efficiency["train_images_per_second"] == pytest.approx(3 * 12 / seconds)


def test_an_undisturbed_record_says_nothing_of_it(make_config, images, tmp_path):
    record = run(make_config(VIT, "linear_probe"), images, tmp_path / "it")
    assert "resumed_after_epochs" not in record.environment


def test_what_never_trained_is_not_in_the_file(make_config, images, tmp_path):
    config = make_config(VIT, "linear_probe")
    stop(config, images, tmp_path / "it", 1)
    state = read_checkpoint(tmp_path / "it")
    assert set(state.model) == set(state.best) == set(state.adamw) == {"head.weight", "head.bias"}


EMPTY = EpochState(
    history=[],
    best_loss=1.0,
    best_epoch=1,
    best={},
    best_logits=torch.zeros(2, 3).numpy(),
    ever_trained=set(),
    model={"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)},
    adamw={},
    resumed_after=[],
)


@pytest.fixture(scope="module")
def config(make_config) -> TrialConfig:
    return make_config(VIT, "linear_probe", epochs_cap=3)


@pytest.fixture(scope="module")
def whole(config, images) -> dict[str, object]:
    return numbers(run(config, images))


@pytest.fixture
def path(config, images, tmp_path) -> Path:
    """Return a good checkpoint after the first epoch."""
    stop(config, images, tmp_path / "it", 1)
    return tmp_path / "it"


class TestFile:
    """Whatever else lies there, the trial begins anew and gives its record."""

    def assert_begins_anew(self, config, images, path, whole) -> None:
        assert read_checkpoint(path) is None
        record = run(config, images, path)
        assert "resumed_after_epochs" not in record.environment
        assert numbers(record) == whole

    @pytest.mark.parametrize("kept", [0, 7, 100, -4, -1])
    def test_a_cut_one(self, config, images, path, whole, kept):
        path.write_bytes(path.read_bytes()[:kept])
        self.assert_begins_anew(config, images, path, whole)

    def test_one_with_a_flipped_bit(self, config, images, path, whole):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        self.assert_begins_anew(config, images, path, whole)

    def test_one_with_another_history(self, config, images, path, whole):
        path.write_bytes(path.read_bytes().replace(b'best_epoch\\": 1', b'best_epoch\\": 2'))
        self.assert_begins_anew(config, images, path, whole)

    def test_somebody_elses_safetensors(self, config, images, path, whole):
        save_file({"weight": torch.ones(3)}, path)
        self.assert_begins_anew(config, images, path, whole)

    def test_a_pickle_which_is_not_opened(self, config, images, path, whole, tmp_path):
        path.write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
        self.assert_begins_anew(config, images, path, whole)
        assert not (tmp_path / "planted").exists()

    def test_a_folder(self, config, images, whole, tmp_path):
        (tmp_path / "it").mkdir()
        with pytest.warns(UserWarning, match="checkpoint cannot be"):
            assert numbers(run(config, images, tmp_path / "it")) == whole

    def test_another_trials(self, config, images, path, make_config):
        other = make_config(VIT, "linear_probe", epochs_cap=3, seed=7)
        record = run(other, images, path)
        assert "resumed_after_epochs" not in record.environment
        assert numbers(record) == numbers(run(other, images))

    @pytest.mark.parametrize("name", ["device_name", "precision", "threads", "deterministic", "versions"])
    def test_one_of_other_hardware_or_software(self, config, images, path, whole, name):
        state = read_checkpoint(path)
        assert name in state.conditions
        write_checkpoint(path, replace(state, conditions={**state.conditions, name: "another"}))
        record = run(config, images, path)
        assert "resumed_after_epochs" not in record.environment
        assert numbers(record) == whole


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_state_is_read_as_it_was_written(tmp_path):
    write_checkpoint(tmp_path / "new" / "it", EMPTY)
    state = read_checkpoint(tmp_path / "new" / "it")
    assert {name: value.tolist() for name, value in state.model.items()} == {
        "weight": [[0, 1, 2], [3, 4, 5]],
        "count": 7,
    }
    assert state.model["count"].dtype == torch.int64
    assert (state.best_epoch, state.ever_trained, state.best_logits.shape) == (1, set(), (2, 3))


@pytest.mark.parametrize(("owner", "name"), [(checkpoint.os, "fsync"), (Path, "replace"), (checkpoint, "save_file")])
def test_a_full_disk_leaves_the_epoch_before_and_the_trial_alone(
    make_config, images, tmp_path, monkeypatch, owner, name
):
    config = make_config(VIT, "linear_probe", epochs_cap=2)
    alone = run(config, images)
    stop(config, images, tmp_path / "it", 1)
    before = (tmp_path / "it").read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, name, full)
    with pytest.warns(UserWarning, match="checkpoint cannot be written: .*No space"):
        record = run(config, images, tmp_path / "it")
    assert numbers(record) == numbers(alone)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert (tmp_path / "it").read_bytes() == before


class TestClock:
    def kept(self, minutes: float, seconds: Sequence[float]) -> list[float]:
        """Return at which of these moments an epoch that ends then is kept."""
        moments, now, kept = iter([0.0, *seconds]), [0.0], []

        def clock() -> float:
            return now[0]

        checkpoints = TimedCheckpoints(minutes, lambda: None, lambda state: kept.append(now[0]), clock)
        for now[0] in moments:
            if now[0]:
                checkpoints.offer(lambda: EMPTY)
        return kept

    def test_every_epoch(self):
        assert self.kept(0, [1, 2, 3]) == [1, 2, 3]

    def test_at_most_every_five_minutes(self):
        assert self.kept(5, [100, 299, 300, 400, 599, 601, 1000]) == [300, 601, 1000]

    def test_nothing_is_gathered_before_it_is_time(self):
        def gather() -> EpochState:
            raise AssertionError("gathered")

        TimedCheckpoints(5, lambda: None, lambda state: None, lambda: 0.0).offer(gather)

    def test_what_is_hurried_is_kept_at_once_and_says_so(self):
        kept, asked = [], [False]
        checkpoints = TimedCheckpoints(5, lambda: None, kept.append, lambda: 0.0, lambda: asked[0])
        checkpoints.offer(lambda: EMPTY)
        assert (kept, checkpoints.hurried) == ([], False)
        asked[0] = True
        checkpoints.offer(lambda: EMPTY)
        assert (kept, checkpoints.hurried) == ([EMPTY], True)
