import pytest
import torch
from torch import nn

from animefer_core.models.zoo import Network, build
from animefer_core.training.freezing import percent_trainable, set_trainable, trainable_names


# timm's smallest networks of either family: built and blocked like the large ones.
@pytest.fixture(scope="module", params=["test_resnet", "test_vit"])
def network(request) -> Network:
    torch.manual_seed(0)
    return build(request.param, 4, 32)


def step(network: Network) -> None:
    """Take one step of AdamW on a random batch, with what is set to train."""
    parameters = [parameter for parameter in network.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    nn.functional.cross_entropy(network.model(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()


def changed(network: Network) -> set[str]:
    """Return the names in the state that a step changes by one bit or more."""
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    step(network)
    return {name for name, value in network.model.state_dict().items() if not torch.equal(value, before[name])}


def buffers(network: Network) -> set[str]:
    return {name for name, _ in network.model.named_buffers()}


@pytest.mark.parametrize("blocks", [0, 1, 2, 4, 5])
def test_nothing_frozen_changes_by_one_bit(network, blocks):
    set_trainable(network, blocks, "eval")
    opened = {name for block in network.blocks[:blocks] for name in block} | set(network.head)
    owners = {name.rpartition(".")[0] for name in opened}
    for name in changed(network):
        assert name in opened or (name in buffers(network) and name.rpartition(".")[0] in owners)


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_all_that_is_open_changes(network, blocks):
    set_trainable(network, blocks, "eval")
    # A 32-pixel ViT's keys have a bias that softmax cancels: its gradient is rounding noise, not a fault.
    assert set(network.head) | {n for b in network.blocks[:blocks] for n in b if "bias" not in n} <= changed(network)


def test_everything_trains_under_all(network):
    set_trainable(network, "all", "eval")
    assert trainable_names(network) == tuple(name for name, _ in network.model.named_parameters())
    assert percent_trainable(network) == 100


def test_names_outside_the_blocks_stay_frozen_when_all_blocks_are_open(network):
    set_trainable(network, len(network.blocks), "eval")
    opened = {name for group in (network.head, *network.blocks) for name in group}
    assert set(trainable_names(network)) == opened


def test_the_share_is_counted_by_element(network):
    set_trainable(network, 0, "eval")
    head = network.classifier
    total = sum(parameter.numel() for parameter in network.model.parameters())
    assert percent_trainable(network) == pytest.approx(100 * (head.weight.numel() + head.bias.numel()) / total)


@pytest.mark.parametrize("detour", [0, 3, "all"])
def test_state_does_not_depend_on_what_was_set_before(network, detour):
    def state() -> list[bool]:
        set_trainable(network, 1, "eval")
        return [p.requires_grad for p in network.model.parameters()] + [m.training for m in network.model.modules()]

    first = state()
    set_trainable(network, detour, "train")
    network.model.eval()
    assert state() == first


class TestBatchNorm:
    @pytest.fixture
    def resnet(self) -> Network:
        torch.manual_seed(0)
        return build("test_resnet", 4, 32)

    def averaged(self, network: Network) -> set[str]:
        """Return the stages whose running statistics a training step moves."""
        return {name.split(".")[0] for name in changed(network) & buffers(network)}

    def test_statistics_of_frozen_blocks_stay(self, resnet):
        set_trainable(resnet, 1, "eval")
        assert self.averaged(resnet) == {"layer4"}

    def test_no_statistics_move_under_a_linear_probe(self, resnet):
        set_trainable(resnet, 0, "eval")
        assert self.averaged(resnet) == set()

    def test_all_statistics_move_where_frozen_norm_is_train(self, resnet):
        set_trainable(resnet, 0, "train")
        assert self.averaged(resnet) == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}

    def test_all_statistics_move_under_all(self, resnet):
        set_trainable(resnet, "all", "eval")
        assert self.averaged(resnet) == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}

    def test_dropout_and_the_rest_are_in_train_mode(self, resnet):
        resnet.model.eval()
        set_trainable(resnet, 0, "eval")
        still = [module for module in resnet.model.modules() if not module.training]
        assert all(isinstance(module, nn.BatchNorm2d) for module in still)
        assert len(still) == sum(isinstance(module, nn.BatchNorm2d) for module in resnet.model.modules())


def test_blocks_may_open_from_the_stem(network):
    set_trainable(network, 2, "eval", "from_stem")
    opened = {name for block in network.blocks[-2:] for name in block} | set(network.head)
    assert set(trainable_names(network)) == opened
