import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from animefer_core.errors import InputError
from animefer_core.training.strategies import BEYOND, STUDY
from sweep.settings import CHECKS, Settings, resolve


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
    assert settings.known_strategies == {**STUDY, **BEYOND}
    assert settings.strategies == tuple(STUDY)


def test_an_option_wins_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = written(tmp_path, 'preset = "quick"\nepochs = 3\nimage-size = 64\n')
    settings = resolve({"config": file, "epochs": 5})
    assert (settings.epochs, settings.image_size, settings.per_class) == (5, 64, 45)


def test_naming_a_folder_of_weights_asks_for_them():
    assert resolve({"weights_dir": "weights"}).pretrained
    assert not resolve({"weights_dir": "weights", "pretrained": False}).pretrained


def test_a_typed_folder_of_weights_wins_over_a_file_without_weights(tmp_path):
    assert resolve({"config": written(tmp_path, "pretrained = false"), "weights_dir": "weights"}).pretrained


def test_every_option_has_its_check():
    assert set(CHECKS) == {field.name for field in fields(Settings)} - {"known_strategies", "searched"}


def test_loggers_are_kept_in_the_file_that_repeats_the_sweep(tmp_path):
    file = written(tmp_path, resolve({"logger": "wandb,mlflow"}).to_toml())
    assert resolve({"config": file}).logger == ("wandb", "mlflow")
    assert "logger" not in resolve({}).to_toml()


@pytest.mark.parametrize("name", ["data", "out", "weights_dir", "storage"])
def test_a_folder_is_the_same_from_anywhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert str(getattr(resolve({name: "there"}), name)) == str(tmp_path / "there")


def test_the_results_of_the_folder_above_are_named_after_it(tmp_path, monkeypatch):
    (tmp_path / "faces" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "faces" / "here")
    assert resolve({"data": "..", "out": str(tmp_path / "out")}).data.endswith("..")
    with pytest.raises(InputError, match="reports/faces: the results would lie among the images"):
        resolve({"data": ".."})


def test_one_model_strategy_and_seed_are_a_trial():
    settings = resolve({"model": "resnet18", "strategy": "full", "seed": "7"})
    assert (settings.models, settings.strategies, settings.seeds) == (("resnet18",), ("full",), (7,))
    assert resolve({"model": "resnet18,resnet50"}).models == ("resnet18,resnet50",)


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


def test_other_views_are_met_unless_the_file_or_an_option_says_otherwise(tmp_path):
    file = written(tmp_path, "extra-views = false")
    assert resolve({}).extra_views
    assert not resolve({"config": file}).extra_views
    assert resolve({"config": file, "extra_views": True}).extra_views
    assert not tomllib.loads(resolve({"extra_views": False}).to_toml())["extra_views"]


def test_a_device_is_written_back_where_it_was_asked_for():
    assert tomllib.loads(resolve({"device": "cpu"}).to_toml())["device"] == "cpu"
    assert "device" not in tomllib.loads(resolve({}).to_toml())


@pytest.mark.parametrize("out", ["images", "images/results", "images/happy/results", "elsewhere/../images/results"])
def test_results_among_the_images_are_refused(tmp_path, out):
    with pytest.raises(InputError) as caught:
        resolve({"data": tmp_path / "images", "out": tmp_path / out})
    assert f"--out {tmp_path / out}" in str(caught.value)


def test_results_among_the_images_are_refused_through_a_link(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    with pytest.raises(InputError, match="link/results: the results would lie among the images"):
        resolve({"data": tmp_path / "images", "out": tmp_path / "link" / "results"})


@pytest.mark.parametrize("data", ["out/trials", "out/tables", "out/damaged/images", "out/checkpoints"])
def test_images_among_the_results_are_refused(tmp_path, data):
    with pytest.raises(InputError, match="is for results"):
        resolve({"data": tmp_path / data, "out": tmp_path / "out"})


def test_checkpoints_among_the_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="kept: the checkpoints would lie among the images"):
        resolve({"data": tmp_path / "images", "storage": str(tmp_path / "images" / "kept")})


@pytest.mark.parametrize(
    ("given", "kept"), [("s3://bucket/a b", "s3://bucket/a b"), ("file:///over/a%20b", "/over/a b"), ("/over", "/over")]
)
def test_storage_is_a_uri_or_a_folder(given, kept):
    assert resolve({"storage": given}).storage == kept


