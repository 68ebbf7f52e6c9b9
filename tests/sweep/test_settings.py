import tomllib
from pathlib import Path

import pytest

from animefer_core.errors import InputError
from animefer_core.training.strategies import STUDY
from sweep.settings import resolve


def written(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_data_the_faces_are_drawn_and_the_preset_is_quick():
    settings = resolve({})
    assert (settings.data, settings.preset, settings.pretrained) == ("demo", "quick", False)
    assert settings.seeds == (42, 1, 2, 3, 4)
    assert settings.out == Path("reports/quick").absolute()
    assert settings.known_strategies["progressive"].unfreeze_every == 1


def test_with_data_the_preset_is_the_papers(tmp_path):
    settings = resolve({"data": str(tmp_path / "faces")})
    assert (settings.preset, settings.pretrained, settings.image_size, settings.epochs) == ("paper", True, 224, None)
    assert settings.out == Path("reports/faces").absolute()
    assert settings.known_strategies == STUDY


def test_an_option_wins_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = written(tmp_path, 'preset = "quick"\nepochs = 3\nimage-size = 64\n')
    settings = resolve({"config": file, "epochs": 5})
    assert (settings.epochs, settings.image_size, settings.per_class) == (5, 64, 45)


def test_naming_a_folder_of_weights_asks_for_them():
    assert resolve({"weights_dir": "weights"}).pretrained
    assert not resolve({"weights_dir": "weights", "pretrained": False}).pretrained


def test_a_strategy_of_ones_own_is_a_table(tmp_path):
    file = written(tmp_path, 'strategies = ["gentle"]\n[strategy.gentle]\nlr_backbone = 1e-6\nblocks = "all"\n')
    settings = resolve({"config": file})
    assert settings.known_strategies["gentle"].lr_backbone == 1e-6
    assert settings.strategies == ("gentle",)


def test_the_file_that_is_written_back_repeats_the_sweep(tmp_path):
    file = written(tmp_path, 'strategies = "full,gentle"\nseeds = [3, 4]\n[strategy.gentle]\nblocks = 2\n')
    settings = resolve({"config": file, "epochs": 2, "out": str(tmp_path)})
    again = resolve({"config": written(tmp_path, settings.to_toml()), "out": str(tmp_path)})
    assert again == settings
    assert tomllib.loads(settings.to_toml())["strategy"]["gentle"]["blocks"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": "1,x"}, ["--seeds", "'x'"]),
        ({"seeds": "1,2,1"}, ["--seeds", "1 is given twice"]),
        ({"seeds": "1,,2"}, ["--seeds", "empty"]),
        ({"seeds": "-1"}, ["--seeds", "-1"]),
        ({"models": "resnet18,resnet18"}, ["--models", "resnet18 is given twice"]),
        ({"strategies": "ful"}, ["--strategies", "'ful'", "full"]),
        ({"preset": "slow"}, ["--preset", "slow", "quick"]),
        ({"precision": "fp16"}, ["--precision", "fp16", "bf16"]),
        ({"save_models": "some"}, ["--save-models", "some", "best"]),
        ({"gpu_share": "2"}, ["--gpu-share", "2"]),
        ({"address": "ray://head:10001"}, ["--address", "ray://", "job"]),
        ({"config": Path("absent.toml")}, ["--config", "absent.toml"]),
    ],
)
def test_a_bad_option_is_named(options, words):
    with pytest.raises(InputError) as caught:
        resolve(options)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = [", ["no valid TOML"]),
        ("epoch = 3", ["'epoch'"]),
        ("[strategy.full]\nblocks = 1", ["'full'", "the study's"]),
        ("[strategy.mine]\nspeed = 1", ["'mine'", "'speed'"]),
        ("strategy = 3", ["[strategy.NAME]"]),
        ("skip_bad = 3", ["--skip-bad", "3"]),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        resolve({"config": written(tmp_path, text)})
    assert all(word in str(caught.value) for word in words), caught.value
