"""Folds, random splits, arms and shares of the training images, from planted sweeps."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from animefer_core.data.split import Division, Split
from sweep.frames import read_sweep
from sweep.report.conditions import GROWTH, of_splits
from sweep.report.curves import training_curves
from sweep.report.page import write_report
from sweep.report.spread import variance
from sweep.report.tables import all_tables
from sweep.report.views import hits_by_view
from sweep.statistics import seed_interval, sources, split_interval, total_interval
from tests.sweep.records import Plan, plant

SMALL = {"classes": ("a", "b", "c"), "per_class": (14, 6, 10), "epochs": 1}
STUDY = {"models": ("resnet18", "vit_s_16"), "strategies": ("linear_probe", "full")}


def rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    for name, value in values.items():
        table = table[table[name] == value]
    return table


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    return plant(
        tmp_path_factory.mktemp("folded"), Plan(**SMALL, **STUDY, folds=3, seeds=(1, 2, 3, 4), fold_spread=1.0)
    )


class TestFolds:
    def test_every_image_is_tested_once_a_seed(self, folded):
        outcomes = read_sweep(folded).configurations[0].outcomes
        assert outcomes.images.tolist() == list(range(90))
        assert outcomes.correct.shape == (4, 90)

    def test_a_seeds_answer_is_that_of_the_images_fold(self, folded):
        each = read_sweep(folded).configurations[0]
        record = each.of_seeds[2][1]
        part = record.predictions
        np.testing.assert_array_equal(
            each.outcomes.predicted[1, part.test_index], part.test_logits.argmax(axis=1).astype(np.int32)
        )

    def test_a_seeds_metrics_are_of_all_images(self, folded):
        each = read_sweep(folded).configurations[0]
        assert each.values("accuracy") == pytest.approx(each.outcomes.correct.mean(axis=1))
        assert {sum(row) for row in each.tests[0]["confusion"]} == {30}

    def test_total_intervals_know_of_the_folds(self, folded):
        sweep = read_sweep(folded)
        each = sweep.configurations[0]
        folds = np.argmax([np.asarray(split.parts) == "test" for split in sweep.division.splits], axis=0)
        expected = total_interval(each.outcomes.correct, folds=folds)
        row = all_tables(sweep)["summary"].iloc[0]
        assert (row["accuracy_total_ci_low"], row["accuracy_total_ci_high"]) == pytest.approx(
            (expected.low, expected.high)
        )
        without = total_interval(each.outcomes.correct)
        assert expected.high - expected.low > without.high - without.low

    def test_verdicts_know_of_the_folds(self, folded):
        sweep = read_sweep(folded)
        a, b = (each.outcomes.correct.astype(float) for each in sweep.configurations[:2])
        row = rows(all_tables(sweep)["comparisons"], metric="accuracy", family="all_pairs").iloc[0]
        without = total_interval(a - b)
        assert row["total_ci_high"] - row["total_ci_low"] > without.high - without.low

    def test_the_training_images_have_a_spread_of_their_own(self, folded):
        sweep = read_sweep(folded)
        each = sweep.configurations[0]
        expected = sources(each.outcomes.correct.astype(float), folds=sweep.folds).fold
        (row,) = rows(
            all_tables(sweep)["variance"],
            model=each.model,
            strategy=each.strategy,
            source="training images between folds",
        ).to_dict("records")
        assert (row["n"], row["sd"], row["sd_high"]) == pytest.approx((3, expected.sd, expected.high))

    def test_a_seed_that_lacks_a_fold_is_counted_nowhere(self, folded, tmp_path):
        folder = plant(tmp_path, Plan(**SMALL, **STUDY, folds=3, seeds=(1, 2, 3)))
        gone = read_sweep(folder).configurations[0].of_seeds[2][1]
        (folder / "trials" / gone.trial_id / "record.json").unlink()
        each = read_sweep(folder).configurations[0]
        assert (each.seeds, each.complete, len(each.records)) == ((1, 3), False, 6)

    def test_the_page_tells_it(self, folded):
        page = write_report(folded).read_text(encoding="utf-8")
        assert "3 folds, 100 % of the training images" in page
        assert "Standard deviation in points, median over configurations: seeds" in page
        assert "training images between folds" in page
        assert "The training images were the same in every trial" not in page


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("split"), Plan(**SMALL, **STUDY, splits=(7, 8), seeds=(1, 2, 3)))


class TestSplits:
    def test_each_is_a_condition_of_its_own(self, split):
        sweep = read_sweep(split)
        assert [each.division.name for each in sweep.conditions] == ["split 42", "split 7", "split 8"]
        assert [len(each.completed) for each in sweep.conditions] == [12, 12, 12]
        assert sweep.set_aside == ()

    def test_the_interval_over_splits_is_nadeau_and_bengios(self, split):
        sweep = read_sweep(split)
        means = [np.mean(each.configurations[0].values("accuracy")) for each in sweep.conditions]
        expected = split_interval(means, 30 / 42)
        row = all_tables(sweep)["splits"].iloc[0]
        assert (row["accuracy_mean"], row["n_splits"]) == (pytest.approx(expected.mean), 3)
        assert row["accuracy_ci_high"] == pytest.approx(min(1.0, expected.high))

    def test_the_summary_has_a_row_a_configuration_and_split(self, split):
        summary = all_tables(read_sweep(split))["summary"]
        assert summary["split"].tolist() == ["split 42"] * 4 + ["split 7"] * 4 + ["split 8"] * 4

    def test_other_tables_are_of_one_split(self, split):
        assert len(all_tables(read_sweep(split))["ranking"]) == 4

    def test_splits_and_seeds_are_told_apart(self, split):
        table = all_tables(read_sweep(split))["variance"]
        assert len(rows(table, source="splits beyond seeds")) == 4
        sd = np.mean(
            [np.var(each.configurations[0].values("accuracy"), ddof=1) for each in read_sweep(split).conditions]
        )
        assert rows(table, source="seeds within a split")["sd"].iloc[0] == pytest.approx(np.sqrt(sd))


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    plan = Plan(**SMALL, **STUDY, vary=("init", "order", "split"), seeds=(42, 1, 2))
    return plant(tmp_path_factory.mktemp("varied"), plan)


class TestArms:
    def test_the_main_tables_leave_them_out(self, varied):
        summary = all_tables(read_sweep(varied))["summary"]
        assert summary["n_seeds"].tolist() == [3, 3, 3, 3]

    def test_none_is_set_aside(self, varied):
        sweep = read_sweep(varied)
        assert (sweep.set_aside, sweep.others, len(sweep.completed)) == ((), (), 48)

    @pytest.mark.parametrize("arm", ["init", "order", "split"])
    def test_each_has_its_spread(self, varied, arm):
        sweep = read_sweep(varied)
        found = rows(all_tables(sweep)["variance"], model="vit_s_16", strategy="full", source=f"{arm} alone").iloc[0]
        values = [
            r.test["accuracy"] for r in sweep.completed if (r.model, r.strategy, r.arm) == ("vit_s_16", "full", arm)
        ]
        assert (found["n"], found["sd"]) == (3, pytest.approx(np.std(values, ddof=1)))

    def test_what_nothing_tells_apart_does_not_differ(self, varied):
        found = rows(all_tables(read_sweep(varied))["variance"], source="same seeds again")
        # Ordinary, init and order at the first seed; its split by 42 is another than the planted one.
        assert found[["n", "sd"]].to_numpy().tolist() == [[3, 0.0]] * 4

    def test_the_sum_is_of_seeds_and_split(self, varied):
        table = rows(all_tables(read_sweep(varied))["variance"], model="resnet18", strategy="full")
        sd = {name: part["sd"].iloc[0] for name, part in table.groupby("source")}
        assert sd["all seeds and the split summed"] == pytest.approx(np.hypot(sd["seeds"], sd["split alone"]))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    plan = Plan(**SMALL, **STUDY, fractions=(0.25, 0.5, 1.0), seeds=(1, 2, 3, 4))
    return plant(tmp_path_factory.mktemp("shares"), plan)


class TestShares:
    def test_the_whole_is_the_main_condition(self, shared):
        assert [each.train_fraction for each in read_sweep(shared).conditions] == [1.0, 0.25, 0.5]

    def test_the_curve_has_a_row_a_configuration_and_share(self, shared):
        table = all_tables(read_sweep(shared))["shares"]
        assert table["train_fraction"].tolist() == [0.25, 0.5, 1.0] * 4
        assert table["train_images"].tolist() == [12, 21, 42] * 4

    def test_intervals_are_those_of_the_share(self, shared):
        sweep = read_sweep(shared)
        quarter = next(each for each in sweep.conditions if each.train_fraction == 0.25).configurations[3]
        row = rows(all_tables(sweep)["shares"], model="vit_s_16", strategy="full", train_fraction=0.25).iloc[0]
        expected = total_interval(quarter.outcomes.correct)
        assert (row["accuracy_total_ci_low"], row["accuracy_total_ci_high"]) == (expected.low, expected.high)
        assert row["accuracy_ci_low"] == seed_interval(quarter.values("accuracy")).low

    def test_the_leads_growth_is_paired_by_seed_and_image(self, shared):
        sweep = read_sweep(shared)
        at = {each.train_fraction: each.configurations for each in sweep.conditions}
        leads = {
            share: (vit.outcomes.correct.astype(float) - resnet.outcomes.correct)
            for share, (_, resnet, _, vit) in at.items()
        }
        expected = total_interval(leads[1.0] - leads[0.25])
        row = rows(all_tables(sweep)["lead"], strategy="full", what=GROWTH).iloc[0]
        found = (row["lead"], row["lead_total_ci_low"], row["lead_total_ci_high"])
        assert found == pytest.approx((expected.mean, expected.low, expected.high))

    def test_all_strategies_are_their_mean(self, shared):
        table = rows(all_tables(read_sweep(shared))["lead"], what=GROWTH)
        assert table["lead"].iloc[2] == pytest.approx(table["lead"].iloc[:2].mean())

    def test_the_page_says_what_became_of_the_lead(self, shared):
        page = write_report(shared).read_text(encoding="utf-8")
        row = rows(all_tables(read_sweep(shared))["lead"], strategy="all", what=GROWTH).iloc[0]
        words = "grows" if row["lead_total_ci_low"] > 0 else "is not shown to grow or shrink"
        assert re.search(f"lead over the ResNets {words} with the data", page)
        assert "figure-shares-1" in page

    def test_without_resnets_there_is_no_lead(self, tmp_path):
        plan = Plan(**SMALL, models=("vit_s_16",), strategies=("full",), fractions=(0.5, 1.0))
        tables = all_tables(read_sweep(plant(tmp_path, plan)))
        assert (len(tables["shares"]), len(tables["lead"])) == (2, 0)


def test_one_split_and_all_images_have_none_of_these_tables(tmp_path):
    tables = all_tables(read_sweep(plant(tmp_path, Plan(**SMALL, **STUDY))))
    assert not {"splits", "shares", "lead"} & set(tables)
    assert "split" not in tables["summary"].columns


def test_under_folds_other_views_are_of_all_images(folded):
    sweep = read_sweep(folded)
    each = sweep.configurations[0]
    plain, grey = [], []
    for records in each.of_seeds.values():
        for part in (record.predictions for record in records):
            plain.append((part.test_logits.argmax(axis=1) == part.test_labels).mean())
            grey.append((part.view_logits["grey"].argmax(axis=1) == part.test_labels).mean())
    row = rows(all_tables(sweep)["views"], model=each.model, strategy=each.strategy, view="grey").iloc[0]
    # Folds of equal size, so that a mean of their means is that of all images.
    assert (row["n_seeds"], row["loss_of_accuracy"]) == (4, pytest.approx(np.mean(plain) - np.mean(grey)))


def test_under_folds_a_curve_is_over_seeds_not_trials(folded):
    sweep = read_sweep(folded)
    (drawing,) = (each for each in training_curves(sweep) if each.key == "figure-curve-0-validation-loss")
    texts = [text for trace in drawing.figure.data for text in trace.hovertext or () if "epoch 1<br>" in text]
    assert texts
    assert all(text.endswith(", 4 seeds") for text in texts)


def test_folds_take_the_place_of_one_split_once_they_are_as_far(tmp_path):
    """A folder with a finished sweep, into which one under folds writes record by record."""
    plan = Plan(**SMALL, models=("resnet18",), strategies=("full",), seeds=(1, 2))
    folder, folds = plant(tmp_path / "one", plan), plant(tmp_path / "folds", replace(plan, folds=3))
    for name, key in (("split.json", "divisions"), ("sweep.json", "planned")):
        ours, theirs = (json.loads((each / name).read_text()) for each in (folder, folds))
        ours[key] += theirs[key]
        ours["splits"] = ours.get("splits", {}) | theirs.get("splits", {})
        (folder / name).write_text(json.dumps(ours))
    main = []
    for path in sorted((folds / "trials").iterdir()):
        path.rename(folder / "trials" / path.name)
        main.append(read_sweep(folder).division.n_folds)
    assert main == [None] * 5 + [3]


def test_a_share_alone_is_told_on_the_first_screen(tmp_path):
    page = write_report(plant(tmp_path, Plan(**SMALL, **STUDY, fractions=(0.5,)))).read_text(encoding="utf-8")
    assert "split 42, 50 % of the training images" in page


def test_one_seed_tells_the_leads_growth_of_its_images_alone(tmp_path):
    plan = Plan(**SMALL, **STUDY, fractions=(0.5, 1.0), seeds=(1,))
    page = write_report(plant(tmp_path, plan)).read_text(encoding="utf-8")
    assert "is not decided, for want of seeds" in page
    assert "with the data: from" not in page


def test_splits_into_other_proportions_have_no_part_in_means_over_splits(split, tmp_path):
    """As after a call with another --test-share."""
    sweep = read_sweep(split)
    of_half = replace(sweep.others[0], division=Division(splits=(larger_test(sweep.others[0].division.splits[0]),)))
    assert [each.division.name for each in of_splits(replace(sweep, others=(of_half, sweep.others[1])))] == [
        "split 42",
        "split 8",
    ]


def larger_test(split: Split) -> Split:
    """Return the split with its validation images tested as well."""
    return replace(split, parts=tuple("test" if part == "validation" else part for part in split.parts))


def test_under_folds_intervals_of_other_views_know_of_the_folds(folded):
    sweep = read_sweep(folded)
    each = sweep.configurations[0]
    hits = hits_by_view(each)["grey"]
    expected = total_interval(hits.altered, folds=sweep.folds)
    row = rows(all_tables(sweep)["views"], model=each.model, strategy=each.strategy, view="grey").iloc[0]
    assert row["accuracy_total_ci_high"] == pytest.approx(expected.high)
    assert expected.high != pytest.approx(total_interval(hits.altered).high)


def test_means_over_splits_are_on_the_seeds_that_all_splits_have(tmp_path):
    folder = plant(tmp_path, Plan(**SMALL, **STUDY, splits=(7, 8), seeds=(1, 2, 3)))
    gone = read_sweep(folder).others[0].configurations[0].of_seeds[2][0]
    (folder / "trials" / gone.trial_id / "record.json").unlink()
    sweep = read_sweep(folder)
    row = all_tables(sweep)["splits"].iloc[0]
    values = [
        dict(zip(e.configurations[0].seeds, e.configurations[0].values("accuracy"), strict=True))
        for e in sweep.conditions
    ]
    assert (row["n_seeds"], row["n_splits"]) == (2, 3)
    assert row["accuracy_mean"] == pytest.approx(np.mean([[each[1], each[3]] for each in values]))


def test_the_summary_has_every_conditions_own_numbers(shared):
    sweep = read_sweep(shared)
    summary = all_tables(sweep)["summary"]
    for condition in sweep.conditions:
        row = rows(summary, model="vit_s_16", strategy="full", train_fraction=condition.train_fraction).iloc[0]
        (each,) = (each for each in condition.configurations if each.name == "vit_s_16/full")
        assert row["accuracy_mean"] == pytest.approx(np.mean(each.values("accuracy")))


def test_the_lead_names_its_models(shared):
    assert set(all_tables(read_sweep(shared))["lead"]["models"]) == {"vit_s_16 − resnet18"}


def test_arms_beside_folds_are_named_after_their_split(tmp_path, varied):
    sweep = read_sweep(varied)
    in_folds = read_sweep(plant(tmp_path, Plan(**SMALL, **STUDY, folds=3, seeds=(42, 1, 2))))
    table = variance(replace(in_folds, others=(sweep,)))
    assert "init alone (split 42)" in set(table["source"])
    assert "init alone" not in set(table["source"])


def test_training_images_of_a_share_are_counted_as_such(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(**SMALL, **STUDY, fractions=(0.25,))))
    assert sweep.class_counts["train"].tolist() == [4, 4, 4]
