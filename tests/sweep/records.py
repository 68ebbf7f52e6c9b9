"""Planted sweeps: folders of records with known outcomes, written in a blink and without training anything."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from animefer_core.config import RANDOM_WEIGHTS, Arm, Streams, TrialConfig
from animefer_core.data.catalog import BadImage, Catalog, CatalogImage, Duplicates
from animefer_core.data.split import Division, Split, make_folds, make_split, split_digest, write_split_file
from animefer_core.record import Predictions, TrialRecord, write_record
from animefer_core.training.strategies import STUDY
from sweep.plan import Divisions

EMOTIONS = ("Angry", "Embarrassed", "Happy", "Psycho-Crazy", "Sad", "Scared")
PARTS = ("train", "validation", "test")
WEIGHTS = "ab" * 32
NO_DUPLICATES = Duplicates()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to plant; the defaults are a small finished sweep."""

    models: Sequence[str] = ("resnet18", "vit_s_16")
    strategies: Sequence[str] = ("linear_probe", "full")
    seeds: Sequence[int] = (42, 1, 2)
    classes: Sequence[str] = EMOTIONS
    per_class: tuple[int, int, int] = (8, 4, 5)
    """Train, validation and test images of every class."""
    counts: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """The same for classes that differ from the others."""
    epochs: int = 3
    missing: Sequence[tuple[str, str, int]] = ()
    """(model, strategy, seed) of planned trials without a record."""
    failed: Sequence[tuple[str, str, int]] = ()
    """(model, strategy, seed) of trials with a failed record."""
    weights_digest: str = WEIGHTS
    groups: Sequence[str | None] | None = None
    """A group an image, in the order of the images."""
    skipped: Sequence[tuple[str, str]] = ()
    """(path, reason) of files left out."""
    duplicates: Duplicates = NO_DUPLICATES
    environment: Mapping[int, Mapping[str, Any]] | None = None
    """Seed -> entries of environment{} that differ from the usual ones."""
    shared_device: bool = False
    """Whether trials shared their device."""
    copies: bool = False
    """Whether the first two test images of every class are the same file."""
    file: Callable[[str], bytes] | None = None
    """What the file of an image holds, by its path; None where no test reads it. The files are the test's to write."""
    error: Mapping[str, str] | None = None
    """type, message and traceback of the failed trials."""
    folds: int | None = None
    """Folds in place of the one split."""
    splits: Sequence[int] = ()
    """Seeds of random splits beside the first."""
    fractions: Sequence[float] = (1.0,)
    """Shares of the training images; the ViTs gain more from them."""
    vary: Sequence[Arm] = ()
    """What is varied alone, at the first seed."""
    fold_spread: float = 0.0
    """Standard deviation of a split's effect on how far the right class's logit stands out."""
    views: Mapping[str, int] = field(default_factory=lambda: {"grey": 4, "jpeg30": 1, "mirrored": 0})
    """View of the test images -> how many that a trial has right as they are it has wrong there."""
    skill: Mapping[str, float] = field(default_factory=dict)
    """Configuration -> how far the right class's logit stands out, in place of what its name draws."""
    seed_spread: float | None = None
    """Standard deviation over seeds of that, drawn for each trial; None: a little that all configurations share."""
    taste: float = 0.0
    """Standard deviation of what a configuration makes of an image whatever its seed."""
    lucky: str | None = None
    """The configuration whose validation images, alone, are easy."""
    without_views: Sequence[tuple[str, str, int]] = ()
    """(model, strategy, seed) of trials that met no other view."""


def one_split(digest: str = "s") -> Divisions:
    """Return a single split of no images, for plans whose trials are never run on any."""
    return Divisions(ordinary=(Division(splits=(Split(parts=(), digest=digest),)),))


