from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from animefer_core.config import TrialConfig
from animefer_core.data.augment import ViewDraws
from animefer_core.data.pixels import ImageSet
from animefer_core.models.zoo import Network
from animefer_core.training import loop
from animefer_core.training.device import choose_compute
from animefer_core.training.loop import Fit, Pictures, TrainingDivergedError, batches, fit, place, predict
from animefer_core.training.strategies import STUDY, Strategy
from animefer_core.trial import build_network, normalisation_of

SPLIT = "5" * 64
"""The one split of `make_images` and `make_config`."""

VIT = "vit_tiny_patch16_224"
STEP_BY_STEP = Strategy(name="step by step", max_epochs=9, patience=2, unfreeze_every=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def images(make_images) -> ImageSet:
    return make_images()


def network_of(config: TrialConfig, images: ImageSet) -> Network:
    network = build_network(config, len(images.classes), None)
    place(network, choose_compute("cpu", "fp32", 32))
    return network


def train(
    config: TrialConfig, images: ImageSet, network: Network | None = None, pictures: Pictures | None = None
) -> Fit:
    return fit(
        network or network_of(config, images),
        images,
        pictures or Pictures(images.pixels, torch.device("cpu")),
        config,
        normalisation_of(config),
        choose_compute("cpu", "fp32", 32),
    )


def validation_logits(config: TrialConfig, images: ImageSet, network: Network) -> np.ndarray:
    pictures = Pictures(images.pixels, torch.device("cpu"))
    rows = images.rows(SPLIT)["validation"]
    compute = choose_compute("cpu", "fp32", 32)
    return predict(network, pictures, rows, config.image_size, normalisation_of(config), compute)


def script(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> list[np.ndarray]:
    """Let the validation losses be these, one an epoch; return the list that the epochs' logits go to."""
    remaining, seen = iter(losses), []

    def scripted(logits: np.ndarray, labels: np.ndarray) -> float:
        seen.append(logits.copy())
        return next(remaining)

    monkeypatch.setattr(loop, "cross_entropy", scripted)
    return seen


def tensors(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.model.state_dict().items()}


class TestBatches:
    def test_a_last_batch_of_one_joins_the_one_before(self):
        assert [len(batch) for batch in batches(np.arange(33), 32)] == [33]
        assert [len(batch) for batch in batches(np.arange(65), 32)] == [32, 33]

    def test_the_studys_last_batch_is_kept(self):
        assert [len(batch) for batch in batches(np.arange(2100), 32)] == [32] * 65 + [20]

    @settings(deadline=None)
    @given(st.integers(1, 100), st.integers(2, 40))
    def test_every_image_is_met_once_in_order_and_none_alone(self, images, size):
        order = np.random.default_rng(images).permutation(images)
        cut = batches(order, size)
        assert np.concatenate(cut).tolist() == order.tolist()
        assert {len(batch) for batch in cut[:-1]} <= {size}
        assert 2 <= len(cut[-1]) <= size + 1 or images == 1


class TestLayerDecay:
    def groups(self, make_config, images, strategy):
        config = make_config(VIT, strategy)
        return loop._optimizer(network_of(config, images), config).param_groups

    def test_every_layer_has_three_quarters_of_the_rate_of_the_one_after_it(self, make_config, images):
        head, *rest = self.groups(make_config, images, "layer_decay")
        assert (head["name"], head["scale"]) == ("head", 1.0)
        assert [group["scale"] for group in rest] == pytest.approx([0.75**depth for depth in range(1, len(rest) + 1)])
        assert {group["name"] for group in rest} == {"backbone"}

    def test_every_parameter_is_in_one_group(self, make_config, images):
        groups = self.groups(make_config, images, "layer_decay")
        found = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(found) == len(set(found))
        whole = network_of(make_config(VIT), images).model
        assert len(found) == len(list(whole.parameters()))

    def test_the_stem_moves_less_than_the_last_layer(self, make_config, images):
        config = make_config(VIT, "layer_decay")
        network = network_of(config, images)
        before = tensors(network)
        train(config, images, network)
        moved = {name: float((value - before[name]).abs().max()) for name, value in tensors(network).items()}
        assert 0 < moved["patch_embed.proj.weight"] < 0.3 * moved["blocks.11.mlp.fc2.weight"]


def test_a_linear_probe_first_leaves_the_backbone_as_it_was_until_then(make_config, images):
    config = make_config(VIT, "lp_ft", epochs_cap=4)
    shares = [entry["percent_trainable"] for entry in train(config, images).history]
    assert shares[0] < 5
    assert shares[1:] == [100.0] * 3


class TestEarlyStopping:
    """Validation losses are scripted, so that the best epoch and the last one are known."""

    @pytest.mark.parametrize(
        ("losses", "epochs", "best"),
        [
            ([3, 2, 1, 2, 2, 2], 6, 3),
            ([1, 1, 1, 1], 4, 1),
            ([4, 5, 5, 3, 5, 5, 2.999, 5, 5], 9, 7),
            ([9, 8, 7, 6, 5, 4, 3, 2, 1], 9, 9),
        ],
        ids=["patience is spent", "an equal loss is no better", "any decrease counts", "to the last epoch"],
    )
    def test_epochs_run_and_best_epoch(self, make_config, images, monkeypatch, losses, epochs, best):
        probe = replace(STUDY["linear_probe"], max_epochs=9, patience=3)
        script(monkeypatch, losses)
        fitted = train(replace(make_config(VIT), strategy=probe, epochs_cap=None), images)
        assert (len(fitted.history), fitted.best_epoch) == (epochs, best)

    @pytest.mark.parametrize(
        ("model", "losses"), [("resnet18", [3, 1, 2, 2]), (VIT, [3, 1, 2, 2]), (VIT, [3, 2, 1, 2, 2]), (VIT, [1, 2, 2])]
    )
    def test_the_best_epochs_weights_are_restored(self, make_config, images, monkeypatch, model, losses):
        """Blocks that opened after the best epoch go back to where they were too."""
        config = replace(make_config(model), strategy=STEP_BY_STEP, epochs_cap=None)
        network, seen = network_of(config, images), script(monkeypatch, losses)
        fitted = train(config, images, network)
        best = seen[losses.index(1)]
        np.testing.assert_array_equal(validation_logits(config, images, network), best)
        np.testing.assert_array_equal(fitted.validation_logits, best)

    def test_a_block_that_never_got_better_is_as_it_began(self, make_config, images, monkeypatch):
        config = replace(make_config(VIT), strategy=STEP_BY_STEP, epochs_cap=None)
        network = network_of(config, images)
        before = tensors(network)
        script(monkeypatch, [2, 1, 3, 3])
        train(config, images, network)
        after = tensors(network)
        assert {name for name in before if not torch.equal(before[name], after[name])} == set(network.head)

    def test_the_share_is_that_of_the_last_epoch_not_the_best(self, make_config, images, monkeypatch):
        config = replace(make_config(VIT), strategy=STEP_BY_STEP, epochs_cap=None)
        network = network_of(config, images)
        script(monkeypatch, [1, 2, 2])
        fitted = train(config, images, network)
        open_then = {*network.head, *network.blocks[0]}
        count = sum(value.numel() for name, value in network.model.named_parameters() if name in open_then)
        assert fitted.trainable_parameters == count
        shares = [entry["percent_trainable"] for entry in fitted.history]
        assert fitted.percent_trainable == shares[-1] > shares[0]


@pytest.fixture(scope="module")
def fitted(make_config, make_images) -> Fit:
    return train(make_config(VIT, "full"), make_images())


class TestHistory:
    def test_it_has_every_field_of_the_contract(self, fitted):
        assert {frozenset(entry) for entry in fitted.history} == {
            frozenset(
                {
                    "epoch",
                    "train_loss",
                    "validation_loss",
                    "validation_accuracy",
                    "seconds",
                    "images_per_second",
                    "percent_trainable",
                    "learning_rates",
                }
            )
        }

    def test_epochs_count_from_one(self, fitted):
        assert [entry["epoch"] for entry in fitted.history] == [1, 2]

    def test_the_rates_are_the_strategys(self, fitted):
        assert [entry["learning_rates"] for entry in fitted.history] == [
            pytest.approx({"head": 1e-3 * share, "backbone": 1e-5 * share}) for share in (1 / 3, 2 / 3)
        ]

    def test_images_per_second_are_the_training_images(self, fitted):
        assert [entry["images_per_second"] * entry["seconds"] for entry in fitted.history] == pytest.approx([12, 12])

    def test_every_entry_is_handed_out_as_it_is_made(self, make_config, images):
        config = make_config(VIT, "linear_probe")
        seen = []
        compute, pictures = choose_compute("cpu", "fp32", 32), Pictures(images.pixels, torch.device("cpu"))
        network = network_of(config, images)
        fitted = fit(network, images, pictures, config, normalisation_of(config), compute, seen.append)
        assert seen == fitted.history

    def test_validation_numbers_are_those_of_the_logits(self, make_config, images):
        config = make_config(VIT, "linear_probe", epochs_cap=1)
        fitted = train(config, images)
        logits, labels = (
            torch.tensor(fitted.validation_logits),
            torch.tensor(images.labels[images.rows(SPLIT)["validation"]]),
        )
        entry = fitted.history[0]
        assert entry["validation_loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
        assert entry["validation_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))

    def test_the_training_loss_weighs_images_not_steps(self, make_config, images, monkeypatch):
        """12 images in steps of 8 and 4, whose losses are made 1 and 4."""
        losses = iter([1.0, 4.0])
        monkeypatch.setattr(loop, "_step", lambda *arguments: torch.tensor(next(losses)))
        fitted = train(make_config(VIT, "linear_probe", epochs_cap=1), images)
        assert fitted.history[0]["train_loss"] == (8 * 1.0 + 4 * 4.0) / 12


def angles(steps: Sequence[tuple[np.ndarray, ViewDraws]]) -> dict[bytes, float]:
    """Return every image's rotation, in the order in which the images were met."""
    return {
        image.tobytes(): angle
        for pixels, draws in steps
        for image, angle in zip(pixels, draws.angle.tolist(), strict=True)
    }


class TestPairing:
    def met(
        self, monkeypatch: pytest.MonkeyPatch, config: TrialConfig, images: ImageSet
    ) -> list[tuple[np.ndarray, ViewDraws]]:
        """Return the images and draws of every training step."""
        steps = []
        original = loop.training_views

        def spy(pixels: Tensor, draws: ViewDraws, *rest: object) -> Tensor:
            steps.append((pixels.numpy().copy(), draws))
            return original(pixels, draws, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "training_views", spy)
            train(config, images)
        return steps

    @pytest.mark.parametrize(("model", "strategy"), [(VIT, "full"), ("resnet18", "linear_probe"), (VIT, "progressive")])
    def test_one_seed_gives_every_configuration_the_same_steps(self, make_config, images, monkeypatch, model, strategy):
        first = self.met(monkeypatch, make_config(VIT, "linear_probe"), images)
        other = self.met(monkeypatch, make_config(model, strategy), images)
        assert len(first) == len(other) == 2 * 2
        for (pixels, draws), (other_pixels, other_draws) in zip(first, other, strict=True):
            np.testing.assert_array_equal(pixels, other_pixels)
            for name, drawn in vars(draws).items():
                np.testing.assert_array_equal(drawn, getattr(other_draws, name))

    def test_another_order_leaves_every_image_its_augmentation(self, make_config, images, monkeypatch):
        config = make_config(VIT, "linear_probe", epochs_cap=1)
        reordered = replace(config, streams=replace(config.streams, order=7))
        first, other = (angles(self.met(monkeypatch, each, images)) for each in (config, reordered))
        assert list(first) != list(other)
        assert first == other

    def test_another_augmentation_leaves_the_order(self, make_config, images, monkeypatch):
        config = make_config(VIT, "linear_probe", epochs_cap=1)
        augmented = replace(config, streams=replace(config.streams, augmentation=7))
        first, other = (angles(self.met(monkeypatch, each, images)) for each in (config, augmented))
        assert list(first) == list(other)
        assert not set(first.values()) & set(other.values())

    def test_epochs_differ_in_order_and_draws(self, make_config, images, monkeypatch):
        (first, draws), _, (second, later), _ = self.met(monkeypatch, make_config(VIT, "linear_probe"), images)
        assert not np.array_equal(first, second)
        assert not np.array_equal(draws.angle, later.angle)


@pytest.mark.parametrize("model", ["resnet18", VIT])
def test_a_linear_probe_changes_the_head_and_not_one_bit_else(make_config, images, model):
    config = make_config(model, "linear_probe")
    network = network_of(config, images)
    before = tensors(network)
    train(config, images, network)
    after = tensors(network)
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(network.head)


def test_gradients_are_clipped_where_the_strategy_says(make_config, images, monkeypatch):
    norms = []
    original = torch.nn.utils.clip_grad_norm_

    def spy(parameters: object, limit: float) -> Tensor:
        norms.append(limit)
        return original(parameters, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    train(make_config(VIT, "linear_probe"), images)
    assert norms == []
    train(make_config(VIT, "full"), images)
    assert norms == [1.0] * 4


def test_weight_decay_shrinks_what_trains_step_by_step(make_config, images):
    """AdamW's decay is apart from the gradient's step: weights are first scaled by 1 - rate x decay."""
    heads = []
    for decay in (0.0, 100.0):
        own = Strategy(
            name="own", lr_head=1e-3, weight_decay=decay, max_epochs=1, patience=1, batch_size=len(images.labels)
        )
        config = replace(make_config("resnet18", "linear_probe"), strategy=own)
        network = network_of(config, images)
        started = network.classifier.weight.detach().clone()
        train(config, images, network)
        heads.append(network.classifier.weight.detach().clone())
    # One step: the gradients are equal, so the two differ by the decay of the weights that it began with.
    torch.testing.assert_close(heads[0] - heads[1], 0.1 * started, rtol=1e-4, atol=1e-6)


def test_dropout_has_draws_of_its_own_in_every_epoch(make_config, images, monkeypatch):
    seeds = []
    original = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeds.append(seed) or original(seed))
    config = make_config(VIT, "linear_probe")
    network = network_of(config, images)
    seeds.clear()
    fitted = train(config, images, network)
    assert len(fitted.history) > 1
    assert len(seeds) == len(set(seeds)) == len(fitted.history)


class TestDivergence:
    def test_a_training_loss_that_is_no_number_names_epoch_and_step(self, make_config, images):
        wild = Strategy(name="wild", lr_head=1e38, lr_backbone=1e38, blocks="all", batch_size=8)
        with pytest.raises(TrainingDivergedError, match=r"training loss is (nan|inf) at epoch 1, step 2"):
            train(replace(make_config(), strategy=wild), images)

    def test_a_validation_loss_that_is_no_number_names_the_epoch(self, make_config, images, monkeypatch):
        script(monkeypatch, [1.0, float("nan")])
        with pytest.raises(TrainingDivergedError, match="validation loss is nan after epoch 2"):
            train(make_config(VIT, "linear_probe"), images)


def test_training_reads_no_row_of_the_test_part(make_config, images):
    read: set[int] = set()

    class Watched(Pictures):
        def __getitem__(self, rows: np.ndarray) -> Tensor:
            read.update(rows.tolist())
            return super().__getitem__(rows)

    train(make_config(VIT, "linear_probe"), images, pictures=Watched(images.pixels, torch.device("cpu")))
    assert read == {*images.rows(SPLIT)["train"].tolist(), *images.rows(SPLIT)["validation"].tolist()}


def test_predictions_do_not_depend_on_what_else_is_in_the_batch(make_config, images):
    config = make_config()
    network = network_of(config, images)
    together = validation_logits(config, images, network)
    rows = images.rows(SPLIT)
    alone = replace(images, splits={SPLIT: {**rows, "validation": rows["validation"][:1]}})
    np.testing.assert_allclose(validation_logits(config, alone, network)[0], together[0], rtol=1e-4, atol=1e-5)


def test_a_cnn_in_bf16_is_laid_out_channels_last_and_a_vit_is_not(make_config, images):
    layout = {"memory_format": torch.channels_last}
    for precision, model, expected in (("bf16", "resnet18", True), ("fp32", "resnet18", False), ("bf16", VIT, False)):
        network = build_network(make_config(model), 2, None)
        place(network, choose_compute("cpu", precision, 32))
        weights = [
            parameter for parameter in network.model.parameters() if parameter.dim() == 4 and parameter.size(1) > 1
        ]
        assert weights[0].is_contiguous(**layout) is expected


def test_blocks_open_from_the_stem_where_the_strategy_says(make_config, images, monkeypatch):
    script(monkeypatch, [2.0, 1.0])
    strategy = Strategy(name="stem_first", unfreeze_every=1, block_order="from_stem", max_epochs=2)
    config = replace(make_config("resnet18"), strategy=strategy)
    network = network_of(config, images)
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    train(config, images, network=network)
    changed = {
        name for name, _ in network.model.named_parameters() if (network.model.state_dict()[name] != before[name]).any()
    }
    assert changed == {*network.head, *network.blocks[-1]}
