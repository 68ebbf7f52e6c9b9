"""One trial from its config, the pixels and the weights: the only door into training.

A trial is a function of these three. With Ray or without, alone or after another trial in the same process, it
gives the same metrics and predictions at the same number of threads and the same precision, to the bit on a CPU.
"""

import datetime
import functools
import importlib.metadata
import platform
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from animefer_core.config import RANDOM_WEIGHTS, STUDY_MODELS, TrialConfig
from animefer_core.data.alterations import ALTERATIONS
from animefer_core.data.pixels import ImageSet
from animefer_core.metrics import evaluate
from animefer_core.models import zoo
from animefer_core.models.weights import load_weights
from animefer_core.record import Predictions, TrialRecord
from animefer_core.seeds import torch_seed
from animefer_core.training.checkpoint import Checkpoints, NoCheckpoints, UnderConditions
from animefer_core.training.determinism import deterministic_algorithms
from animefer_core.training.device import (
    Compute,
    choose_compute,
    median_latency_ms,
    peak_memory_bytes,
    reset_peak_memory,
)
from animefer_core.training.energy import energy_counter
from animefer_core.training.loop import Fit, Normalisation, OnEpoch, Pictures, fit, place, predict


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a configuration came to on the validation images; no test image was there."""

    history: list[dict[str, Any]]
    best_epoch: int
    """Counted from 1."""
    metrics: dict[str, Any]
    """Of the best epoch's weights, as a record's validation{}."""


def run_trial(
    config: TrialConfig,
    data: ImageSet,
    weights: Mapping[str, Tensor] | None = None,
    *,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
    keep_state: bool = False,
    shared_device: bool = False,
    extra_views: bool = True,
    deterministic: bool = False,
    checkpoints: Checkpoints | None = None,
) -> TrialRecord:
    """Fine-tune, choose on validation, meet the test set once, and return the record.

    `weights` is the pretrained state dict in the model's own names (None: random initialisation). `on_epoch` is
    called with every entry of the history. `keep_state` puts the chosen checkpoint's tensors into the record's
    `state`. `shared_device` says that other trials run beside this one, which its timings must tell.
    `extra_views` has the test images met altered as well (`ALTERATIONS`), at the same meeting; it changes nothing else.
    `deterministic` demands equal bits of two runs on one card as well. `checkpoints` keeps epochs from which a trial
    that was cut short goes on.

    Raises InputError for weights or a device that do not fit, TrainingDivergedError for a loss that is no number.
    """
    began = time.perf_counter()
    with deterministic_algorithms(deterministic):
        trained = _train(config, data, weights, device, on_epoch, checkpoints or NoCheckpoints())
        met_at = _now()
        predictions, eval_images_per_second = _meet_the_test_set(trained, config, data, extra_views)
    fitted = trained.fitted
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=len(fitted.history),
        best_epoch=fitted.best_epoch,
        percent_trainable=fitted.percent_trainable,
        history=fitted.history,
        validation=evaluate(predictions.validation_logits, predictions.validation_labels, data.classes),
        test=evaluate(predictions.test_logits, predictions.test_labels, data.classes),
        efficiency={
            **_efficiency(trained.network, data, config, fitted, trained.compute),
            **trained.energy,
            "eval_images_per_second": eval_images_per_second,
            "shared_device": shared_device,
            "trial_seconds": time.perf_counter() - began,
        },
        environment=trained.used | {"test_met_at": met_at} | _resumed(fitted.resumed_after),
        predictions=predictions,
        state=_state(trained.network) if keep_state else None,
    )


def validate(
    config: TrialConfig,
    data: ImageSet,
    weights: Mapping[str, Tensor] | None = None,
    *,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
) -> Validation:
    """Fine-tune and choose on validation as `run_trial` does, to the bit, and stop there.

    This is how settings are chosen: `data` may lack its test part (`without_test`), so that nothing can be chosen on
    it. Raises what `run_trial` does.
    """
    fitted = _train(config, data, weights, device, on_epoch, NoCheckpoints()).fitted
    metrics = evaluate(
        fitted.validation_logits, data.labels[data.rows(config.split_digest)["validation"]], data.classes
    )
    return Validation(history=fitted.history, best_epoch=fitted.best_epoch, metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A network with the weights of its best epoch, and what it was trained with."""

    network: zoo.Network
    compute: Compute
    pictures: Pictures
    normalisation: Normalisation
    used: dict[str, Any]
    """A record's environment{}, without the meeting with the test set."""
    fitted: Fit
    energy: dict[str, float]
    """What a record's efficiency{} says of it: of all epochs, validation included; {} where nothing counted it all."""


