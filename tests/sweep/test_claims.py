"""The study's claims in worlds where each is true, false, or not to be told, and on sweeps with anything missing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from animefer_core.config import Streams, TrialConfig
from animefer_core.data.catalog import CatalogImage, Duplicates
from animefer_core.data.split import Division, Split, SplitFile
from animefer_core.record import Predictions, TrialRecord
from animefer_core.training.strategies import STUDY
from sweep import claims as room
from sweep.claims import CLAIMS, COLUMNS, claims
from sweep.evidence import GRID, LP, PG, PT, RESNET18, RESNET50, VIT_B, VIT_S
from sweep.frames import PlannedTrial, Sweep, read_sweep
from sweep.matrices import paired
from sweep.published import numbers_of_claims, table
from tests.sweep.records import EMOTIONS, Plan, metrics, plant

FT = "full"
ANGRY, EMBARRASSED, HAPPY, PSYCHO, SAD, SCARED = range(6)
SEEDS = (42, 1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class World:
    """What a planted sweep's models say; every table is (true classes, predicted classes), each row adding up to 1."""

    per_class: int
    """Test images of every class, and validation images."""
    confusions: Mapping[tuple[str, str], np.ndarray]
    sureness: Mapping[tuple[str, str], float]
    """By how much the predicted class's logit stands out."""
    seconds: Mapping[tuple[str, str], float]
    """Per epoch."""
    validation_lead: float = 0.0
    """Validation accuracy less test accuracy."""
    late_gain: float = 0.0
    """What the probes' validation accuracy gains, by their last epoch, on epoch 12."""
    spread: float = 0.01
    """How far an image moves in its class's order of difficulty from one trial to another; 1 leaves no order."""


def confusion(recalls: np.ndarray, favourites: Mapping[int, tuple[int, float]] | None = None) -> np.ndarray:
    """Return a table of recalls whose errors are spread evenly, save for a share that has one target: class -> …"""
    size = len(recalls)
    found = np.zeros((size, size))
    for true, recall in enumerate(recalls):
        share = np.ones(size) / (size - 1)
        share[true] = 0
        target, weight = (favourites or {}).get(true, (0 if true else 1, 1 / (size - 1)))
        share *= (1 - weight) / (1 - 1 / (size - 1))
        share[target] = weight
        found[true] = (1 - recall) * share
        found[true, true] = recall
    return found