@pytest.mark.parametrize(("data", "out"), [("out/faces", "out"), ("images", "images-out"), ("images", "out")])
def test_images_beside_the_results_are_allowed(tmp_path, data, out):
    assert resolve({"data": tmp_path / data, "out": tmp_path / out}).out == tmp_path / out


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
        ({"checkpoint_minutes": "-1"}, ["--checkpoint-minutes", "-1", "at least 0"]),
        ({"checkpoint_minutes": "inf"}, ["--checkpoint-minutes", "inf"]),
        ({"storage": ""}, ["--storage", "empty"]),
        ({"address": "ray://head:10001"}, ["--address", "ray://", "animefer submit"]),
        ({"config": Path("absent.toml")}, ["--config", "absent.toml"]),
        ({"config": ""}, ["--config", "cannot be read"]),
        ({"strategy": "ful"}, ["--strategy:", "'ful'", "full"]),
        ({"seed": "x"}, ["--seed:", "'x'"]),
        ({"out": ""}, ["--out", "empty"]),
        ({"data": ""}, ["--data", "empty"]),
        ({"weights_dir": "\udcff"}, ["--weights-dir", "no Unicode"]),
        ({"out": "~nobody-of-that-name/x"}, ["--out", "home"]),
        ({"validation_share": "auto"}, ["--validation-share", "auto"]),
        ({"logger": "mlflow,tensorbord"}, ["--logger", "'tensorbord'", "tensorboard"]),
        ({"logger": "wandb,wandb"}, ["--logger", "wandb is given twice"]),
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
        ("[strategy.full]\nblocks = 1", ["'full'", "is taken"]),
        ("[strategy.lp_ft]\nblocks = 1", ["'lp_ft'", "is taken"]),
        ("[strategy.mine]\nspeed = 1", ["'mine'", "'speed'"]),
        ("strategy = 3", ["[strategy.NAME]"]),
        ("skip_bad = 3", ["skip_bad: 3"]),
        ("extra-views = 'some'", ["extra_views: 'some'"]),
        ("device = 3", ["device: 3"]),
        ("address = 5", ["address: 5"]),
        ("weights_dir = 5", ["weights_dir: 5"]),
        ('strategies = [["a"]]', ["strategies: ['a']"]),
        ("models = [3]", ["models: 3"]),
        ("models = {a = 1}", ["models: {'a': 1}"]),
        ("seeds = [1.5]", ["seeds: 1.5"]),
        ("gpu_share = true", ["gpu_share: True"]),
        ("checkpoint_minutes = true", ["checkpoint_minutes: True"]),
        ("storage = 5", ["storage: 5"]),
        ("deterministic = 1", ["deterministic: 1"]),
        ("test_share = nan", ["test_share: nan"]),
        ("logger = ['mlfow']", ["logger: 'mlfow'", "mlflow"]),
        ("out = 5", ["out: 5"]),
        ("data = 5", ["data: 5"]),
        ("preset = []", ["preset: []"]),
        ("precision = ['fp32']", ["precision: ['fp32']"]),
        ("epochs = true", ["epochs: True"]),
        ("image-size = 0.5", ["image_size: 0.5"]),
        ("image-size = 16\nimage_size = 32", ["image_size", "twice"]),
        ('strategies = "ful"', ["strategies: there is no strategy 'ful'"]),
        ('[strategy."a/b"]', ["'a/b'", "slash"]),
        ('[strategy."a,b"]', ["'a,b'", "comma"]),
        ('[strategy." a"]', ["' a'", "outer spaces"]),
        ('[strategy.""]', ["''", "empty"]),
        ("[strategy.mine]\nblocks = true", ["'mine'", "blocks"]),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        resolve({"config": written(tmp_path, text)})
    assert all(word in str(caught.value) for word in ["sweep.toml", *words]), caught.value


@pytest.mark.parametrize(("one", "other"), [("folds", "splits"), ("folds", "vary"), ("splits", "vary")])
def test_one_call_divides_the_images_in_one_way(one, other):
    values = {"folds": "3", "splits": "1,2", "vary": "init"}
    with pytest.raises(InputError, match=f"--{other}: it does not go with --{one}"):
        resolve({name: values[name] for name in (one, other)})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("folds", "1"),
        ("folds", "-3"),
        ("splits", "1,1"),
        ("splits", "-1"),
        ("vary", "weights"),
        ("train_fraction", "0"),
        ("train_fraction", "1.5"),
        ("train_fraction", "0.5,0.50"),
        ("train_fraction", "-0.1"),
    ],
)
def test_what_divides_no_images_is_refused(option, value):
    with pytest.raises(InputError, match=f"^--{option.replace('_', '-')}: "):
        resolve({option: value})


@pytest.mark.parametrize(
    "options", [{"folds": "3"}, {"vary": "init,order"}, {"splits": "1,2", "train_fraction": "0.5,1"}]
)
def test_the_file_of_a_sweep_divides_the_images_as_it_did(tmp_path, options):
    settings = resolve(options)
    assert resolve({"config": written(tmp_path, settings.to_toml()), "out": settings.out}) == settings