def _train(
    config: TrialConfig,
    data: ImageSet,
    weights: Mapping[str, Tensor] | None,
    device: str,
    on_epoch: OnEpoch | None,
    checkpoints: Checkpoints,
) -> _Trained:
    """Build, place and fine-tune a trial's network; it reads no test image."""
    torch.set_num_threads(config.threads)
    compute = choose_compute(device, config.precision, config.image_size)
    reset_peak_memory(compute)
    network = build_network(config, len(data.classes), weights)
    place(network, compute)
    normalisation = normalisation_of(config)
    pictures = Pictures(data.pixels, compute.device)
    used = environment(config, compute, normalisation)
    resumable = UnderConditions(checkpoints, conditions(config, used))
    joules = energy_counter(compute.device)
    before = joules() if joules else 0.0
    fitted = fit(network, data, pictures, config, normalisation, compute, on_epoch, resumable)
    return _Trained(
        network=network,
        compute=compute,
        pictures=pictures,
        normalisation=normalisation,
        used=used,
        fitted=fitted,
        energy={"energy_joules": joules() - before} if joules and not fitted.resumed_after else {},
    )


def _meet_the_test_set(
    trained: _Trained, config: TrialConfig, data: ImageSet, extra_views: bool
) -> tuple[Predictions, float]:
    """Return what the chosen weights say of validation and test images, and with how many test images a second.

    The one meeting: the images as they are, which is what is timed, then altered.
    """
    network, compute, normalisation = trained.network, trained.compute, trained.normalisation
    rows = data.rows(config.split_digest)
    test_rows, validation_rows = rows["test"], rows["validation"]
    started = time.perf_counter()
    test_logits = predict(network, trained.pictures, test_rows, config.image_size, normalisation, compute)
    eval_images_per_second = len(test_rows) / (time.perf_counter() - started)
    predictions = Predictions(
        validation_logits=trained.fitted.validation_logits,
        validation_labels=data.labels[validation_rows],
        validation_index=validation_rows,
        test_logits=test_logits,
        test_labels=data.labels[test_rows],
        test_index=test_rows,
        view_logits=_altered(network, data, config, normalisation, compute) if extra_views else {},
    )
    return predictions, eval_images_per_second


def failed_record(config: TrialConfig, error: BaseException) -> TrialRecord:
    """Return the record of a trial that an exception ended."""
    return TrialRecord(
        **identity(config),
        status="failed",
        environment={"host": socket.gethostname(), "versions": versions()},
        error={
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
        },
    )


def identity(config: TrialConfig) -> dict[str, Any]:
    """Return the record's fields that follow from the config."""
    return {
        "trial_id": config.trial_id,
        "model": config.model,
        "strategy": config.strategy.name,
        "seed": config.seed,
        "arm": config.arm,
        "config": config.as_dict(),
        "split_digest": config.split_digest,
        "weights_digest": config.weights_digest,
    }


def build_network(config: TrialConfig, classes: int, weights: Mapping[str, Tensor] | None) -> zoo.Network:
    """Return the network of a trial on the CPU: its backbone random or loaded, its head from the head's own stream."""
    torch.manual_seed(torch_seed(config.streams.init, "backbone"))
    network = zoo.build(config.model, classes, config.image_size)
    if weights is not None:
        load_weights(network, config.model, weights, config.image_size)
    zoo.reset_head(network, torch.Generator().manual_seed(torch_seed(config.streams.init, "head")))
    return network