def guesses(table: np.ndarray, labels: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Return predicted classes: of every class, the easy images are right and the hard ones go where the table says."""
    found = np.empty_like(labels)
    for true in range(len(table)):
        places = np.flatnonzero(labels == true)
        order = [true, *(each for each in range(len(table)) if each != true)]
        easiness = (np.arange(places.size) + 0.5) / places.size
        moved = (easiness + rng.normal(0, spread, places.size)) % 1 if spread < 1 else rng.random(places.size)
        found[places] = np.take(order, np.searchsorted(table[true, order].cumsum()[:-1], moved))
    return found


def logits(predicted: np.ndarray, sureness: float, rng: np.random.Generator) -> np.ndarray:
    found = rng.normal(0, 0.05, (predicted.size, len(EMOTIONS)))
    found[np.arange(predicted.size), predicted] += sureness
    return found.astype(np.float32)


def sweep_of(world: World) -> Sweep:
    """Return a complete sweep of the study's grid in memory, five seeds."""
    parts = ("train", "validation", "test")
    images = tuple(
        CatalogImage(path=f"{name}/{part}_{n}.png", label=name, sha256=f"{name} {part} {n}", part=part)
        for part in parts
        for name in EMOTIONS
        for n in range(1 if part == "train" else world.per_class)
    )
    given = tuple(str(image.part) for image in images)
    configs = [config_of(model, strategy, seed) for model, strategy in GRID for seed in SEEDS]
    planned = tuple(
        PlannedTrial(
            trial_id=c.trial_id, model=c.model, strategy=c.strategy.name, seed=c.seed, arm="all", split_digest="s"
        )
        for c in configs
    )
    one = Division(splits=(Split(parts=given, digest="s"),))
    return Sweep(
        name="planted",
        split_file=SplitFile(
            classes=EMOTIONS,
            images=images,
            images_digest="i",
            splits={"s": given},
            divisions=(one,),
            skipped=(),
            duplicates=Duplicates(),
        ),
        division=one,
        planned=planned,
        fingerprint={},
        calls=(),
        records=tuple(record_of(world, config, given) for config in configs),
        set_aside=(),
        tested_twice=(),
    )


def config_of(model: str, strategy: str, seed: int) -> TrialConfig:
    streams = Streams(init=seed, order=seed, augmentation=seed)
    return TrialConfig(model=model, strategy=STUDY[strategy], streams=streams, split_digest="s")


def record_of(world: World, config: TrialConfig, parts: tuple[str, ...]) -> TrialRecord:
    pair = (config.model, config.strategy.name)
    rng = np.random.default_rng([GRID.index(pair), config.seed])
    labels = np.repeat(np.arange(len(EMOTIONS)), world.per_class)
    there = world.confusions[pair]
    easier = np.clip(np.diag(there) + world.validation_lead, 0, 1)
    validation, test = (
        logits(guesses(each, labels, world.spread, rng), world.sureness[pair], rng)
        for each in (confusion(easier), there)
    )
    rows = {part: np.flatnonzero(np.asarray(parts) == part) for part in ("validation", "test")}
    return TrialRecord(
        trial_id=config.trial_id,
        model=config.model,
        strategy=config.strategy.name,
        seed=config.seed,
        arm="all",
        status="completed",
        config=config.as_dict(),
        split_digest="s",
        weights_digest="w",
        epochs_run=20,
        history=[epoch_of(world, epoch, world.seconds[pair], rng) for epoch in range(1, 21)],
        validation=metrics(validation, labels, EMOTIONS),
        test=metrics(test, labels, EMOTIONS),
        predictions=Predictions(
            validation_logits=validation,
            validation_labels=labels,
            validation_index=rows["validation"],
            test_logits=test,
            test_labels=labels,
            test_index=rows["test"],
        ),
    )


def epoch_of(world: World, epoch: int, seconds: float, rng: np.random.Generator) -> dict[str, Any]:
    late = world.late_gain * max(0, epoch - 12) / 8
    accuracy = 0.5 + late + rng.normal(0, 0.02 * world.spread)
    return {"epoch": epoch, "validation_accuracy": accuracy, "seconds": seconds + rng.normal(0, 0.5 * world.spread)}


def recalls(accuracy: float, **others: float) -> np.ndarray:
    """Return recalls of all classes, some of them given, whose mean is the accuracy."""
    found = np.full(len(EMOTIONS), np.nan)
    for name, value in others.items():
        found[{"angry": ANGRY, "happy": HAPPY, "psycho": PSYCHO}[name]] = value
    found[np.isnan(found)] = (len(EMOTIONS) * accuracy - np.nansum(found)) / np.isnan(found).sum()
    return found


def true_world() -> World:
    """All twenty claims hold, by margins that 200 images a class show."""
    accuracy = {
        **{(RESNET18, LP): 0.607, (RESNET50, LP): 0.60, (VIT_B, LP): 0.60, (VIT_S, LP): 0.593},
        **{(RESNET18, each): 0.78 for each in (PT, FT, PG)},
        **{(RESNET50, each): 0.77 for each in (PT, FT, PG)},
        **{(VIT_B, PT): 0.74, (VIT_B, FT): 0.78, (VIT_B, PG): 0.86},
        **{(VIT_S, PT): 0.74, (VIT_S, FT): 0.83, (VIT_S, PG): 0.66},
    }
    psycho = {pair: min(0.995, value + 0.19) for pair, value in accuracy.items()}
    given = {pair: {"angry": value - 0.02} for pair, value in accuracy.items()}
    given |= {(VIT_B, FT): {"angry": 0.80}, (VIT_B, PG): {"angry": 0.66, "happy": 0.8}}
    errors = {
        pair: {
            ANGRY: (SCARED, 0.7),
            EMBARRASSED: (HAPPY, 0.7 if pair[1] == LP else 0.1),
            HAPPY: (EMBARRASSED, 0.95 if pair == (VIT_B, PG) else 0.05),
        }
        for pair in GRID
    }
    return World(
        per_class=200,
        confusions={
            pair: confusion(recalls(accuracy[pair], psycho=psycho[pair], **given[pair]), errors[pair]) for pair in GRID
        },
        sureness={pair: (14.0 if pair == (VIT_B, PG) else 3.0) if pair[0] == VIT_B else 30.0 for pair in GRID},
        seconds={pair: 10.0 if pair == (RESNET18, PT) else 20.0 for pair in GRID},
        validation_lead=-0.12,
    )


def false_world() -> World:
    """All twenty claims are wrong, by margins that 200 images a class show."""
    base = {RESNET18: 0.80, RESNET50: 0.70, VIT_S: 0.60, VIT_B: 0.50}
    gains = {
        **{(model, strategy): gain for model in (RESNET18, RESNET50) for strategy, gain in ((FT, 0.08), (PG, 0.04))},
        **{(VIT_B, PG): -0.08, (VIT_S, PT): -0.04, (VIT_S, PG): 0.04},
    }
    accuracy = {pair: base[pair[0]] + gains.get(pair, 0.0) for pair in GRID}
    psycho = {pair: value - 0.1 for pair, value in accuracy.items()} | {(VIT_B, LP): 0.45, (VIT_B, PG): 0.25}
    angry = accuracy | {(VIT_B, FT): 0.35, (VIT_B, PG): 0.55}
    errors = {
        pair: {
            ANGRY: (SCARED, 0.25) if pair == (VIT_B, FT) else (SAD, 0.95),
            EMBARRASSED: (HAPPY, 0.9 if pair == (VIT_B, PG) else 0.05),
            HAPPY: (EMBARRASSED, 0.7),
        }
        for pair in GRID
    }
    return World(
        per_class=200,
        confusions={
            pair: confusion(recalls(accuracy[pair], psycho=psycho[pair], angry=angry[pair]), errors[pair])
            for pair in GRID
        },
        sureness={pair: 12.0 if pair == (VIT_B, FT) else 2.0 for pair in GRID},
        seconds={pair: 20.0 if pair == (RESNET18, PT) else 10.0 for pair in GRID},
        validation_lead=0.05,
        late_gain=0.1,
    )


def open_world() -> World:
    """No claim can be told: twelve images a class that trials agree on by chance alone."""
    level = {RESNET18: 0.68, RESNET50: 0.58, VIT_B: 0.62, VIT_S: 0.6}
    accuracy = {pair: level[pair[0]] + (0.06 if pair[1] != LP and pair[0] != RESNET18 else 0.0) for pair in GRID}
    accuracy[RESNET18, LP] = 0.72
    return World(
        per_class=12,
        confusions={pair: confusion(recalls(accuracy[pair], psycho=0.9)) for pair in GRID},
        sureness=dict.fromkeys(GRID, 2.0),
        seconds={pair: 10.0 if pair in ((RESNET18, LP), (RESNET18, PT)) else 30.0 for pair in GRID},
        validation_lead=-0.042,
        late_gain=0.02,
        spread=1.0,
    )


WORLDS: Mapping[str, Callable[[], World]] = {
    "supported": true_world,
    "contradicted": false_world,
    "undecided": open_world,
}
NAMES = [f"C{number}" for number in range(1, 21)]


@cache
def planted(verdict: str) -> Sweep:
    return sweep_of(WORLDS[verdict]())


@cache
def judged(verdict: str) -> pd.DataFrame:
    return claims(planted(verdict), paired(planted(verdict))).set_index("claim")


@pytest.mark.parametrize("verdict", WORLDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_claim_gets_the_verdict_of_its_world(verdict, name):
    row = judged(verdict).loc[name]
    assert row["verdict"] == verdict, row["reason"]


@pytest.mark.parametrize("verdict", WORLDS)
def test_the_table_has_twenty_claims_in_order_and_every_column(verdict):
    assert ["claim", *judged(verdict).columns] == COLUMNS
    assert judged(verdict).index.tolist() == NAMES


@pytest.mark.parametrize("verdict", WORLDS)
def test_estimates_lie_in_their_intervals(verdict):
    found = judged(verdict).dropna(subset=["low", "high"])
    assert len(found) > 10
    assert (found["low"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["high"]).all()


def test_claims_by_interval_are_more_than_their_estimates_can_tell():
    """In the world that tells nothing, the intervals are wide and not missing."""
    by_interval = [claim.name for claim in CLAIMS if claim.parts is not None]
    assert judged("undecided").loc[by_interval, ["low", "high"]].notna().all(axis=None)


def test_the_same_sweep_gives_the_same_table():
    again = claims(planted("undecided"), paired(planted("undecided"))).set_index("claim")
    pd.testing.assert_frame_equal(again, judged("undecided"))


def accuracies(sweep: Sweep) -> pd.Series:
    return sweep.trials.groupby(["model", "strategy"])["accuracy"].mean()


def gain(sweep: Sweep, model: str) -> float:
    """Return a model's best strategy, by validation, less its linear probe, in points."""
    tuned = sweep.trials[(sweep.trials["model"] == model) & (sweep.trials["strategy"] != LP)]
    best = tuned.groupby("strategy")["validation_accuracy"].mean().idxmax()
    return float(100 * (accuracies(sweep)[model, best] - accuracies(sweep)[model, LP]))


@pytest.mark.parametrize("verdict", WORLDS)
def test_c2_is_the_difference_of_mean_gains(verdict):
    sweep = planted(verdict)
    expected = (gain(sweep, VIT_B) + gain(sweep, VIT_S) - gain(sweep, RESNET18) - gain(sweep, RESNET50)) / 2
    assert judged(verdict).loc["C2", "estimate"] == pytest.approx(expected)


@pytest.mark.parametrize("verdict", WORLDS)
def test_c3_shows_the_difference_to_the_studys_next(verdict):
    means = accuracies(planted(verdict))
    assert judged(verdict).loc["C3", "estimate"] == pytest.approx(100 * (means[VIT_B, PG] - means[VIT_S, FT]))


def test_c14_shows_the_smallest_gain():
    smallest = min(gain(planted("supported"), model) for model in (RESNET18, RESNET50, VIT_B, VIT_S))
    assert judged("supported").loc["C14", "estimate"] == pytest.approx(smallest)


@pytest.mark.parametrize("verdict", WORLDS)
def test_c12_is_the_difference_of_losses(verdict):
    losses = planted(verdict).trials.groupby(["model", "strategy"])["loss"].mean()
    assert judged(verdict).loc["C12", "estimate"] == pytest.approx(losses[VIT_B, PG] - losses[VIT_B, FT], rel=1e-5)


@pytest.mark.parametrize("verdict", WORLDS)
def test_c16_is_the_mean_of_test_less_validation(verdict):
    trials = planted(verdict).trials
    expected = 100 * (trials["accuracy"] - trials["validation_accuracy"]).mean()
    assert judged(verdict).loc["C16", "estimate"] == pytest.approx(expected)


def test_c16_is_a_claim_of_a_size():
    """Test is surely above validation, and not surely by 4.2 points."""
    row = judge(sweep_of(replace(true_world(), validation_lead=-0.08))).loc["C16"]
    assert row["verdict"] == "undecided"
    assert 0 < row["low"] < 4.2 < row["high"]


@pytest.mark.parametrize("verdict", WORLDS)
def test_c9_is_the_difference_of_the_probes_rates(verdict):
    counts = (
        planted(verdict).confusion.query("strategy == 'linear_probe'").groupby(["true", "predicted"])["count"].sum()
    )
    there, back = (counts[a, b] / counts[a].sum() for a, b in (("Embarrassed", "Happy"), ("Happy", "Embarrassed")))
    assert judged(verdict).loc["C9", "estimate"] == pytest.approx(100 * (there - back))


@pytest.mark.parametrize("verdict", WORLDS)
def test_c19_is_a_share_of_the_counted_errors(verdict):
    errors = (
        planted(verdict).confusion.query("true == 'Angry' and predicted != 'Angry'").groupby("predicted")["count"].sum()
    )
    share = (errors["Scared"] + errors["Psycho-Crazy"]) / errors.sum()
    assert judged(verdict).loc["C19", "estimate"] == pytest.approx(share)


def without(sweep: Sweep, gone: Callable[[TrialRecord], bool]) -> Sweep:
    """Return the sweep as if some trials had never been asked for."""
    lost = {record.trial_id for record in sweep.records if gone(record)}
    return replace(
        sweep,
        records=tuple(each for each in sweep.records if each.trial_id not in lost),
        planned=tuple(each for each in sweep.planned if each.trial_id not in lost),
    )


def changed(sweep: Sweep, change: Callable[[TrialRecord], TrialRecord]) -> Sweep:
    return replace(sweep, records=tuple(change(record) for record in sweep.records))


def judge(sweep: Sweep) -> pd.DataFrame:
    return claims(sweep, paired(sweep)).set_index("claim")


def not_testable(found: pd.DataFrame) -> set[str]:
    return set(found.index[found["verdict"] == "not testable here"])


@cache
def without_vit_b() -> pd.DataFrame:
    return judge(without(planted("supported"), lambda record: record.model == VIT_B))


def test_a_missing_model_leaves_the_claims_that_do_not_speak_of_it():
    assert set(NAMES) - not_testable(without_vit_b()) == {"C5", "C15"}


def test_a_missing_model_is_named():
    reasons = without_vit_b().loc["C6", "reason"]
    assert reasons == "no completed trial of vit_b_16"


def test_a_missing_configuration_is_named():
    found = judge(without(planted("undecided"), lambda r: (r.model, r.strategy) == (VIT_S, PG)))
    assert found.loc["C15", "reason"] == "no completed trial of vit_s_16/progressive"


@cache
def renamed(old: str, new: str) -> Sweep:
    """Return a planted sweep with a class by another name."""
    sweep = planted("undecided")
    classes = tuple(new if each == old else each for each in sweep.classes)
    images = tuple(replace(each, label=new) if each.label == old else each for each in sweep.split_file.images)
    return replace(sweep, split_file=replace(sweep.split_file, classes=classes, images=images))


def test_a_missing_class_leaves_the_claims_that_do_not_speak_of_it():
    found = judge(renamed("Angry", "Furious"))
    assert not_testable(found) == {"C11", "C19"}
    assert found.loc["C19", "reason"] == "no test image of the class Angry"


def test_class_names_are_read_whatever_their_case_and_separators():
    assert not_testable(judge(renamed("Psycho-Crazy", "psycho_crazy"))) == set()


def test_fewer_claims_share_the_error_among_themselves():
    few, all_of_them = without_vit_b().loc["C5", "interval"], judged("supported").loc["C5", "interval"]
    levels = [float(re.search(r"([\d.]+) % simultaneous", words).group(1)) for words in (few, all_of_them)]
    assert levels == [pytest.approx(95.0), pytest.approx(100 - 5 * 7 / 15, abs=0.01)]


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.sampled_from(["accuracy", "loss", "recall"]), min_size=1), min_size=1
    )
)
def test_the_shares_of_a_family_add_up_to_five_percent(keys):
    assert sum(room._shares(keys).values()) == pytest.approx(0.05)


