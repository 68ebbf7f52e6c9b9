from dataclasses import replace

import pytest

from animefer_core.errors import InputError
from animefer_core.training.strategies import BEYOND, STUDY, Strategy, learning_rates, strategy_from, trainable_blocks

BLOCKS = 5

CONSTANT = (1e-3, 1e-4)

TABLE = {
    "linear_probe": [(0, 1e-3, 0.0)] * 20,
    "partial": [(1, *CONSTANT)] * 30,
    "progressive": [
        *[(0, *CONSTANT)] * 5,
        *[(1, *CONSTANT)] * 5,
        *[(2, *CONSTANT)] * 5,
        *[(3, *CONSTANT)] * 5,
        *[(4, *CONSTANT)] * 5,
        *[(5, *CONSTANT)] * 25,
    ],
}
"""Blocks beside the head, rate of the head, rate of the backbone: one row an epoch of the study's Table 1."""

LIMITS = {"linear_probe": (20, 5), "partial": (30, 7), "full": (40, 10), "progressive": (50, 10)}
"""Most epochs and patience."""


def rows(strategy: Strategy, cap: int | None = None) -> list[tuple[int | str, float, float]]:
    epochs = range(strategy.epochs(cap))
    rates = [learning_rates(strategy, epoch, cap) for epoch in epochs]
    return [(trainable_blocks(strategy, e, BLOCKS, cap), rates[e]["head"], rates[e]["backbone"]) for e in epochs]


class TestStudy:
    def test_there_are_its_four_strategies(self):
        assert list(STUDY) == ["linear_probe", "partial", "full", "progressive"]
        assert all(name == strategy.name for name, strategy in STUDY.items())

    @pytest.mark.parametrize("name", TABLE)
    def test_blocks_and_rates_of_every_epoch(self, name):
        assert rows(STUDY[name]) == TABLE[name]

    @pytest.mark.parametrize("name", LIMITS)
    def test_epochs_and_patience(self, name):
        assert (STUDY[name].max_epochs, STUDY[name].patience) == LIMITS[name]

    @pytest.mark.parametrize("name", STUDY)
    def test_weight_decay_is_the_same_everywhere(self, name):
        assert STUDY[name].weight_decay == 1e-4

    def test_only_full_clips(self):
        assert {name: s.gradient_clip_norm for name, s in STUDY.items() if s.gradient_clip_norm} == {"full": 1.0}

    def test_full_trains_everything_always(self):
        assert {blocks for blocks, _, _ in rows(STUDY["full"])} == {"all"}


class TestWarmupAndCosine:
    HEAD = [head for _, head, _ in rows(STUDY["full"])]  # noqa: RUF012 - read only

    def test_three_epochs_of_linear_warmup(self):
        assert self.HEAD[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])

    def test_the_full_rate_holds_once_more_where_the_cosine_begins(self):
        assert self.HEAD[3] == 1e-3

    def test_the_rate_falls_from_there_to_the_end(self):
        assert all(later < earlier for earlier, later in zip(self.HEAD[3:], self.HEAD[4:], strict=False))
        assert 0 < self.HEAD[-1] < 1e-5

    def test_half_the_rate_is_left_half_way(self):
        strategy = replace(STUDY["full"], max_epochs=3 + 10)
        assert learning_rates(strategy, 3 + 5)["head"] == pytest.approx(0.5e-3)

    def test_the_backbone_keeps_its_share(self):
        assert [backbone / head for _, head, backbone in rows(STUDY["full"])] == pytest.approx([0.01] * 40)

    def test_a_cap_shortens_the_schedule_with_the_epochs(self):
        assert rows(STUDY["full"], cap=9) == rows(replace(STUDY["full"], max_epochs=9))

    def test_a_cap_above_the_epochs_changes_nothing(self):
        assert rows(STUDY["full"], cap=400) == rows(STUDY["full"])

    @pytest.mark.parametrize("cap", [1, 2, 3, 4])
    def test_a_cap_within_the_warmup_has_a_rate_every_epoch(self, cap):
        assert all(head > 0 for _, head, _ in rows(STUDY["full"], cap))


