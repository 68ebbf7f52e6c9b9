"""What is searched of a strategy, and which candidates are drawn; nothing trains here."""

from dataclasses import asdict, replace

import pytest

from animefer_core.training.strategies import BEYOND, KNOWN, STUDY, Strategy
from sweep.search.space import Choice, LogUniform, Uniform, candidates, integers, space

BLOCKS = 5
EDGES = (0.0, 0.5, 1 - 1e-12)


def searched(strategy: Strategy, cap=None) -> set[str]:
    return set(space(strategy, BLOCKS, cap))


COMMON = {"lr_head", "weight_decay", "batch_size"}


@pytest.mark.parametrize(
    ("strategy", "further"),
    [
        ("linear_probe", set()),
        ("partial", {"lr_backbone", "blocks", "block_order"}),
        ("full", {"lr_backbone"}),
        ("progressive", {"lr_backbone", "unfreeze_every", "block_order"}),
        ("layer_decay", {"lr_backbone", "layer_decay"}),
        ("lp_ft", {"lr_backbone"}),
    ],
)
def test_a_strategys_own_fields_are_searched_and_no_others(strategy, further):
    assert searched(KNOWN[strategy]) == COMMON | further


def test_a_rate_of_zero_stays():
    assert "lr_head" not in searched(replace(STUDY["full"], lr_head=0))
    assert "lr_backbone" not in searched(replace(STUDY["full"], lr_backbone=0))


def test_rates_lie_within_ten_times_the_strategys_own():
    ranges = space(STUDY["full"], BLOCKS, None)
    assert [ranges["lr_backbone"].at(share) for share in EDGES] == pytest.approx([1e-6, 1e-5, 1e-4])
    assert [ranges["lr_head"].at(share) for share in EDGES] == pytest.approx([1e-4, 1e-3, 1e-2])


def test_weight_decay_and_batch_size_have_one_range_for_all():
    ranges = space(STUDY["linear_probe"], BLOCKS, None)
    assert ranges["weight_decay"] == LogUniform(1e-6, 1e-1)
    assert ranges["batch_size"] == Choice((16, 32, 64))


def test_blocks_go_from_one_to_all_that_the_network_has():
    assert space(STUDY["partial"], 3, None)["blocks"] == integers(1, 3)


@pytest.mark.parametrize(("cap", "longest"), [(None, 10), (8, 7), (2, 1), (1, 1)])
def test_something_unfreezes_under_every_cap_that_lets_it(cap, longest):
    assert space(STUDY["progressive"], BLOCKS, cap)["unfreeze_every"] == integers(1, longest)


def test_layers_decay_within_their_range():
    assert space(BEYOND["layer_decay"], BLOCKS, None)["layer_decay"] == Uniform(0.5, 0.95)


def test_a_choice_has_every_value_and_no_other():
    assert [integers(1, 3).at(share) for share in (0.0, 0.33, 0.34, 0.66, 0.67, 1 - 1e-12)] == [1, 1, 2, 2, 3, 3]


def drawn(strategy="progressive", budget=6, seed=1001, blocks=BLOCKS) -> tuple[Strategy, ...]:
    return candidates(KNOWN[strategy], space(KNOWN[strategy], blocks, None), budget, seed)


@pytest.mark.parametrize("strategy", KNOWN)
def test_the_first_candidate_is_the_strategy_itself(strategy):
    assert drawn(strategy)[0] == KNOWN[strategy]


def test_as_many_as_asked_and_no_two_alike():
    assert len({candidate.name for candidate in drawn()}) == 6
    assert len({str({**asdict(candidate), "name": ""}) for candidate in drawn()}) == 6


@pytest.mark.parametrize("strategy", KNOWN)
def test_a_candidate_differs_in_what_is_searched_alone(strategy):
    ranges = space(KNOWN[strategy], BLOCKS, None)
    before = asdict(KNOWN[strategy])
    for candidate in drawn(strategy, budget=20)[1:]:
        changed = {name for name, value in asdict(candidate).items() if value != before[name]}
        assert changed <= {"name", *ranges}


def test_a_seed_gives_its_candidates_again_and_another_seed_others():
    assert drawn() == drawn()
    assert drawn()[1:] != drawn(seed=1002)[1:]


def test_a_larger_budget_adds_to_a_smaller_one():
    assert drawn(budget=9)[:6] == drawn(budget=6)


def test_models_meet_the_same_draws():
    """Only blocks depend on how many the network has."""
    ours, theirs = (
        [replace(candidate, blocks=1) for candidate in drawn("partial", blocks=blocks)] for blocks in (5, 12)
    )
    assert ours == theirs