@cache
def one_seed() -> pd.DataFrame:
    return judge(without(planted("supported"), lambda record: record.seed != 42))


def test_one_seed_decides_nothing():
    assert set(one_seed()["verdict"]) == {"undecided"}
    assert one_seed()["reason"].str.contains("one seed").all()


def test_one_seed_still_has_intervals_of_the_test_images():
    contrasts = one_seed()[one_seed()["interval"].str.contains("contrast")]
    assert len(contrasts) == 11
    assert contrasts["interval"].str.endswith("test images alone").all()
    assert (contrasts["low"] < contrasts["high"]).all()


def test_two_seeds_give_c1_no_interval():
    found = judge(without(planted("supported"), lambda record: record.seed not in (42, 1)))
    assert found.loc["C1", "verdict"] == "undecided"
    assert "three seeds" in found.loc["C1", "reason"]


def test_a_configuration_with_too_few_seeds_leaves_its_claims_undecided():
    gone = {(VIT_S, PG, seed) for seed in SEEDS[1:]}
    sweep = planted("supported")
    kept = tuple(r for r in sweep.records if (r.model, r.strategy, r.seed) not in gone)
    found = judge(replace(sweep, records=kept))
    assert found.loc["C15", "verdict"] == "undecided"
    assert found.loc["C15", "reason"] == "too few seeds of vit_s_16/progressive are those of the others"