class TestHeadFirst:
    """lp_ft: ten epochs of the head alone, then everything under the schedule of `full`."""

    LP_FT = BEYOND["lp_ft"]

    def test_the_head_trains_alone_at_its_own_rate_first(self):
        assert rows(self.LP_FT)[:10] == [(0, 1e-3, 1e-5)] * 10

    def test_then_comes_full_from_its_first_epoch(self):
        assert rows(self.LP_FT)[10:] == rows(STUDY["full"])

    @pytest.mark.parametrize(("cap", "alone"), [(50, 10), (20, 4), (4, 1), (2, 1), (1, 0), (400, 10)])
    def test_a_cap_keeps_its_share(self, cap, alone):
        assert [blocks for blocks, _, _ in rows(self.LP_FT, cap)].count(0) == alone

    @pytest.mark.parametrize(
        ("epoch", "best", "over"), [(9, 1, False), (10, 1, False), (18, 1, False), (19, 1, True), (19, 11, False)]
    )
    def test_patience_begins_after_it(self, epoch, best, over):
        assert self.LP_FT.is_over(epoch, best, None) == over

    @pytest.mark.parametrize(("epoch", "over"), [(4, False), (5, True)])
    def test_without_it_patience_begins_at_once(self, epoch, over):
        assert STUDY["linear_probe"].is_over(epoch, 1, None) == over

    def test_there_are_two_strategies_beyond_the_study(self):
        assert list(BEYOND) == ["layer_decay", "lp_ft"]
        assert not set(BEYOND) & set(STUDY)

    def test_decay_is_three_quarters_a_layer(self):
        assert BEYOND["layer_decay"].layer_decay == 0.75


class TestUnfreezing:
    def test_no_more_blocks_open_than_there_are(self):
        assert trainable_blocks(STUDY["progressive"], 49, 2) == 2

    def test_one_block_opens_after_every_interval(self):
        strategy = Strategy(name="s", blocks=1, unfreeze_every=2)
        assert [trainable_blocks(strategy, epoch, BLOCKS) for epoch in range(6)] == [1, 1, 2, 2, 3, 3]

    def test_all_stays_all_whatever_the_interval(self):
        assert trainable_blocks(Strategy(name="s", blocks="all", unfreeze_every=1), 9, BLOCKS) == "all"


BAD = [
    ("head_epochs", -1),
    ("head_epochs", 30),
    ("layer_decay", 0),
    ("layer_decay", 1.5),
    ("layer_decay", "much"),
    ("lr_head", -1e-3),
    ("lr_head", float("nan")),
    ("lr_head", "fast"),
    ("lr_head", True),
    ("lr_backbone", float("inf")),
    ("lr_backbone", None),
    ("weight_decay", -1),
    ("max_epochs", 0),
    ("max_epochs", 2.5),
    ("max_epochs", "30"),
    ("patience", 0),
    ("patience", None),
    ("batch_size", 1),
    ("batch_size", 8.0),
    ("block_order", "random"),
    ("warmup_epochs", -1),
    ("warmup_epochs", 1.5),
    ("blocks", -1),
    ("blocks", 1.5),
    ("blocks", "most"),
    ("unfreeze_every", 0),
    ("unfreeze_every", 2.5),
    ("schedule", "linear"),
    ("schedule", ["cosine"]),
    ("gradient_clip_norm", 0),
    ("gradient_clip_norm", float("nan")),
    ("gradient_clip_norm", "1"),
]


class TestBadFields:
    @pytest.mark.parametrize(("field", "value"), BAD)
    def test_one_sentence_names_strategy_field_and_value(self, field, value):
        with pytest.raises(InputError) as caught:
            strategy_from("mine", {field: value})
        sentence = str(caught.value)
        assert sentence.startswith(f"strategy 'mine': {field} is {value!r}; give ")
        assert sentence.endswith(".")
        assert "\n" not in sentence

    @pytest.mark.parametrize("field", ["lr", "name"])
    def test_a_field_that_is_none_is_named_beside_those_that_are(self, field):
        with pytest.raises(InputError, match=rf"strategy 'mine': no such field '{field}'; the fields are .*lr_head"):
            strategy_from("mine", {field: 1})

    def test_good_fields_are_taken(self):
        expected = Strategy(name="mine", lr_head=0.1, blocks=2, schedule="cosine")
        assert strategy_from("mine", {"lr_head": 0.1, "blocks": 2, "schedule": "cosine"}) == expected
