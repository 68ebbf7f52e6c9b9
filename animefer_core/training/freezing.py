"""Which parameters of a network train, applied anew in every epoch.

The state is derived from the number of open blocks alone, so that calling this after a restore, or twice, or
after somebody's `train()`, always ends in the same place.
"""

from typing import Literal

from torch.nn.modules.batchnorm import _BatchNorm

from animefer_core.models.zoo import Network
from animefer_core.training.strategies import BlockOrder


def set_trainable(
    network: Network,
    blocks: int | Literal["all"],
    frozen_norm: Literal["eval", "train"],
    order: BlockOrder = "from_head",
) -> None:
    """Put the model into train mode and let the head and the first `blocks` blocks train, or "all" parameters.

    `order` says from which end blocks are counted.

    `frozen_norm` says what BatchNorm does in blocks that do not train: keep its running statistics and use them
    ("eval"), or use the batch's and go on averaging them ("train").
    """
    ordered = network.blocks if order == "from_head" else network.blocks[::-1]
    opened = set(network.head).union(*ordered[: None if blocks == "all" else blocks])
    for name, parameter in network.model.named_parameters():
        parameter.requires_grad_(blocks == "all" or name in opened)
    network.model.train()
    if frozen_norm == "train":
        return
    for module in network.model.modules():
        if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters(recurse=False)):
            module.eval()


def trainable_names(network: Network) -> tuple[str, ...]:
    """Return the names of the parameters that train now, in the model's order."""
    return tuple(name for name, parameter in network.model.named_parameters() if parameter.requires_grad)


def percent_trainable(network: Network) -> float:
    """Return the share of the parameters that train now, in percent (0 to 100), counted by element."""
    parameters = list(network.model.parameters())
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return 100 * trainable / sum(parameter.numel() for parameter in parameters)