def test_predictions_from_elsewhere_have_no_training_to_speak_of():
    found = judge(changed(planted("undecided"), lambda record: replace(record, history=[])))
    assert not_testable(found) == {"C13", "C20"}


def test_predicted_classes_alone_have_no_loss_to_speak_of():
    def hush(record: TrialRecord) -> TrialRecord:
        return replace(record, environment={"probabilities": False})

    found = judge(changed(planted("undecided"), hush))
    assert not_testable(found) == {"C12", "C17"}
    assert found.loc["C12", "reason"] == "predicted classes alone have neither loss nor calibration"


def test_without_validation_no_best_strategy_can_be_picked():
    def forget(record: TrialRecord) -> TrialRecord:
        none = {
            "validation_logits": np.empty((0, 6), np.float32),
            "validation_labels": np.empty(0, np.int64),
            "validation_index": np.empty(0, np.int64),
        }
        return replace(record, validation={}, predictions=replace(record.predictions, **none))

    assert not_testable(judge(changed(planted("undecided"), forget))) == {"C2", "C7", "C14", "C16"}


def test_a_probe_that_was_cut_before_epoch_12_tells_nothing_of_what_follows():
    def cut(record: TrialRecord) -> TrialRecord:
        return replace(record, config=dict(record.config) | {"epochs_cap": 12}, history=record.history[:12])

    found = judge(changed(planted("undecided"), cut))
    assert not_testable(found) == {"C20"}
    assert "more than 12 epochs" in found.loc["C20", "reason"]


