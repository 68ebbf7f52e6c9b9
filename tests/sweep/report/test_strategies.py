"""What the report says of the strategies themselves."""

from dataclasses import replace

import pandas as pd
import pytest

from animefer_core.training.strategies import BEYOND, STUDY
from sweep.frames import read_sweep
from sweep.report.strategies import strategies, strategies_in_words, what_differs
from tests.sweep.records import Plan, plant


def table(*given, cap=None):
    return pd.DataFrame([{**vars(each), "strategy": each.name, "epochs_cap": cap} for each in given], dtype=object)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    plan = Plan(strategies=("linear_probe", "partial", "full", "progressive"), epochs=3)
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))


def test_a_row_a_strategy_is_what_was_trained_by(sweep):
    rows = strategies(sweep).set_index("strategy")
    assert rows["lr_backbone"].to_dict() == {name: STUDY[name].lr_backbone for name in STUDY}
    assert rows["max_epochs"].to_dict() == {name: STUDY[name].max_epochs for name in STUDY}
    assert set(rows["epochs_cap"]) == {3}


def test_what_differs_beside_what_trains_is_named_with_its_values():
    told = what_differs(table(*STUDY.values()))
    assert "the rate of the backbone (0.0001 for partial and progressive, 1e-05 for full)" in told
    assert "the schedule (constant for linear_probe, partial and progressive, cosine for full)" in told
    assert "weight decay" not in told
    assert "limited" not in told


def test_a_backbone_that_never_trains_has_no_rate_to_differ():
    probe = replace(STUDY["linear_probe"], lr_backbone=0.5)
    assert "backbone" not in what_differs(table(probe, STUDY["partial"]))
    assert strategies_in_words(table(probe))["rate of the backbone"].tolist() == [""]


def test_strategies_that_differ_in_what_trains_alone_are_said_to():
    partial = STUDY["partial"]
    told = what_differs(table(partial, replace(partial, name="two", blocks=2)))
    assert told == "The strategies differ in what trains and for how long."


def test_a_limit_on_the_epochs_is_told_beside_what_the_strategies_have():
    told = what_differs(table(STUDY["partial"], STUDY["progressive"], cap=15))
    assert told.endswith("Epochs were limited to 15 here, of 30 to 50 that the strategies have.")
    assert "limited" not in what_differs(table(STUDY["partial"], cap=30))


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (STUDY["linear_probe"], "head"),
        (STUDY["partial"], "head and 1 block"),
        (STUDY["full"], "everything"),
        (STUDY["progressive"], "head, one more block every 5 epochs"),
        (BEYOND["lp_ft"], f"head alone for {BEYOND['lp_ft'].head_epochs} epochs, then everything"),
        (replace(STUDY["partial"], blocks=2, block_order="from_stem"), "head and 2 blocks from the stem on"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_trains_is_said_in_words(strategy, words):
    assert strategies_in_words(table(strategy))["what trains"].tolist() == [words]


def test_rates_that_decay_by_layers_say_so():
    (rate,) = strategies_in_words(table(BEYOND["layer_decay"]))["rate of the backbone"]
    assert rate.endswith("× 0.75 a group of layers")


def test_every_cell_is_the_strategys_own():
    strategy = replace(
        STUDY["full"],
        lr_head=0.03,
        lr_backbone=0.004,
        weight_decay=0.05,
        batch_size=6,
        max_epochs=70,
        patience=8,
        warmup_epochs=9,
        gradient_clip_norm=10.0,
    )
    (row,) = strategies_in_words(table(strategy)).to_dict("records")
    assert row == {
        "strategy": "full",
        "what trains": "everything",
        "rate of the head": "0.03",
        "rate of the backbone": "0.004",
        "schedule": "cosine, 9 epochs of warmup",
        "epochs": "70",
        "patience": "8",
        "batch": "6",
        "weight decay": "0.05",
        "clipped at": "10.0",
    }


@pytest.mark.parametrize(("cap", "told"), [(15, "15 of 30"), (30, "30"), (40, "30"), (None, "30")])
def test_epochs_name_the_cap_where_it_cuts(cap, told):
    assert strategies_in_words(table(STUDY["partial"], cap=cap))["epochs"].tolist() == [told]


def test_a_strategy_whose_records_differ_has_a_row_each(sweep):
    edited = [
        replace(each, config={**each.config, "strategy": {**each.config["strategy"], "lr_head": 0.5}})
        if (each.strategy, each.seed) == ("full", 2)
        else each
        for each in sweep.records
    ]
    rows = strategies(replace(sweep, records=tuple(edited)))
    assert rows[rows["strategy"] == "full"]["lr_head"].tolist() == [0.001, 0.5]


def test_a_record_that_knows_no_strategy_is_passed_over(sweep):
    edited = [
        replace(each, config={**each.config, "strategy": {"name": "full", "blocks": -1}}) for each in sweep.records
    ]
    assert not len(strategies(replace(sweep, records=tuple(edited))))
    assert what_differs(strategies(replace(sweep, records=tuple(edited)))) == ""
