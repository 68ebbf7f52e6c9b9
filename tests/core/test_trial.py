import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights

from animefer_core import TrialConfig, run_trial, trial
from animefer_core.config import STUDY_MODELS, Views
from animefer_core.data.alterations import ALTERATIONS
from animefer_core.data.pixels import ImageSet, without_test
from animefer_core.errors import InputError
from animefer_core.metrics import evaluate
from animefer_core.models import zoo
from animefer_core.record import TrialRecord, read_record, write_record
from animefer_core.training.device import choose_compute
from animefer_core.training.loop import Pictures, place, predict
from animefer_core.trial import build_network, failed_record, flops_per_image, normalisation_of, validate

SPLIT = "5" * 64
"""The one split of `make_images` and `make_config`."""

VIT = "vit_tiny_patch16_224"

EFFICIENCY = {
    "train_images_per_second",
    "eval_images_per_second",
    "latency_ms",
    "peak_memory_bytes",
    "parameters",
    "trainable_parameters",
    "flops_per_image",
    "shared_device",
    "trial_seconds",
}
ENVIRONMENT = {"device", "precision", "threads", "versions", "host"}
"""What efficiency{} and environment{} of a record promise."""

TIMINGS = {"seconds", "images_per_second"}


@pytest.fixture(scope="module")
def images(make_images) -> ImageSet:
    return make_images()


@pytest.fixture(scope="module")
def cnn(make_config) -> TrialConfig:
    return make_config("resnet18", "full")


@pytest.fixture(scope="module")
def vit(make_config) -> TrialConfig:
    return make_config(VIT, "partial", seed=1)


@pytest.fixture(scope="module")
def record(cnn, images) -> TrialRecord:
    """Return the first trial of this process, its state kept."""
    return run_trial(cnn, images, device="cpu", keep_state=True)