def plant(folder: Path, plan: Plan | None = None) -> Path:
    """Write a sweep's folder as the plan says and return it; the same plan gives the same bytes."""
    plan = plan or Plan()
    images, parts = _images(plan)
    split = Split(parts=parts, digest=split_digest(images, parts))
    catalog = Catalog(
        root=Path("faces"),
        classes=tuple(sorted(plan.classes)),
        images=images,
        bad=tuple(BadImage(path=path, reason=reason) for path, reason in plan.skipped),
        duplicates=plan.duplicates,
    )
    folder.mkdir(parents=True, exist_ok=True)
    others = plan.seeds if "split" in plan.vary else plan.splits
    _, validation, test = (number / sum(plan.per_class) for number in plan.per_class)
    varied = {seed: make_split(catalog, validation_share=validation, test_share=test, seed=seed) for seed in others}
    frozen = Division(splits=make_folds(catalog, plan.folds) if plan.folds else (split,))
    divisions = [frozen, *(Division(splits=(varied[seed],), seed=seed) for seed in others)]
    write_split_file(folder / "split.json", catalog, divisions)
    ordinary = [frozen, *divisions[1:]] if plan.splits else [frozen]
    configs = [
        replace(config, train_fraction=fraction)
        for fraction in plan.fractions
        for config in (*_ordinary(plan, ordinary), *_arms(plan, split, varied))
    ]
    splits = {each.digest: each for division in divisions for each in division.splits}
    for config in configs:
        name = (config.model, config.strategy.name, config.seed)
        if name not in plan.missing:
            of_split = splits[config.split_digest]
            write_record(folder / "trials", _record(plan, catalog, of_split, config, name in plan.failed))
    _write_plan(folder, plan, catalog, configs)
    return folder


def picture(path: str) -> bytes:
    """Return a small PNG that no other path has."""
    rng = np.random.default_rng(list(path.encode()))
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (12, 20, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def plant_with_images(
    folder: Path,
    plan: Plan | None = None,
    *,
    data: str | None = "demo",
    images: Path | None = None,
    file: Callable[[str], bytes] = picture,
) -> Path:
    """Plant a sweep whose images are files in `images`, its own folder of drawn faces where that is not given.

    `data` is the folder that its last call names.
    """
    plant(folder, replace(plan or Plan(), file=file))
    for entry in json.loads((folder / "split.json").read_text(encoding="utf-8"))["images"]:
        path = (images or folder / "faces") / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file(entry["path"]))
    sweep = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    sweep["calls"][-1]["settings"]["data"] = data
    (folder / "sweep.json").write_text(json.dumps(sweep, indent=1, ensure_ascii=False), encoding="utf-8")
    return folder


def _ordinary(plan: Plan, divisions: Sequence[Division]) -> Iterator[TrialConfig]:
    for division in divisions:
        for model, strategy, seed, split in product(plan.models, plan.strategies, plan.seeds, division.splits):
            yield replace(_config(plan, split.digest, model, strategy, seed), split_seed=division.seed)


def _arms(plan: Plan, split: Split, varied: Mapping[int, Split]) -> Iterator[TrialConfig]:
    for model, strategy, seed, arm in product(plan.models, plan.strategies, plan.seeds, plan.vary):
        config = replace(_config(plan, split.digest, model, strategy, plan.seeds[0]), arm=arm)
        if arm == "split":
            yield replace(config, split_digest=varied[seed].digest, split_seed=seed)
        else:
            yield replace(config, streams=replace(config.streams, **{arm: seed}))


def _images(plan: Plan) -> tuple[tuple[CatalogImage, ...], tuple[str, ...]]:
    rows = [
        (f"{name}/{part}_{number}.png", name, part)
        for name in sorted(plan.classes)
        for part, count in zip(PARTS, plan.counts.get(name, plan.per_class), strict=True)
        for number in range(count)
    ]
    groups = plan.groups or [None] * len(rows)
    images = tuple(
        CatalogImage(path=path, label=label, sha256=_sha256(plan, path), group=group)
        for (path, label, _), group in zip(rows, groups, strict=True)
    )
    return images, tuple(part for _, _, part in rows)


def _sha256(plan: Plan, path: str) -> str:
    if plan.file is not None:
        return hashlib.sha256(plan.file(path)).hexdigest()
    content = path.replace("test_1.", "test_0.") if plan.copies else path
    return hashlib.sha256(content.encode()).hexdigest()


def _config(plan: Plan, digest: str, model: str, strategy: str, seed: int) -> TrialConfig:
    return TrialConfig(
        model=model,
        strategy=STUDY.get(strategy) or replace(STUDY["full"], name=strategy),
        streams=Streams(init=seed, order=seed, augmentation=seed),
        split_digest=digest,
        weights_digest=plan.weights_digest,
        epochs_cap=plan.epochs,
    )


