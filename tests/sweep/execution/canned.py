"""A `run` that trains nothing: what is left is the orchestration. Workers import it by this module's name."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import timm  # noqa: F401  a real trial's process has these loaded
import torch
import torchvision  # noqa: F401

from animefer_core.metrics import evaluate
from animefer_core.record import Predictions, TrialRecord
from animefer_core.seeds import stream
from animefer_core.training.checkpoint import EpochState
from animefer_core.training.loop import TrainingDivergedError
from animefer_core.trial import identity


def train_nothing(config, data, weights, *, device, on_epoch, keep_state, extra_views, **_):
    """Return a plausible record at once, after reporting three epochs."""
    for epoch in range(1, 4):
        on_epoch({"epoch": epoch, "validation_loss": 1.0, "validation_accuracy": 0.5})
    rng = stream(config.seed, "canned")
    of_split = data.rows(config.split_digest, config.train_fraction)
    rows = {part: of_split[part] for part in ("validation", "test")}
    logits = {part: rng.normal(size=(len(rows[part]), len(data.classes))).astype(np.float32) for part in rows}
    metrics = {part: evaluate(logits[part], data.labels[rows[part]], data.classes) for part in rows}
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=3,
        best_epoch=3,
        percent_trainable=1.0,
        validation=metrics["validation"],
        test=metrics["test"],
        environment={"pid": os.getpid(), "extra_views": extra_views},
        predictions=Predictions(
            **{f"{part}_logits": logits[part] for part in rows},
            **{f"{part}_labels": data.labels[rows[part]] for part in rows},
            **{f"{part}_index": rows[part] for part in rows},
        ),
        state={"weight": np.full(3, config.seed, dtype=np.float32)} if keep_state else None,
    )


def train_and_tell(config, *args, on_epoch, **options):
    """Report three epochs that differ, and keep them in the record."""
    history = [
        {"epoch": epoch, "validation_loss": config.seed + 1 / epoch, "validation_accuracy": epoch / 8}
        for epoch in range(1, 4)
    ]
    for entry in history:
        on_epoch(entry)
    return replace(train_nothing(config, *args, on_epoch=lambda _: None, **options), history=history)


def tell_but_fail_on_seed_1(config, *args, **options):
    record = train_and_tell(config, *args, **options)
    if config.seed == 1:
        raise ValueError("the moon is in the way")
    return record


def fail_always(config, *_, **__):
    raise ValueError("the moon is in the way")


def fail_by_seed(config, *_, **__):
    raise ValueError(f"seed {config.seed} is in the way")


def lose_process_after_an_epoch(config, *args, checkpoints, **options):
    """Lose the process once the first epoch is kept; say of the second try what it began with."""
    state = checkpoints.load()
    if state is None:
        checkpoints.offer(partial(_after, [{"epoch": 1}]))
        os._exit(1)
    record = train_nothing(config, *args, **options)
    return replace(record, environment={"began_after": len(state.history)})


def print_and_fail(config, *_, **__):
    print("the weather is fine")
    print("but the moon", file=sys.stderr)
    raise ValueError(f"seed {config.seed} is in the way")


def hang_on_seed_1(config, *args, **options):
    """Wait for something that does not come, as a deadlock does."""
    if config.seed == 1:
        threading.Event().wait()
    return train_nothing(config, *args, **options)


def freeze_on_seed_1(config, *args, **options):
    """Stop the process itself, so that it answers nobody."""
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return train_nothing(config, *args, **options)


def fit_only_alone(config, *args, shared_device, **options):
    """Need more than half of a card."""
    if shared_device:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return train_nothing(config, *args, **options)


def never_fit(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory")


def go_on_and_on(config, *args, checkpoints, on_epoch, **options):
    """Report an epoch and offer its state ten times a second, for ever; on a second try say what it began with."""
    state = checkpoints.load()
    if state is not None:
        record = train_nothing(config, *args, on_epoch=on_epoch, **options)
        return replace(record, environment={"began_after": len(state.history)})
    history = []
    while True:
        history.append({"epoch": len(history) + 1, "validation_loss": 1.0, "validation_accuracy": 0.5})
        checkpoints.offer(partial(_after, history))
        on_epoch(history[-1])
        threading.Event().wait(0.1)


def _after(history):
    logits = np.zeros((2, 2), np.float32)
    counts = {"best_loss": 1.0, "best_epoch": 1, "best_logits": logits, "resumed_after": []}
    return EpochState(history=list(history), best={}, ever_trained=set(), model={}, adamw={}, **counts)


def lose_process_on_seed_1(config, *args, **options):
    if config.seed == 1:
        os._exit(1)
    return train_nothing(config, *args, **options)


def wait_after_seed_1(config, *args, **options):
    if config.seed > 1:
        time.sleep(600)
    return train_nothing(config, *args, **options)


def validate_by_rate(config, data, weights, *, device, on_epoch, **_):
    """Report as many epochs as the strategy has; the further the head's rate from 0.01, the higher the loss."""
    scale = 100 if config.model == "resnet18" else 1
    loss = scale * (1 + abs(np.log10(config.strategy.lr_head) + 2))
    history = [
        {"epoch": epoch, "validation_loss": loss + 1 / epoch, "validation_accuracy": 0.5}
        for epoch in range(1, config.strategy.epochs(config.epochs_cap) + 1)
    ]
    for entry in history:
        on_epoch(entry)
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=len(history),
        best_epoch=len(history),
        history=history,
        validation={"loss": history[-1]["validation_loss"], "accuracy": 0.5},
        environment={"pid": os.getpid()},
    )


def diverge_but_the_first(config, *arguments, **options):
    """Fail as a loss that is no number does, at a step of the trial's own."""
    step = config.strategy.name.partition("#")[2]
    if step:
        raise TrainingDivergedError(f"the training loss is nan at epoch 1, step {step}")
    return validate_by_rate(config, *arguments, **options)
