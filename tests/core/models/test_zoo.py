import subprocess
import sys

import pytest
import timm.models
import torch
from torch import nn

from animefer_core.config import STUDY_MODELS
from animefer_core.errors import InputError
from animefer_core.models.zoo import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Network,
    build,
    check_model,
    layer_groups,
    normalisation,
    reset_head,
)
from animefer_core.training.freezing import percent_trainable, set_trainable
from animefer_core.training.strategies import STUDY, trainable_blocks

PARAMETERS = {"resnet18": 11_179_590, "resnet50": 23_520_326, "vit_b_16": 85_803_270, "vit_s_16": 21_667_974}

# The study's Table 2: what trained in the last epoch run, in percent, and how many epochs ran.
TRAINABLE = [
    ("resnet18", "full", 100.0, 26),
    ("resnet18", "linear_probe", 0.0, 20),
    ("resnet18", "partial", 75.1, 10),
    ("resnet18", "progressive", 98.6, 20),
    ("resnet50", "full", 100.0, 19),
    ("resnet50", "linear_probe", 0.1, 19),
    ("resnet50", "partial", 63.7, 12),
    ("resnet50", "progressive", 99.0, 18),
    ("vit_b_16", "full", 100.0, 12),
    ("vit_b_16", "linear_probe", 0.0, 20),
    ("vit_b_16", "partial", 24.8, 10),
    ("vit_b_16", "progressive", 99.8, 29),
    ("vit_s_16", "full", 100.0, 18),
    ("vit_s_16", "linear_probe", 0.0, 20),
    ("vit_s_16", "partial", 24.6, 11),
    ("vit_s_16", "progressive", 73.7, 19),
]


def shape_of(name: str, image_size: int = 224, classes: int = 6) -> Network:
    """Return a network without memory for its parameters."""
    with torch.device("meta"):
        return build(name, classes, image_size)


@pytest.fixture(scope="module")
def study() -> dict[str, Network]:
    return {name: shape_of(name) for name in STUDY_MODELS}


@pytest.mark.parametrize(("model", "strategy", "percent", "epochs"), TRAINABLE)
def test_share_of_the_last_epoch_is_the_studys(study, model, strategy, percent, epochs):
    network = study[model]
    set_trainable(network, trainable_blocks(STUDY[strategy], epochs - 1, len(network.blocks)), "eval")
    assert round(percent_trainable(network), 1) == percent


@pytest.mark.parametrize("model", STUDY_MODELS)
def test_parameters_are_the_studys(study, model):
    assert sum(parameter.numel() for parameter in study[model].model.parameters()) == PARAMETERS[model]


@pytest.mark.parametrize("model", [*STUDY_MODELS, "resnet26d", "resnetrs50", "vit_tiny_patch16_224"])
def test_no_parameter_is_in_two_places(model):
    network = shape_of(model)
    grouped = [name for group in (network.head, *network.blocks) for name in group]
    assert len(grouped) == len(set(grouped))


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "resnet26d", "resnetrs50"])
def test_every_parameter_of_a_resnet_is_in_the_head_or_a_block(model):
    network = shape_of(model)
    grouped = {name for group in (network.head, *network.blocks) for name in group}
    assert grouped == {name for name, _ in network.model.named_parameters()}


@pytest.mark.parametrize(
    ("model", "outside"),
    [
        ("vit_b_16", {"class_token", "encoder.pos_embedding"}),
        ("vit_s_16", {"cls_token", "pos_embed"}),
        ("vit_tiny_patch16_224", {"cls_token", "pos_embed"}),
        ("vit_base_patch14_reg4_dinov2", {"cls_token", "pos_embed", "reg_token"}),
    ],
)
def test_tokens_and_positions_are_in_no_block(model, outside):
    network = shape_of(model)
    grouped = {name for group in (network.head, *network.blocks) for name in group}
    assert {name for name, _ in network.model.named_parameters()} - grouped == outside