def test_a_probe_that_stopped_by_itself_has_settled():
    found = judge(changed(planted("undecided"), lambda record: replace(record, history=record.history[:9])))
    assert found.loc["C20", ["estimate", "verdict"]].tolist() == [0.0, "supported"]


def test_identical_predictions_decide_nothing():
    """Neither an image nor a seed ever differs, and every answer is right: no spread to judge by."""
    right = confusion(np.ones(6))
    world = replace(open_world(), confusions=dict.fromkeys(GRID, right), validation_lead=0.0, spread=0.0)
    found = judge(sweep_of(world))
    of_answers = ["C2", "C3", "C4", "C5", "C6", "C9", "C10", "C11", "C14", "C15", "C16", "C19"]
    assert set(found.loc[of_answers, "verdict"]) == {"undecided"}
    assert found.loc[of_answers, "reason"].str.startswith("too little varies").all()


def test_no_completed_trial_leaves_nothing_to_test():
    found = judge(replace(planted("undecided"), records=()))
    assert not_testable(found) == set(NAMES)
    assert found.loc["C1", "reason"] == "no completed trial of resnet18, resnet50, vit_b_16 and 1 more"


MODELS, STRATEGIES = (RESNET18, RESNET50, VIT_B, VIT_S), (LP, PT, FT, PG)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    models = draw(st.lists(st.sampled_from([*MODELS, "vit_tiny_patch16_224"]), min_size=1, unique=True))
    strategies = draw(st.lists(st.sampled_from(STRATEGIES), min_size=1, unique=True))
    seeds = draw(st.sampled_from([(42,), (42, 1), (42, 1, 2)]))
    classes = draw(st.sampled_from([EMOTIONS, EMOTIONS[:4], ("Angry", "Scared", "Psycho-Crazy"), ("cat", "dog")]))
    trial = st.tuples(st.sampled_from(models), st.sampled_from(strategies), st.sampled_from(seeds))
    trials = st.lists(trial, max_size=3)
    per_class = draw(st.sampled_from([(3, 2, 4), (2, 1, 1)]))
    single = draw(st.lists(st.sampled_from(classes[1:]), max_size=2))
    n_images = sum(per_class) * len(classes)
    grouped = draw(st.booleans()) and not single
    return Plan(
        models=models,
        strategies=strategies,
        seeds=seeds,
        classes=classes,
        per_class=per_class,
        counts={name: (2, 1, draw(st.integers(0, 1))) for name in single},
        epochs=draw(st.sampled_from([3, 14])),
        failed=draw(trials),
        missing=draw(trials),
        groups=[f"g{place // 2}" for place in range(n_images)] if grouped else None,
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans())
@example(Plan(models=MODELS, strategies=STRATEGIES, per_class=(2, 1, 1)))
@example(Plan(models=MODELS, strategies=STRATEGIES, per_class=(2, 1, 3), counts={"Angry": (2, 1, 0)}, seeds=(42, 1)))
@example(Plan(models=MODELS, strategies=STRATEGIES, classes=("Angry", "Scared", "Psycho-Crazy"), epochs=14))
def test_every_sweep_that_can_be_read_has_twenty_verdicts(tmp_path_factory, plan):
    sweep = read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))
    found = claims(sweep, paired(sweep))
    assert found["claim"].tolist() == NAMES
    assert set(found["verdict"]) <= {"supported", "contradicted", "undecided", "not testable here"}
    assert (found["reason"] != "").all()
    complete = set(GRID) <= {(each.model, each.strategy) for each in sweep.configurations if each.records}
    assert complete or found.set_index("claim").loc["C3", "verdict"] == "not testable here"
    if len(plan.seeds) == 1:
        assert set(found["verdict"]) <= {"undecided", "not testable here"}


