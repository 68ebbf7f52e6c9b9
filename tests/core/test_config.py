import json
import os
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from animefer_core.config import Streams, TrialConfig, Views, config_from, resize_for
from animefer_core.training.strategies import Strategy

BASE = TrialConfig(
    model="resnet18",
    strategy=Strategy(name="mine", gradient_clip_norm=1.0),
    streams=Streams(init=1, order=1, augmentation=1),
    split_digest="5" * 64,
)

OTHER = {
    None: {
        "model": "resnet50",
        "arm": "order",
        "split_digest": "6" * 64,
        "split_seed": 7,
        "train_fraction": 0.5,
        "weights_digest": "7" * 64,
        "image_size": 112,
        "epochs_cap": 3,
        "fit": "pad",
        "frozen_norm": "train",
        "precision": "fp32",
        "threads": 2,
    },
    "strategy": {
        "name": "yours",
        "lr_head": 2e-3,
        "lr_backbone": 2e-4,
        "weight_decay": 0.0,
        "max_epochs": 31,
        "patience": 11,
        "batch_size": 16,
        "blocks": "all",
        "block_order": "from_stem",
        "unfreeze_every": 5,
        "schedule": "cosine",
        "warmup_epochs": 3,
        "head_epochs": 2,
        "layer_decay": 0.5,
        "gradient_clip_norm": None,
    },
    "streams": {"init": 2, "order": 2, "augmentation": 2},
    "views": {
        "crop_scale": (0.7, 1.0),
        "crop_ratio": (1.0, 1.0),
        "flip": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "saturation": 0.0,
        "hue": 0.0,
        "rotation": 0.0,
        "erase": 0.0,
        "erase_scale": (0.1, 0.2),
        "erase_ratio": (1.0, 1.0),
        "normalisation": "weights",
    },
}
"""A value other than BASE's for every field of the config and of its parts."""


def changed(part: str | None, field: str) -> TrialConfig:
    """Return BASE with one field changed."""
    change = {field: OTHER[part][field]}
    return replace(BASE, **change) if part is None else replace(BASE, **{part: replace(getattr(BASE, part), **change)})


FIELDS = [(part, field) for part, values in OTHER.items() for field in values]


@pytest.mark.parametrize("part", OTHER)
def test_every_field_has_another_value_above(part):
    owner, parts = (BASE, set(OTHER) - {None}) if part is None else (getattr(BASE, part), set())
    assert set(OTHER[part]) | parts == {field.name for field in fields(owner)}


@pytest.mark.parametrize(("part", "field"), FIELDS)
def test_every_field_changes_the_id(part, field):
    assert changed(part, field).trial_id != BASE.trial_id


def test_no_two_changes_give_one_id():
    assert len({changed(part, field).trial_id for part, field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(("part", "field"), FIELDS)
def test_a_config_survives_json(part, field):
    config = changed(part, field)
    assert config_from(json.loads(json.dumps(config.as_dict()))) == config


def test_the_id_is_the_same_in_another_process():
    program = (
        "import json, sys; from animefer_core.config import config_from\n"
        "print(config_from(json.load(sys.stdin)).trial_id)"
    )
    content = json.dumps(BASE.as_dict())
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=content,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == BASE.trial_id


@pytest.mark.parametrize(
    ("integers", "floats"),
    [
        (Strategy(name="s", lr_head=1, lr_backbone=0), Strategy(name="s", lr_head=1.0, lr_backbone=0.0)),
        (Strategy(name="s", weight_decay=0), Strategy(name="s", weight_decay=0.0)),
        (Strategy(name="s", gradient_clip_norm=1), Strategy(name="s", gradient_clip_norm=1.0)),
    ],
)
def test_an_integer_for_a_rate_gives_the_same_id(integers, floats):
    assert replace(BASE, strategy=integers).trial_id == replace(BASE, strategy=floats).trial_id


@pytest.mark.parametrize(
    ("integers", "floats"),
    [
        (Views(flip=0), Views(flip=0.0)),
        (Views(rotation=10), Views(rotation=10.0)),
        (Views(crop_scale=(1, 1)), Views(crop_scale=(1.0, 1.0))),
    ],
)
def test_an_integer_in_the_views_gives_the_same_id(integers, floats):
    assert replace(BASE, views=integers).trial_id == replace(BASE, views=floats).trial_id


@pytest.mark.parametrize(("arm", "seed"), [("all", 1), ("init", 1), ("order", 2), ("augmentation", 3), ("split", 4)])
def test_the_seed_is_that_of_the_arm(arm, seed):
    assert replace(BASE, arm=arm, streams=Streams(init=1, order=2, augmentation=3), split_seed=4).seed == seed


def test_a_configuration_is_written_model_slash_strategy():
    assert BASE.name == "resnet18/mine"


def test_the_study_decodes_to_256_for_224():
    assert resize_for(224) == 256
    assert replace(BASE, image_size=224).resize == 256