def _record(plan: Plan, catalog: Catalog, split: Split, config: TrialConfig, failed: bool) -> TrialRecord:
    common: dict[str, Any] = {
        "trial_id": config.trial_id,
        "model": config.model,
        "strategy": config.strategy.name,
        "seed": config.seed,
        "arm": config.arm,
        "config": config.as_dict(),
        "split_digest": split.digest,
        "weights_digest": config.weights_digest,
        "environment": _environment(plan, config.seed),
    }
    if failed:
        error = plan.error or {"type": "OutOfMemoryError", "message": "no room for 2 GiB", "traceback": "line 1"}
        return TrialRecord(**common, status="failed", error=error)
    predictions = _with_views(plan, config, _predictions(plan, catalog, split, config))
    test = metrics(predictions.test_logits, predictions.test_labels, catalog.classes)
    share = {"linear_probe": 0.1, "full": 100.0}.get(config.strategy.name, 40.0)
    return TrialRecord(
        **common,
        status="completed",
        epochs_run=plan.epochs,
        best_epoch=plan.epochs,
        percent_trainable=share,
        history=_history(plan, config, share),
        validation=metrics(predictions.validation_logits, predictions.validation_labels, catalog.classes),
        test=test,
        efficiency=_efficiency(config, share) | {"shared_device": plan.shared_device},
        predictions=predictions,
    )


def _skill(plan: Plan, config: TrialConfig) -> float:
    """Return how far the right class's logit stands out; differs by model and strategy, and a little by seed."""
    name = f"{config.model}/{config.strategy.name}"
    digest = hashlib.sha256(name.encode()).digest()
    gain = 0.6 if config.model.startswith("vit") else 0.2
    of_seed = 0.1 * (config.streams.init % 5)
    if plan.seed_spread is not None:
        of_seed = plan.seed_spread * _draws(config, "seed").normal()
    return plan.skill.get(name, 1.0 + digest[0] / 128) + of_seed + gain * np.log2(config.train_fraction)


def _draws(config: TrialConfig, purpose: str) -> np.random.Generator:
    """Return what is the same for trials that differ in the arm alone."""
    name = f"{config.name} {config.streams} {config.split_digest} {config.train_fraction} {purpose}"
    return np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16))


def _predictions(plan: Plan, catalog: Catalog, split: Split, config: TrialConfig) -> Predictions:
    # An image is hard for every model alike, so that configurations are correlated as real ones are.
    difficulty = np.random.default_rng(7).normal(size=(len(catalog.images), len(catalog.classes)))
    noise = _draws(config, "noise").normal(size=difficulty.shape)
    number = {name: place for place, name in enumerate(catalog.classes)}
    labels = np.asarray([number[image.label] for image in catalog.images], dtype=np.int64)
    logits = difficulty + 0.7 * noise
    of_split = np.random.default_rng(int(config.split_digest[:16], 16)).normal() * plan.fold_spread
    logits[np.arange(labels.size), labels] += _skill(plan, config) + of_split
    if plan.taste:
        of_configuration = hashlib.sha256(f"{config.model}/{config.strategy.name}".encode()).digest()
        logits += plan.taste * np.random.default_rng(of_configuration[0]).normal(size=difficulty.shape)
    rows = {part: split.rows(part) for part in PARTS}
    if plan.lucky == f"{config.model}/{config.strategy.name}":
        logits[rows["validation"], labels[rows["validation"]]] += 2
    return Predictions(
        validation_logits=logits[rows["validation"]].astype(np.float32),
        validation_labels=labels[rows["validation"]],
        validation_index=rows["validation"],
        test_logits=logits[rows["test"]].astype(np.float32),
        test_labels=labels[rows["test"]],
        test_index=rows["test"],
    )


def _with_views(plan: Plan, config: TrialConfig, predictions: Predictions) -> Predictions:
    """Return the predictions with other views, in which the first images that are right as they are become wrong."""
    if (config.model, config.strategy.name, config.seed) in plan.without_views:
        return predictions
    logits, labels = predictions.test_logits, predictions.test_labels
    right = np.flatnonzero(logits.argmax(axis=1) == labels)
    views = {}
    for view, wrong in plan.views.items():
        views[view] = logits.copy()
        views[view][right[:wrong], labels[right[:wrong]]] -= 1000
    return replace(predictions, view_logits=views)


