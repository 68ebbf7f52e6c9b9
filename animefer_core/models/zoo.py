"""From a model's name to a network whose head and blocks are known by their parameters' names.

    block      ResNet    ViT (12 layers)            others, as ConvNeXt
    head       fc        head                       classifier
    1          layer4    layers 10-12, final norm   last stage, what is about the classifier
    2          layer3    layers 7-9                 the stage before
    3          layer2    layers 4-6                 and so on
    4          layer1    layers 1-3
    5 (stem)   conv1     patch embedding            stem
    none       -         class token, position embedding, registers

The blocks of other families are the groups that timm itself gives them. timm is imported inside functions only: it
takes seconds, and checking one of the study's models needs none of it.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from animefer_core.config import STUDY_MODELS
from animefer_core.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TORCHVISION_MODELS = ("resnet18", "resnet50", "vit_b_16")
STUDY_VIT_S_16 = "vit_small_patch16_224.augreg_in1k"

Colours = tuple[float, float, float]
Family = Literal["resnet", "vit", "other"]
Parameters = tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """A model and the names of its parameters, grouped as they unfreeze.

    Parameters in neither the head nor a block train only where everything does.
    """

    model: nn.Module
    """Maps float images (B, 3, S, S) to logits (B, classes)."""
    head: Parameters
    """Weight and bias of the new linear head."""
    blocks: tuple[Parameters, ...]
    """The blocks, from the head backwards; the last one is the stem."""
    family: Family
    """What the model is built like."""

    @cached_property
    def convolutional(self) -> bool:
        """Whether feature maps go through convolutions, and not just the patches of a transformer's stem."""
        return sum(isinstance(module, nn.Conv2d) for module in self.model.modules()) > 1

    @property
    def classifier(self) -> nn.Linear:
        """The linear layer that is the head."""
        layer = self.model.get_submodule(self.head[0].rpartition(".")[0])
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"the head is a {type(layer).__name__}, not a linear layer")
        return layer


def timm_name(name: str) -> str | None:
    """Return what timm calls a model, or None for a model of torchvision's."""
    if name in TORCHVISION_MODELS:
        return None
    return STUDY_VIT_S_16 if name == "vit_s_16" else name


def check_model(name: str) -> None:
    """Raise InputError unless the name is one of the study's models or of timm's; builds nothing."""
    if name in STUDY_MODELS:
        return
    import timm

    if not timm.is_model(name):
        known = sorted({*STUDY_MODELS, *timm.list_models()})
        raise InputError(f"--models: there is no model {name!r}{_near(name, known)}.")
    tagged = list(timm.models.get_arch_pretrained_cfgs(name))
    if "." in name and name not in tagged:
        raise InputError(f"--models: timm has no weights {name!r}{_near(name, tagged)}.")


def _near(name: str, known: Sequence[str]) -> str:
    """Return a half-sentence that names the known names most like this one."""
    matches = difflib.get_close_matches(name, known, n=4, cutoff=0.5) or list(STUDY_MODELS)
    return f"; perhaps you mean {', '.join(matches)}"


PLAIN_VITS = ("vision_transformer", "deit", "eva", "beit", "vision_transformer_relpos")
"""timm's modules of ViTs that are a patch embedding, layers and a head; a convolutional stem makes a hybrid of one."""
RELATIVE = ("rel_pos_bias", "shared_rel_pos")
"""What takes the place of positions where all layers share it."""


def build(name: str, classes: int, image_size: int) -> Network:
    """Return a randomly initialised network with a linear head of `classes` logits.

    The initialisation draws from torch's global generator, so the caller seeds that. Under
    `torch.device("meta")` nothing is allocated. Raises InputError for a model that `check_model` refuses, and
    for an image size (pixels) that a ViT's patches do not tile.
    """
    check_model(name)
    timm_model = timm_name(name)
    if timm_model is not None:
        return _timm_network(timm_model, classes, image_size)
    import torchvision.models

    if name == "vit_b_16":
        _check_patches(name, image_size, 16)
        model = torchvision.models.vit_b_16(num_classes=classes, image_size=image_size)
        layers = [f"encoder.layers.{layer}." for layer in model.encoder.layers._modules]
        return _vit(model, "heads.head.", layers, after=("encoder.ln.",), outside=("class_token", "encoder.pos_"))
    return _resnet(getattr(torchvision.models, name)(num_classes=classes))


def _timm_network(name: str, classes: int, image_size: int) -> Network:
    """Return a network by its timm name; `name` has passed `check_model`."""
    import timm

    if timm.models.is_model_in_modules(name, "resnet"):
        return _resnet(timm.create_model(name, num_classes=classes))
    if not timm.models.is_model_in_modules(name, PLAIN_VITS):
        return _grouped(name, classes, image_size)
    model: Any = timm.create_model(name, num_classes=classes, img_size=image_size)
    if not isinstance(model.get_classifier(), nn.Linear):
        raise _no_single_head(name)
    _check_patches(name, image_size, model.patch_embed.patch_size[0])
    layers = [f"blocks.{layer}." for layer in range(len(model.blocks))]
    after = ("norm.", "attn_pool.", "fc_norm.")
    return _vit(model, "head.", layers, after, outside=("cls_token", "reg_token", "pos_embed", "rope", *RELATIVE))


