from dataclasses import replace

import pytest
import torch

from animefer_core.models.zoo import Network, build
from animefer_core.training.strategies import BEYOND, STUDY
from animefer_core.training.timeline import explain, timeline


@pytest.fixture(scope="module")
def resnet() -> Network:
    with torch.device("meta"):
        return build("resnet18", 6, 224)


def test_progressive_opens_a_block_every_five_epochs(resnet):
    spans = timeline(resnet, STUDY["progressive"])
    assert [(span.first, span.last, span.blocks) for span in spans] == [
        *((5 * block + 1, 5 * block + 5, block) for block in range(5)),
        (26, 50, 5),
    ]


def test_spans_count_what_trains(resnet):
    first, *_, last = timeline(resnet, STUDY["progressive"])
    assert (first.parameters, last.parameters, last.percent) == (512 * 6 + 6, 11_179_590, 100.0)


def test_warmup_is_a_span_of_its_own(resnet):
    warmup, rest = timeline(resnet, STUDY["full"])
    assert (warmup.first, warmup.last, rest.first, rest.last) == (1, 3, 4, 40)
    assert warmup.rates[1]["head"] == rest.rates[0]["head"] == 1e-3


def test_a_cap_shortens_it(resnet):
    assert timeline(resnet, STUDY["linear_probe"], cap=3)[-1].last == 3


def test_it_is_told_in_lines(resnet):
    head, *spans = explain(resnet, "resnet18", STUDY["partial"])
    assert head.startswith("resnet18 under partial, 6 classes: at most 30 epochs, stopped early after 7")
    assert spans == ["  epochs  1 to 30: head and block 1, 8,396,806 parameters (75.11 %), head 0.001, backbone 0.0001"]


def test_a_head_alone_has_no_rate_of_the_backbone(resnet):
    (line,) = list(explain(resnet, "resnet18", STUDY["linear_probe"]))[1:]
    assert line.endswith("head, 3,078 parameters (0.03 %), head 0.001")


def test_the_decay_of_layers_is_told_with_its_end(resnet):
    *_, line = explain(resnet, "resnet18", BEYOND["layer_decay"])
    assert line == (
        "  the group of layers next to the head has 0.75 of the backbone's rate, each one below as much of the one "
        "above it: 0.075 in the stem, after 9 groups"
    )


def test_a_probe_first_is_told_apart(resnet):
    _, first, *_ = explain(resnet, "resnet18", BEYOND["lp_ft"])
    assert first.startswith("  epochs  1 to 10: head,")


def test_blocks_from_the_stem_are_told_as_such(resnet):
    strategy = replace(STUDY["progressive"], block_order="from_stem")
    parameters = [span.parameters for span in timeline(resnet, strategy)]
    stem = 7 * 7 * 3 * 64 + 2 * 64
    assert parameters[1] - parameters[0] == stem
    told = list(explain(resnet, "resnet18", strategy))
    assert "head and stem, " in told[2]
    assert "head, stem and 1 more from there, " in told[3]