def test_the_heading_says_whose_data_these_are():
    assert room.HEADING == "The study's claims on these data"
    assert "neither confirms nor refutes" in room.CAUTION


def numbers(name: str) -> list[float]:
    """Return the numbers of a claim's `study_value`, in order."""
    text = re.sub(r"(ViT-[BS]/16|ResNet-\d+|F1)", "", numbers_of_claims()[name]["study_value"])
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


@cache
def published() -> pd.DataFrame:
    return table(2).set_index(["model", "strategy"])


def accuracy(model: str, strategy: str) -> float:
    return float(published().loc[(model, strategy), "accuracy"])


def best_gain(model: str) -> float:
    return float(published().loc[model, "accuracy"].max()) - accuracy(model, LP)


def span(level: str) -> float:
    return float(np.ptp(published()["accuracy"].groupby(level).mean()))


def printed(name: str, arithmetic: list[float], digits: int) -> bool:
    """Whether a claim's numbers are those of the tables, rounded (half a unit either way, as printed)."""
    return np.allclose(numbers(name), arithmetic, rtol=0, atol=0.5 * 10**-digits + 1e-9)


def test_c1_is_what_table_2_says():
    assert printed("C1", [span("strategy"), span("model")], 2)


def test_c2_is_what_table_2_says():
    families = [(best_gain(a) + best_gain(b)) / 2 for a, b in ((VIT_B, VIT_S), (RESNET18, RESNET50))]
    assert printed("C2", families, 2)