def _check_patches(name: str, image_size: int, patch: int) -> None:
    """Refuse an image size that leaves a strip of pixels outside every patch."""
    if image_size % patch or image_size < patch:
        below = max(patch, image_size // patch * patch)
        raise InputError(
            f"--image-size {image_size} is no multiple of the {patch}-pixel patches of {name}; "
            f"give {below} or {below + patch}."
        )


def _resnet(model: nn.Module) -> Network:
    """Group a ResNet's parameters; torchvision and timm name its stages and its head alike."""
    head = _parameters(model, ("fc.",))
    stages = tuple(_parameters(model, (f"layer{stage}.",)) for stage in (4, 3, 2, 1))
    return Network(model, head, (*stages, _remaining(model, head, *stages)), "resnet")


def _vit(
    model: nn.Module, head: str, layers: Sequence[str], after: tuple[str, ...], outside: tuple[str, ...]
) -> Network:
    """Group a ViT's parameters by the prefixes of its head, layers, what follows them, and what is in no block.

    Four groups of layers whose sizes differ by one at most, the larger ones nearest the head.
    """
    quarters = [tuple(quarter) for quarter in np.array_split(np.array(layers[::-1]), 4)]
    quarters[0] += after
    groups = tuple(_parameters(model, quarter) for quarter in quarters)
    head_names = _parameters(model, (head,))
    stem = _remaining(model, head_names, *groups, _parameters(model, outside))
    return Network(model, head_names, (*groups, stem), "vit")


def _grouped(name: str, classes: int, image_size: int) -> Network:
    """Return a network of another family, its blocks the groups of timm's own `group_matcher(coarse=True)`.

    Groups are taken from the head backwards; what shares a group with the classifier, a norm as a rule, joins the
    first block.
    """
    import timm
    from timm.models import group_parameters

    options: dict[str, Any] = {"img_size": image_size} if timm_settings(name).fixed_input_size else {}
    try:
        model: Any = timm.create_model(name, num_classes=classes, **options)
        if next(model.parameters()).is_meta:
            # Without a value computed: some are built for sizes that their windows then do not tile.
            model.eval()(torch.empty(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"--models: {name} does not take images of {image_size} pixels ({' '.join(str(error).split())}); "
            "give another --image-size."
        ) from error
    classifier = model.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise _no_single_head(name)
    (prefix,) = (path for path, module in model.named_modules() if module is classifier)
    head = _parameters(model, (f"{prefix}.",))
    if not hasattr(model, "group_matcher"):
        raise _no_groups(name)
    try:
        matcher = model.group_matcher(coarse=True)
    except AssertionError as error:
        # RDNet has groups of single layers alone.
        raise _no_groups(name) from error
    groups = [tuple(names) for _, names in sorted(group_parameters(model, matcher).items())]
    last = next(place for place, names in enumerate(groups) if head[0] in names)
    about = tuple(parameter for parameter in groups.pop(last) if parameter not in head)
    if not groups:
        raise _no_groups(name)
    blocks = groups[::-1]
    blocks[0] += about
    return Network(model, head, tuple(blocks), "other")


def layer_groups(network: Network, name: str) -> tuple[Parameters, ...]:
    """Return a model's parameters but the head's in timm's groups of layers, from the head backwards.

    They are finer than blocks, a layer or a residual block each; torchvision's models get those that timm gives its
    own of the same family. What shares the head's group has one of its own, the first.
    """
    from timm.models import group_parameters

    model: Any = network.model
    if timm_name(name) is None:
        matcher = TORCHVISION_LAYERS[network.family]
    elif hasattr(model, "group_matcher"):
        matcher = model.group_matcher(coarse=False)
    else:
        raise _no_groups(name)
    groups = [tuple(names) for _, names in sorted(group_parameters(model, matcher).items())]
    without_head = [tuple(each for each in names if each not in network.head) for names in reversed(groups)]
    return tuple(names for names in without_head if names)


TORCHVISION_LAYERS: Mapping[str, Mapping[str, Any]] = {
    "resnet": {"stem": r"^conv1|^bn1", "blocks": r"^layer(\d+)\.(\d+)"},
    "vit": {
        "stem": r"^class_token|^encoder\.pos_embedding|^conv_proj",
        "blocks": [(r"^encoder\.layers\.encoder_layer_(\d+)", None), (r"^encoder\.ln", (99999,))],
    },
}


def _no_single_head(name: str) -> InputError:
    return InputError(f"--models: the head of {name} is not one linear layer, as it has to be; choose another model.")


def _no_groups(name: str) -> InputError:
    return InputError(f"--models: timm gives {name} no groups of layers to make blocks of; choose another model.")


def _parameters(model: nn.Module, prefixes: tuple[str, ...]) -> Parameters:
    """Return the names of the parameters under any of the prefixes, in the model's order."""
    return tuple(name for name, _ in model.named_parameters() if name.startswith(prefixes))


def _remaining(model: nn.Module, *groups: Parameters) -> Parameters:
    """Return the names of the parameters that are in none of the groups."""
    taken = {name for group in groups for name in group}
    return tuple(name for name, _ in model.named_parameters() if name not in taken)


def reset_head(network: Network, generator: torch.Generator) -> None:
    """Initialise the head as nn.Linear does by default, from this generator alone.

    Heads of equal width are therefore equal under equal seeds, whatever the models are called.
    """
    layer = network.classifier
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(layer.in_features)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def normalisation(name: str) -> tuple[Colours, Colours]:
    """Return mean and deviation per channel (pixels in 0 to 1) with which a model's default weights were trained."""
    timm_model = timm_name(name)
    if timm_model is None:
        return IMAGENET_MEAN, IMAGENET_STD
    settings = timm_settings(timm_model)
    return tuple(settings.mean), tuple(settings.std)


def timm_settings(name: str) -> Any:
    """Return timm's PretrainedCfg of a timm model: where its weights are and how its images were normalised."""
    import timm

    return timm.models.get_pretrained_cfg(name, allow_unregistered=False)