def layers(block: tuple[str, ...], prefix: str) -> set[int]:
    return {int(name.removeprefix(prefix).split(".")[0]) for name in block if name.startswith(prefix)}


@pytest.mark.parametrize(("model", "prefix"), [("vit_b_16", "encoder.layers.encoder_layer_"), ("vit_s_16", "blocks.")])
def test_vit_blocks_are_three_layers_each_from_the_head(study, model, prefix):
    groups = [layers(block, prefix) for block in study[model].blocks]
    assert groups == [{9, 10, 11}, {6, 7, 8}, {3, 4, 5}, {0, 1, 2}, set()]


def test_the_deeper_groups_of_another_depth_are_nearest_the_head():
    groups = [layers(block, "blocks.") for block in shape_of("vit_so150m_patch16_reg4_gap_256", 256).blocks]
    assert [len(group) for group in groups] == [5, 5, 4, 4, 0]
    assert groups[0] == {13, 14, 15, 16, 17}


def test_a_large_vit_has_groups_of_six_layers():
    groups = [layers(block, "blocks.") for block in shape_of("vit_large_patch16_224").blocks]
    assert [len(group) for group in groups] == [6, 6, 6, 6, 0]


@pytest.mark.parametrize(
    ("model", "norm"), [("vit_b_16", "encoder.ln.weight"), ("vit_s_16", "norm.weight"), ("test_vit2", "fc_norm.weight")]
)
def test_the_final_norm_is_in_the_first_block(model, norm):
    assert norm in shape_of(model).blocks[0]


@pytest.mark.parametrize(
    ("model", "stem"),
    [
        ("resnet18", ("conv1.weight", "bn1.weight", "bn1.bias")),
        ("vit_b_16", ("conv_proj.weight", "conv_proj.bias")),
        ("vit_s_16", ("patch_embed.proj.weight", "patch_embed.proj.bias")),
    ],
)
def test_the_last_block_is_the_stem(study, model, stem):
    assert study[model].blocks[-1] == stem


def test_a_deep_stem_is_one_block():
    stem = shape_of("resnet26d").blocks[-1]
    assert {name.split(".")[0] for name in stem} == {"conv1", "bn1"}
    assert "conv1.6.weight" in stem


@pytest.mark.parametrize(("model", "family"), [("resnet50", "resnet"), ("resnet26d", "resnet"), ("vit_s_16", "vit")])
def test_the_family_is_known(model, family):
    assert shape_of(model).family == family


@pytest.mark.parametrize("model", [*STUDY_MODELS, "resnet26d", "vit_tiny_patch16_224"])
def test_the_head_is_one_linear_layer_to_the_classes(model):
    network = shape_of(model, classes=7)
    assert network.classifier.out_features == 7
    assert [name.rsplit(".", 1)[1] for name in network.head] == ["weight", "bias"]


@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("image_size", [32, 64])
def test_logits_come_at_any_size(model, image_size):
    network = build(model, 5, image_size)
    with torch.inference_mode():
        assert network.model.eval()(torch.zeros(2, 3, image_size, image_size)).shape == (2, 5)