def normalisation_of(config: TrialConfig) -> Normalisation:
    """Return mean and deviation of each colour channel, as `views.normalisation` asks."""
    chosen = config.views.normalisation
    if chosen == "auto":
        chosen = "study" if config.model in STUDY_MODELS else "weights"
    return (zoo.IMAGENET_MEAN, zoo.IMAGENET_STD) if chosen == "study" else zoo.normalisation(config.model)


def environment(config: TrialConfig, compute: Compute, normalisation: Normalisation) -> dict[str, Any]:
    """Return what was used, as against what was asked."""
    return {
        "device": str(compute.device),
        "device_name": compute.device_name,
        "precision": compute.precision,
        "precision_reason": compute.precision_reason,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "normalisation": _by_name(normalisation),
        "versions": versions(),
        "host": socket.gethostname(),
    } | _of_weights(config)


def _of_weights(config: TrialConfig) -> dict[str, Any]:
    """Return the normalisation under which the model's default weights were trained; nothing where they are random."""
    if config.weights_digest == RANDOM_WEIGHTS:
        return {}
    return {"weights_normalisation": _by_name(zoo.normalisation(config.model))}


def _by_name(normalisation: Normalisation) -> dict[str, list[float]]:
    return {"mean": list(normalisation[0]), "std": list(normalisation[1])}


def conditions(config: TrialConfig, used: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to be equal for an epoch's state to lead to the same record as if nothing had come between."""
    names = ("device_name", "precision", "threads", "deterministic", "versions")
    return {"trial_id": config.trial_id} | {name: used[name] for name in names}


def _resumed(after: list[int]) -> dict[str, Any]:
    """Return what a record says of a trial that was taken up again: its trial_seconds cover the last stretch alone."""
    return {"resumed_after_epochs": after} if after else {}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what decides a trial's numbers."""
    packages = ("animefer", "torch", "torchvision", "timm", "numpy", "pillow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


@functools.cache
def flops_per_image(model: str, classes: int, image_size: int) -> int:
    """Return the floating-point operations of one forward pass on one image (a multiply-add counts as two)."""
    with torch.device("meta"):
        network = zoo.build(model, classes, image_size)
        image = torch.empty(1, 3, image_size, image_size)
    network.model.eval()
    with FlopCounterMode(display=False) as counter:
        network.model(image)
    return int(counter.get_total_flops())


def _altered(
    network: zoo.Network, data: ImageSet, config: TrialConfig, normalisation: Normalisation, compute: Compute
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the logits (test images, classes) of the test images under each alteration."""
    logits, rows = {}, data.rows(config.split_digest)["test"]
    for name, alter in ALTERATIONS.items():
        pictures = Pictures(data.pixels, compute.device, alter)
        logits[name] = predict(network, pictures, rows, config.image_size, normalisation, compute)
    return logits


def _efficiency(
    network: zoo.Network, data: ImageSet, config: TrialConfig, fitted: Fit, compute: Compute
) -> dict[str, Any]:
    """Return what training cost, and how large and fast the network is."""
    seconds = sum(entry["seconds"] for entry in fitted.history)
    train_rows = data.rows(config.split_digest, config.train_fraction)["train"]
    return {
        "train_images_per_second": len(train_rows) * len(fitted.history) / seconds,
        "latency_ms": _latency(network, config.image_size, compute),
        "peak_memory_bytes": peak_memory_bytes(compute),
        "parameters": sum(parameter.numel() for parameter in network.model.parameters()),
        "trainable_parameters": fitted.trainable_parameters,
        "flops_per_image": flops_per_image(config.model, len(data.classes), config.image_size),
    }


def _latency(network: zoo.Network, image_size: int, compute: Compute) -> float:
    image = torch.zeros(1, 3, image_size, image_size, device=compute.device)
    network.model.eval()

    def call() -> Tensor:
        with torch.inference_mode(), compute.autocast():
            logits: Tensor = network.model(image)
        return logits

    return median_latency_ms(call, compute)


def _state(network: zoo.Network) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.detach().cpu().contiguous().numpy() for name, value in network.model.state_dict().items()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