def test_c3_is_what_table_2_says():
    first, second = published()["accuracy"].nlargest(2).items()
    assert (first[0], second[0]) == ((VIT_B, PG), (VIT_S, FT))
    assert printed("C3", [first[1], first[1] - second[1]], 2)


def test_c4_is_what_table_2_says():
    assert printed("C4", [np.ptp([accuracy(model, LP) for model in MODELS])], 2)


def test_c5_is_what_table_2_says():
    leads = [accuracy(m, PT) - accuracy(m, other) for m in (RESNET18, RESNET50) for other in (FT, PG)]
    assert printed("C5", leads, 2)


def test_c6_is_what_table_2_says():
    leads = [np.diff(published().loc[model, "accuracy"].nsmallest(4).iloc[2:])[0] for model in (VIT_B, VIT_S)]
    assert printed("C6", leads, 2)


def test_c7_is_what_table_2_says():
    probes = published()["accuracy"].xs(LP, level="strategy")
    best = published()["accuracy"].groupby("model").max()
    assert printed("C7", [probes.corr(best, method="spearman")], 1)


def test_c8_is_what_table_3_says():
    scores = table(3).set_index(["model", "training"]).drop(columns="macro average")
    assert set(scores.idxmax(axis=1)) == {"Psycho-Crazy"}
    assert printed("C8", [scores["Psycho-Crazy"].min(), scores["Psycho-Crazy"].max()], 2)