@pytest.mark.parametrize("model", ["resnet18", "test_vit"])
def test_initialisation_follows_torchs_global_generator(model):
    def state(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build(model, 3, 32).model.state_dict()

    first, again, other = state(1), state(1), state(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("image_size", "offered"), [(100, "96 or 112"), (8, "16 or 32")])
@pytest.mark.parametrize("model", ["vit_b_16", "vit_tiny_patch16_224"])
def test_a_size_that_patches_do_not_tile_is_refused(model, image_size, offered):
    with pytest.raises(InputError, match=f"--image-size {image_size} .* of {model}; give {offered}"):
        shape_of(model, image_size)


def test_head_is_initialised_as_torch_does_by_default():
    network = build("resnet18", 6, 32)
    reset_head(network, torch.Generator().manual_seed(3))
    torch.manual_seed(3)
    default = nn.Linear(512, 6)
    assert torch.equal(network.classifier.weight, default.weight)
    assert torch.equal(network.classifier.bias, default.bias)


def test_heads_of_equal_width_do_not_depend_on_the_model():
    heads = []
    for model in ("resnet18", "resnet18d"):
        network = build(model, 6, 32)
        reset_head(network, torch.Generator().manual_seed(3))
        heads.append(network.classifier.weight)
    assert torch.equal(*heads)


def test_resetting_the_head_leaves_the_global_generator_alone():
    network = build("test_resnet", 6, 32)
    before = torch.get_rng_state()
    reset_head(network, torch.Generator().manual_seed(3))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "name", [*STUDY_MODELS, "vit_tiny_patch16_224", "resnet26d", "vit_small_patch16_224.augreg_in21k_ft_in1k"]
)
def test_resnets_and_vits_are_accepted(name):
    check_model(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet19", "resnet18"), ("vit_s16", "vit_s_16"), ("vit_tiny_patch16_225", "vit_tiny_patch16_224")],
)
def test_an_unknown_model_is_named_with_near_matches(name, near):
    with pytest.raises(InputError, match=rf"no model '{name}'; perhaps you mean .*\b{near}\b"):
        check_model(name)


def test_a_name_like_no_other_is_answered_with_the_studys_models():
    with pytest.raises(InputError, match="perhaps you mean resnet18, resnet50, vit_b_16, vit_s_16"):
        check_model("@@@@")


def test_unknown_weights_of_a_known_model_are_named():
    with pytest.raises(InputError, match=r"no weights 'resnet26d\.a9_in1k'; perhaps you mean resnet26d\.bt_in1k"):
        check_model("resnet26d.a9_in1k")


OTHERS = {
    "convnext_tiny": ["stages.3.", "stages.2.", "stages.1.", "stages.0.", "stem."],
    "swin_tiny_patch4_window7_224": ["layers.3.", "layers.2.", "layers.1.", "layers.0.", "patch_embed."],
    "efficientnet_b0": [*(f"blocks.{stage}." for stage in range(6, -1, -1)), "conv_stem."],
}


@pytest.mark.parametrize("model", OTHERS)
def test_blocks_of_other_families_are_timms_groups_from_the_head(model):
    network = shape_of(model)
    assert network.family == "other"
    assert len(network.blocks) == len(OTHERS[model])
    for block, prefix in zip(network.blocks, OTHERS[model], strict=True):
        assert any(name.startswith(prefix) for name in block)
        assert not any(name.startswith(other) for name in block for other in OTHERS[model] if other != prefix)


@pytest.mark.parametrize("model", OTHERS)
def test_every_parameter_of_another_family_is_in_one_place(model):
    network = shape_of(model)
    grouped = [name for group in (network.head, *network.blocks) for name in group]
    assert sorted(grouped) == sorted(name for name, _ in network.model.named_parameters())


@pytest.mark.parametrize(
    ("model", "about"),
    [
        ("convnext_tiny", {"head.norm.weight", "head.norm.bias"}),
        ("swin_tiny_patch4_window7_224", {"norm.weight", "norm.bias"}),
        ("densenet121", {"features.norm5.weight", "features.norm5.bias"}),
    ],
)
def test_what_shares_a_group_with_the_classifier_is_in_the_first_block(model, about):
    network = shape_of(model)
    assert about <= set(network.blocks[0])
    assert not about & set(network.head)


@pytest.mark.parametrize(("model", "size"), [("convnext_atto", 64), ("swin_tiny_patch4_window7_224", 224)])
def test_a_network_of_another_family_gives_logits_and_trains(model, size):
    network = build(model, 5, size)
    network.model(torch.zeros(2, 3, size, size)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.model.parameters())


def test_a_size_that_a_network_cannot_take_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^--models: nest_tiny does not take images of 50 pixels .*--image-size\.$"):
        shape_of("nest_tiny", 50)


@pytest.mark.parametrize("model", ["deit_tiny_distilled_patch16_224", "levit_128"])
def test_a_head_that_is_no_linear_layer_is_refused(model):
    with pytest.raises(InputError, match=f"the head of {model} is not one linear layer"):
        shape_of(model)