@pytest.fixture
def warn_always() -> Iterator[None]:
    """Let torch repeat warnings that it gives once a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


def numbers(record: TrialRecord) -> dict[str, object]:
    """Return all that must be equal, to the bit, whenever the trial runs: no timings, no environment."""
    assert record.predictions is not None
    history = [{name: value for name, value in entry.items() if name not in TIMINGS} for entry in record.history]
    arrays = {name: (array.dtype, array.shape, array.tobytes()) for name, array in record.predictions.arrays().items()}
    return {
        "history": history,
        "validation": record.validation,
        "test": record.test,
        "best": record.best_epoch,
        **arrays,
    }


class TestFunctionOfItsInputs:
    def test_the_same_again_is_the_same_to_the_bit(self, record, cnn, images):
        assert numbers(run_trial(cnn, images, device="cpu")) == numbers(record)

    def test_either_order_in_one_process_gives_the_same(self, record, cnn, vit, images):
        vit_second = run_trial(vit, images, device="cpu")
        vit_first, cnn_second = run_trial(vit, images, device="cpu"), run_trial(cnn, images, device="cpu")
        assert numbers(vit_first) == numbers(vit_second)
        assert numbers(cnn_second) == numbers(record)

    def test_the_global_generators_do_not_matter(self, record, cnn, images):
        torch.manual_seed(99)
        np.random.seed(99)  # noqa: NPY002 - somebody else's draw
        torch.rand(3)
        assert numbers(run_trial(cnn, images, device="cpu")) == numbers(record)

    def test_another_seed_is_another_trial(self, record, make_config, images):
        other = run_trial(make_config("resnet18", "full", seed=7), images, device="cpu")
        assert numbers(other) != numbers(record)

    def test_nothing_needs_to_be_writable(self, record, cnn, images, warn_always):
        """In an object store nothing is."""
        pixels, labels = images.pixels.copy(), images.labels.copy()
        rows = {part: index.copy() for part, index in images.rows(SPLIT).items()}
        for array in (pixels, labels, *rows.values()):
            array.flags.writeable = False
        shared = replace(images, pixels=pixels, labels=labels, splits={SPLIT: rows})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert numbers(run_trial(cnn, shared, device="cpu")) == numbers(record)

    def test_nothing_is_written_into_the_images(self, images, make_images):
        untouched = make_images()
        np.testing.assert_array_equal(images.pixels, untouched.pixels)
        np.testing.assert_array_equal(images.labels, untouched.labels)


class TestRecord:
    def test_it_completed_and_says_of_what(self, record, cnn):
        assert record.status == "completed"
        assert (record.trial_id, record.model, record.strategy) == (cnn.trial_id, "resnet18", "full")
        assert (record.seed, record.arm, record.config) == (42, "all", cnn.as_dict())
        assert (record.split_digest, record.weights_digest) == (cnn.split_digest, "random")

    def test_it_survives_writing(self, record, tmp_path):
        assert read_record(write_record(tmp_path, record)) == record

    def test_efficiency_has_every_field_of_the_contract(self, record):
        assert set(record.efficiency) == EFFICIENCY

    def test_energy_is_what_was_counted_while_it_trained(self, vit, images, monkeypatch):
        counts = iter([1000.0, 1250.5])
        monkeypatch.setattr(trial, "energy_counter", lambda device: lambda: next(counts))
        assert run_trial(vit, images, device="cpu").efficiency["energy_joules"] == 250.5

    def test_environment_has_every_field_of_the_contract(self, record):
        assert set(record.environment) >= ENVIRONMENT

    def test_epochs(self, record):
        assert record.epochs_run == len(record.history) == 2
        losses = [entry["validation_loss"] for entry in record.history]
        assert record.best_epoch == 1 + losses.index(min(losses))

    def test_metrics_are_those_of_the_predictions(self, record, images):
        kept = record.predictions
        assert record.validation == evaluate(kept.validation_logits, kept.validation_labels, images.classes)
        assert record.test == evaluate(kept.test_logits, kept.test_labels, images.classes)

    @pytest.mark.parametrize("part", ["validation", "test"])
    def test_predictions_name_their_rows_and_labels(self, record, images, part):
        rows = images.rows(SPLIT)[part]
        assert getattr(record.predictions, f"{part}_index").tolist() == rows.tolist()
        assert getattr(record.predictions, f"{part}_labels").tolist() == images.labels[rows].tolist()
        assert getattr(record.predictions, f"{part}_logits").shape == (len(rows), len(images.classes))

    def test_the_loss_of_the_best_epoch_is_the_one_reported(self, record):
        assert record.validation["loss"] == record.history[record.best_epoch - 1]["validation_loss"]

    def test_the_share_is_in_percent(self, record, vit, images):
        assert record.percent_trainable == 100
        assert 1 < run_trial(vit, images, device="cpu").percent_trainable < 50

    def test_training_speed_is_that_of_all_epochs(self, record):
        seconds = sum(entry["seconds"] for entry in record.history)
        assert record.efficiency["train_images_per_second"] == pytest.approx(2 * 12 / seconds)
        assert record.efficiency["trial_seconds"] > seconds

    def test_the_moment_of_the_meeting_is_recorded(self, record):
        assert np.datetime64(record.environment["test_met_at"].removesuffix("+00:00")) > np.datetime64("2025-01-01")

    def test_nothing_is_kept_that_was_not_asked_for(self, vit, images):
        assert run_trial(vit, images, device="cpu").state is None

    def test_a_shared_device_is_said(self, record, vit, images):
        assert record.efficiency["shared_device"] is False
        assert run_trial(vit, images, device="cpu", shared_device=True).efficiency["shared_device"] is True

    def test_as_many_threads_are_used_as_asked(self, vit, images):
        torch.set_num_threads(2)
        assert run_trial(vit, images, device="cpu").environment["threads"] == 1
        assert torch.get_num_threads() == 1

    def test_the_threads_used_are_recorded_not_those_asked(self, vit):
        torch.set_num_threads(2)
        used = trial.environment(vit, choose_compute("cpu", "fp32", 32), normalisation_of(vit))
        torch.set_num_threads(1)
        assert (vit.threads, used["threads"]) == (1, 2)

    def test_the_precision_used_is_recorded_with_its_reason(self, record):
        assert (record.environment["precision"], record.environment["precision_reason"]) == ("fp32", "as asked")


class TestKeptState:
    def test_it_is_the_checkpoint_that_met_the_test_set(self, record, cnn, images):
        network = zoo.build(cnn.model, len(images.classes), cnn.image_size)
        network.model.load_state_dict({name: torch.tensor(value) for name, value in record.state.items()})
        compute = choose_compute("cpu", "fp32", 32)
        place(network, compute)
        torch.set_num_threads(cnn.threads)
        pictures = Pictures(images.pixels, compute.device)
        logits = predict(network, pictures, images.rows(SPLIT)["test"], cnn.image_size, normalisation_of(cnn), compute)
        np.testing.assert_array_equal(logits, record.predictions.test_logits)


def test_33_images_of_32_pixels_train(make_config, make_images):
    """32 and one: BatchNorm could not train on the one."""
    config = make_config("resnet18", "full", batch_size=32, epochs_cap=1)
    assert run_trial(config, make_images(train=33), device="cpu").status == "completed"


@pytest.mark.parametrize("extra_views", [False, True])
def test_the_test_set_is_met_once_and_last(monkeypatch, vit, images, extra_views):
    """At the one meeting, after the last epoch, its three other views are met too."""
    events: list[str] = []
    part_of = {row: part for part, rows in images.rows(SPLIT).items() for row in rows.tolist()}

    class Watched(Pictures):
        def __getitem__(self, rows: np.ndarray) -> Tensor:
            events.append("+".join(sorted({part_of[row] for row in rows.tolist()})))
            return super().__getitem__(rows)

    monkeypatch.setattr(trial, "Pictures", Watched)
    run_trial(vit, images, device="cpu", on_epoch=lambda entry: events.append("epoch"), extra_views=extra_views)
    assert events == ["train", "train", "validation", "epoch"] * 2 + ["test"] * (4 if extra_views else 1)


class TestOtherViews:
    def test_every_view_has_logits_of_the_test_images(self, record, images):
        views = record.predictions.view_logits
        assert list(views) == list(ALTERATIONS)
        assert {(logits.shape, logits.dtype.name) for logits in views.values()} == {((8, 3), "float32")}

    @pytest.mark.parametrize("view", ALTERATIONS)
    def test_its_logits_are_those_of_altered_pixels(self, record, cnn, images, view):
        """As if the folder had held the altered images, and the chosen checkpoint met them."""
        network = zoo.build(cnn.model, len(images.classes), cnn.image_size)
        network.model.load_state_dict({name: torch.tensor(value) for name, value in record.state.items()})
        compute = choose_compute("cpu", "fp32", 32)
        place(network, compute)
        pictures = Pictures(ALTERATIONS[view](images.pixels), compute.device)
        logits = predict(network, pictures, images.rows(SPLIT)["test"], cnn.image_size, normalisation_of(cnn), compute)
        np.testing.assert_array_equal(record.predictions.view_logits[view], logits)
        assert not np.array_equal(logits, record.predictions.test_logits)

    def test_leaving_them_out_changes_nothing_else_by_one_bit(self, record, cnn, images):
        without = run_trial(cnn, images, device="cpu", extra_views=False)
        assert without.predictions.view_logits == {}
        assert (without.trial_id, without.config) == (record.trial_id, record.config)
        plain = replace(record, predictions=replace(record.predictions, view_logits={}))
        assert numbers(without) == numbers(plain)

    def test_the_speed_of_evaluation_is_that_of_the_images_as_they_are(self, monkeypatch, vit, images):
        """By a clock that goes on by a second whenever it is read, and by an hour while images are altered."""
        seconds = [0.0]

        def read() -> float:
            seconds[0] += 1
            return seconds[0]

        def slow(pixels: np.ndarray) -> np.ndarray:
            seconds[0] += 3600
            return pixels.copy()

        monkeypatch.setattr(trial, "ALTERATIONS", {"slow": slow})
        monkeypatch.setattr(trial.time, "perf_counter", read)
        assert run_trial(vit, images, device="cpu").efficiency["eval_images_per_second"] == 8


class TestValidationAlone:
    """What settings are chosen by: the numbers of a trial, without its test images."""

    def same(self, record: TrialRecord, config: TrialConfig, data: ImageSet) -> bool:
        alone = validate(config, data, device="cpu")
        ours, theirs = (
            [{name: value for name, value in entry.items() if name not in TIMINGS} for entry in each.history]
            for each in (alone, record)
        )
        return (ours, alone.best_epoch, alone.metrics) == (theirs, record.best_epoch, record.validation)

    def test_without_test_images_it_gives_the_trials_numbers_to_the_bit(self, record, cnn, images):
        assert self.same(record, cnn, without_test(images, SPLIT))

    def test_poisoned_test_images_change_nothing(self, record, cnn, images):
        pixels, labels = images.pixels.copy(), images.labels.copy()
        pixels[images.rows(SPLIT)["test"]] = 255
        labels[images.rows(SPLIT)["test"]] = -1
        assert self.same(record, cnn, replace(images, pixels=pixels, labels=labels))

    def test_an_epoch_is_told_as_it_ends(self, vit, images):
        told: list[int] = []
        validate(vit, without_test(images, SPLIT), device="cpu", on_epoch=lambda entry: told.append(entry["epoch"]))
        assert told == [1, 2]


class TestInitialisation:
    def head(self, config: TrialConfig, weights: dict[str, Tensor] | None = None) -> Tensor:
        return build_network(config, 3, weights).classifier.weight.detach().clone()

    def test_one_seed_gives_one_head_with_weights_and_without(self, make_config):
        config = make_config(VIT)
        weights = zoo.build(VIT, 1000, 32).model.state_dict()
        assert torch.equal(self.head(config), self.head(config, weights))

    def test_the_head_does_not_follow_the_models_name(self, make_config):
        """Both are 512 wide before the head, and draw differently for their backbones."""
        assert torch.equal(self.head(make_config("resnet18")), self.head(make_config("resnet34")))

    def test_another_seed_gives_another_head(self, make_config):
        assert not torch.equal(self.head(make_config(VIT)), self.head(make_config(VIT, seed=7)))

    def test_order_and_augmentation_do_not_decide_it(self, make_config):
        config = make_config(VIT)
        varied = replace(config, streams=replace(config.streams, order=7, augmentation=8))
        ours, theirs = (build_network(each, 3, None).model.state_dict() for each in (config, varied))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    def test_a_random_backbone_follows_the_seed(self, make_config):
        name = "patch_embed.proj.weight"
        ours, again, other = (
            build_network(make_config(VIT, seed=seed), 3, None).model.state_dict()[name] for seed in (42, 42, 7)
        )
        assert torch.equal(ours, again)
        assert not torch.equal(ours, other)

    def test_weights_are_taken_where_given(self, make_config):
        weights = {name: value.clone() for name, value in zoo.build(VIT, 1000, 32).model.state_dict().items()}
        loaded = build_network(make_config(VIT), 3, weights).model.state_dict()
        head = {"head.weight", "head.bias"}
        assert all(torch.equal(loaded[name], weights[name]) for name in weights if name not in head)


class TestNormalisation:
    @pytest.mark.parametrize("model", STUDY_MODELS)
    def test_the_studys_models_take_the_studys(self, make_config, model):
        assert normalisation_of(make_config(model)) == (zoo.IMAGENET_MEAN, zoo.IMAGENET_STD)

    @pytest.mark.parametrize(("asked", "expected"), [("auto", 0.5), ("weights", 0.5), ("study", zoo.IMAGENET_MEAN[0])])
    def test_another_model_takes_its_weights_own_unless_asked(self, make_config, asked, expected):
        mean, _ = normalisation_of(make_config(VIT, views=Views(normalisation=asked)))
        assert mean[0] == expected

    def test_that_of_pretrained_weights_is_recorded_beside_the_one_used(self, make_config):
        study = make_config("vit_s_16", weights_digest="ab" * 32)
        used = trial.environment(study, choose_compute("cpu", "fp32", 32), normalisation_of(study))
        assert used["normalisation"]["mean"] == list(zoo.IMAGENET_MEAN)
        assert used["weights_normalisation"] == {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

    def test_random_weights_have_none(self, record):
        assert "weights_normalisation" not in record.environment

    def test_the_one_used_is_recorded(self, record):
        assert record.environment["normalisation"] == {
            "mean": list(zoo.IMAGENET_MEAN),
            "std": list(zoo.IMAGENET_STD),
        }


class TestCost:
    def test_flops_are_twice_torchvisions_multiply_adds(self):
        published = ResNet18_Weights.IMAGENET1K_V1.meta["_ops"] * 1e9
        assert flops_per_image("resnet18", 1000, 224) == pytest.approx(2 * published, rel=0.01)

    def test_parameters_are_counted(self, record, images):
        model = zoo.build("resnet18", len(images.classes), 32).model
        assert record.efficiency["parameters"] == sum(parameter.numel() for parameter in model.parameters())
        assert record.efficiency["trainable_parameters"] == record.efficiency["parameters"]


class TestFailure:
    @pytest.fixture
    def failed(self, monkeypatch, cnn, images) -> TrialRecord:
        def out_of_memory(*arguments: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(trial, "fit", out_of_memory)
        with pytest.raises(RuntimeError) as caught:
            run_trial(cnn, images, device="cpu")
        return failed_record(cnn, caught.value)

    def test_it_says_what_failed_and_why(self, failed, cnn):
        assert (failed.status, failed.trial_id, failed.config) == ("failed", cnn.trial_id, cnn.as_dict())
        assert (failed.error["type"], failed.error["message"]) == ("RuntimeError", "out of memory")
        assert 'raise RuntimeError("out of memory")' in failed.error["traceback"]

    def test_it_has_no_numbers(self, failed):
        assert (failed.epochs_run, failed.best_epoch, failed.history, failed.test) == (0, None, [], {})
        assert failed.predictions is None

    def test_it_survives_writing(self, failed, tmp_path):
        assert read_record(write_record(tmp_path, failed)) == failed

    def test_the_host_is_named(self, failed):
        assert failed.environment["host"]

    def test_an_absent_device_is_refused(self, cnn, images):
        with pytest.raises(InputError, match="--device cuda:99"):
            run_trial(cnn, images, device="cuda:99")


def test_importing_the_config_does_not_wait_for_torch():
    program = "import sys; from animefer_core import TrialConfig; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