def test_c12_is_what_table_2_says():
    assert printed("C12", [published().loc[(VIT_B, each), "test_loss"] for each in (PG, FT)], 3)


def test_c13_is_what_table_2_says():
    row = published().loc[(RESNET18, PT)]
    assert printed("C13", [row["accuracy"], row["seconds_per_epoch"]], 2)


def test_c14_is_what_table_2_says():
    gains = [best_gain(model) for model in MODELS]
    assert printed("C14", [min(gains), max(gains)], 2)


def test_c15_is_what_table_2_says():
    own = accuracy(VIT_S, PG)
    assert printed("C15", [own, accuracy(VIT_S, FT) - own, own - accuracy(VIT_S, PT)], 2)


def test_c17_is_what_table_2_says():
    assert printed("C17", published()["test_loss"].xs(LP, level="strategy").nsmallest(2).tolist(), 3)


def test_table_2_bears_out_c17_under_the_linear_probe_alone():
    lowest = published()["test_loss"].unstack().idxmin()
    assert lowest.index[lowest == VIT_B].tolist() == [LP]
    assert "under the linear probe only" in numbers_of_claims()["C17"]["study_note"]


def test_the_studys_probes_were_still_improving_after_epoch_12():
    probe = table(1).set_index("strategy").loc[LP]
    assert published()["epochs_run"].xs(LP, level="strategy").min() - probe["patience"] > 12


def test_tables_2_and_3_are_not_of_the_same_runs():
    scores = table(3).set_index(["model", "training"]).drop(columns="macro average").mean(axis=1)
    note = numbers_of_claims()["C8"]["study_note"]
    assert f"{scores[RESNET50, 'linear_probe']:.3f} in one" in note
    assert f"{published().loc[(RESNET50, LP), 'f1_macro']:.4f} in the other" in note


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_table_1_is_what_the_presets_train(strategy):
    row = table(1).set_index("strategy").loc[strategy].dropna()
    assert {name: getattr(STUDY[strategy], name) for name in row.index} == row.to_dict()


@pytest.mark.parametrize("field", ["study_value", "study_note"])
def test_the_table_shows_the_studys_side(field):
    published = [entry[field] for entry in numbers_of_claims().values()]
    assert judged("supported")[field].tolist() == published