def test_a_family_without_groups_is_refused(monkeypatch):
    monkeypatch.delattr(timm.models.ConvNeXt, "group_matcher")
    with pytest.raises(InputError, match="timm gives convnext_tiny no groups of layers"):
        shape_of("convnext_tiny")


@pytest.mark.parametrize(
    ("model", "count"),
    [("resnet18", 9), ("resnet26d", 9), ("resnet50", 17), ("vit_b_16", 13), ("vit_s_16", 13), ("convnext_tiny", 20)],
)
def test_layers_are_finer_than_blocks_and_hold_everything_but_the_head(model, count):
    """Residual blocks or layers, the stem, and what shares the head's group where something does."""
    network = shape_of(model)
    found = layer_groups(network, model)
    everything = {name for name, _ in network.model.named_parameters()} - set(network.head)
    assert sorted(name for names in found for name in names) == sorted(everything)
    assert len(found) == count


@pytest.mark.parametrize(
    ("model", "first", "last"),
    [
        ("resnet18", "layer4.1.", "conv1."),
        ("vit_b_16", "encoder.layers.encoder_layer_11.", "conv_proj."),
        ("vit_s_16", "blocks.11.", "patch_embed."),
    ],
)
def test_layers_run_from_the_head_to_the_stem(model, first, last):
    found = layer_groups(shape_of(model), model)
    assert any(name.startswith(first) for name in found[0])
    assert any(name.startswith(last) for name in found[-1])


@pytest.mark.parametrize(
    ("model", "convolutional"),
    [("resnet18", True), ("vit_s_16", False), ("convnext_tiny", True), ("swin_tiny_patch4_window7_224", False)],
)
def test_transformers_have_no_convolution_but_their_patches(model, convolutional):
    assert shape_of(model).convolutional == convolutional


def test_a_study_model_is_checked_without_timm():
    code = (
        "import sys; from animefer_core.models.zoo import check_model; check_model('vit_s_16');"
        "sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "vit_b_16", "resnet26d"])
def test_imagenets_normalisation(model):
    assert normalisation(model) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("model", ["vit_s_16", "vit_tiny_patch16_224"])
def test_normalisation_of_weights_made_with_one_half(model):
    assert normalisation(model) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("deit_tiny_patch16_224", 224),
        ("deit3_small_patch16_224", 224),
        ("vit_small_patch16_dinov3", 224),
        ("eva02_tiny_patch14_224", 224),
        ("beit_base_patch16_224", 224),
        ("vit_relpos_small_patch16_224", 224),
    ],
)
def test_vits_that_timm_keeps_elsewhere_follow_the_same_rule(name, size):
    with torch.device("meta"):
        network = build(name, 6, size)
    assert network.family == "vit"
    assert len(network.blocks) == 5
    assert all(parameter.startswith("patch_embed.") for parameter in network.blocks[4])
    opened = {parameter for block in network.blocks for parameter in block}
    never = {name for name, _ in network.model.named_parameters()} - opened - set(network.head)
    assert all(name.startswith(("cls_token", "reg_token", "pos_embed", "rope")) for name in never)
    assert {"cls_token", "reg_token", "pos_embed"} & {name for name, _ in network.model.named_parameters()} <= never


def test_deit_and_vit_of_one_shape_open_the_same_share():
    sizes = []
    for name in ("deit_tiny_patch16_224", "vit_tiny_patch16_224"):
        with torch.device("meta"):
            network = build(name, 6, 224)
        parameters = dict(network.model.named_parameters())
        sizes.append([sum(parameters[each].numel() for each in block) for block in network.blocks])
    assert sizes[0] == sizes[1]


def test_a_family_whose_groups_are_single_layers_alone_is_refused():
    with torch.device("meta"), pytest.raises(InputError, match="rdnet_tiny"):
        build("rdnet_tiny", 6, 224)