def metrics(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of a record's validation{} or test{}, ECE over 15 bins of equal mass."""
    scores = logits.astype(np.float64)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    guess = scores.argmax(axis=1)
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (labels, guess), 1)
    hits, support, called = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    precision, recall = hits / np.maximum(called, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + called, 1)
    confidence, right = np.exp(scores.max(axis=1)), guess == labels
    bins = np.array_split(np.argsort(confidence, kind="stable"), max(1, min(15, labels.size // 4)))
    return {
        "accuracy": float(right.mean()),
        "loss": float(-scores[np.arange(labels.size), labels].mean()),
        "precision_macro": float(precision.mean()),
        "recall_macro": float(recall.mean()),
        "f1_macro": float(f1.mean()),
        "f1_weighted": float(f1 @ support / support.sum()),
        "ece": float(sum(abs((confidence[rows] - right[rows]).sum()) for rows in bins) / labels.size),
        "per_class": [
            {"class": name, "precision": p, "recall": r, "f1": f, "support": n}
            for name, p, r, f, n in zip(
                classes, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True
            )
        ],
        "confusion": table.tolist(),
    }


def _history(plan: Plan, config: TrialConfig, share: float) -> list[dict[str, Any]]:
    rng = _draws(config, "history")
    return [
        {
            "epoch": epoch,
            "train_loss": 1.7 / epoch**0.5,
            "validation_loss": 1.8 / epoch**0.4 + 0.05 * rng.normal(),
            "validation_accuracy": float(np.clip(0.2 + 0.4 * (1 - 1 / epoch) + 0.03 * rng.normal(), 0, 1)),
            "seconds": 1.0 + share / 50 + 0.1 * rng.random(),
            "images_per_second": 100 - share / 2 + rng.random(),
            "percent_trainable": share,
            "learning_rates": {"head": 1e-3, "backbone": 1e-4},
        }
        for epoch in range(1, plan.epochs + 1)
    ]


def _efficiency(config: TrialConfig, share: float) -> dict[str, Any]:
    parameters = {"resnet18": 11_179_590, "resnet50": 23_520_326, "vit_b_16": 85_803_270}.get(config.model, 21_667_974)
    return {
        "train_images_per_second": 100 - share / 2,
        "eval_images_per_second": 250.0,
        "latency_ms": parameters / 2e6,
        "trial_seconds": 20 + share,
        "peak_memory_bytes": parameters * 16,
        "parameters": parameters,
        "trainable_parameters": round(parameters * share / 100),
        "flops_per_image": parameters * 160,
    }


def _environment(plan: Plan, seed: int) -> dict[str, Any]:
    usual = {
        "device": "cpu",
        "device_name": "Planted Processor",
        "precision": "fp32",
        "precision_reason": "asked for",
        "threads": 1,
        "versions": {"python": "3.12.3", "torch": "2.11.0", "torchvision": "0.26.0", "timm": "1.0.20"},
        "host": "planted-host",
        "test_met_at": "2026-01-02T03:04:05+00:00",
        "normalisation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }
    return usual | dict((plan.environment or {}).get(seed, {}))


def _write_plan(folder: Path, plan: Plan, catalog: Catalog, configs: Sequence[TrialConfig]) -> None:
    content = {
        "name": "planted",
        "images_digest": catalog.images_digest,
        "fingerprint": {"image_size": 224, "torch": "2.11", "torchvision": "0.26", "timm": "1.0"},
        "strategy": {},
        "weights": {},
        "planned": [
            {
                "trial_id": config.trial_id,
                "model": config.model,
                "strategy": config.strategy.name,
                "seed": config.seed,
                "arm": config.arm,
                "split_digest": config.split_digest,
                "train_fraction": config.train_fraction,
            }
            for config in configs
        ],
        "calls": [
            {
                "at": "2026-01-02T03:00:00+00:00",
                "command": ["animefer", "sweep", "--data", "faces"],
                "host": "planted-host",
                "settings": {
                    "preset": "paper",
                    "data": "faces",
                    "seeds": list(plan.seeds),
                    "epochs": plan.epochs,
                },
            }
        ],
    }
    (folder / "sweep.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


__all__ = ["EMOTIONS", "RANDOM_WEIGHTS", "Plan", "metrics", "one_split", "picture", "plant", "plant_with_images"]
