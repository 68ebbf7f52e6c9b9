"""What the sections state, against the tables that they show."""

import re

import pytest

from sweep.claims import CAUTION, HEADING
from sweep.frames import read_sweep
from sweep.report.captions import captions
from sweep.report.gains import of_best
from sweep.report.sections import MOST_ROWS, Shown, sections
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant

ALL = [
    *("strategies", "ranking", "architecture", "differences", "power", "gains", "confusion", "misread"),
    *("calibration", "ensembles", "variance", "views", "classes", "curves", "efficiency", "data", "claims"),
]
MODELS = ("resnet18", "resnet50", "vit_b_16", "vit_s_16")
STRATEGIES = ("linear_probe", "partial", "full", "progressive")


def read(folder, **plan):
    sweep = read_sweep(plant(folder, Plan(**plan)))
    return sweep, all_tables(sweep)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """16 configurations and 5 seeds."""
    return read(tmp_path_factory.mktemp("study"), models=MODELS, strategies=STRATEGIES, seeds=(42, 1, 2, 3, 4))


@pytest.fixture(scope="module")
def found(study):
    return {section.key: section for section in sections(*study)}


def of_accuracy(found) -> list[Shown]:
    return [shown for shown in found["differences"].tables if shown.metric == "accuracy"]


def numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r"(?<!\.)\b\d+\b(?!\.\d| %)", text)]


def test_sixteen_times_five_has_every_section(found):
    assert list(found) == ALL


def test_the_ranking_names_the_set_of_the_best(study, found):
    ranking = study[1]["ranking"]
    best = ranking[ranking["in_best_set"].astype(bool)]
    finding = found["ranking"].finding
    assert numbers(finding)[:2] == [16, len(best)]
    assert all(name in finding for name in best["model"] + "/" + best["strategy"])


def test_differences_are_counted_among_the_pairs_that_were_tested(study, found):
    table = study[1]["comparisons"]
    pairs = table[(table["metric"] == "accuracy") & (table["family"] == "all_pairs")]
    decided = int((pairs["verdict"] != "undecided").sum())
    assert 0 < decided < 120
    assert f"Of 120 pairs of configurations {decided} are decided." in found["differences"].finding


def test_effects_that_are_decided_are_named(study, found):
    effects = study[1]["effects"]
    models = effects[(effects["metric"] == "accuracy") & (effects["effect"] == "model")]
    assert (models["verdict"] != "undecided").any()
    finding = found["differences"].finding.partition("n average over the strategies compared, ")[2].partition(".")[0]
    for row in models.to_dict("records"):
        sides = (row["a"], row["b"]) if row["verdict"] == "better" else (row["b"], row["a"])
        told = any(
            sides[0] in part.partition(" better than ")[0] and part.endswith(sides[1]) for part in finding.split("; ")
        )
        assert told == (row["verdict"] != "undecided")


def test_where_models_differ_in_it_verdicts_within_each_come_first(study, found):
    pairs = study[1]["comparisons"]
    within = pairs[(pairs["metric"] == "accuracy") & (pairs["family"] == "strategies_within_model")]
    decided = within[within["verdict"] != "undecided"]
    finding = found["differences"].finding
    assert finding.startswith(f"Of {len(within)} pairs of strategies within a model {len(decided)} are decided. ")
    for name in decided["model_a"].unique():
        assert f". {name}: " in finding.partition("On average")[0]


def test_models_that_answer_alike_have_no_verdicts_within_first(study):
    sweep, tables = study
    alike = tables["effects"].copy()
    alike.loc[alike["effect"] == "interaction", "verdict"] = "undecided"
    found = sections(sweep, {**tables, "effects": alike})
    assert next(each for each in found if each.key == "differences").finding.startswith("Over the models compared, ")


def test_pairs_are_shown_family_by_family_by_their_adjusted_p(found):
    families = [shown for shown in of_accuracy(found) if shown.name == "comparisons"]
    assert [len(shown.rows) for shown in families] == [120, 24, 24]
    for family in families:
        column = list(family.head).index("adjusted p")
        shown = [0.0 if row[column] == "< 0.001" else float(row[column]) for row in family.rows]
        assert shown == sorted(shown)


def test_effects_and_pairs_are_there_for_every_metric(found):
    metrics = [(shown.part, shown.metric) for shown in found["differences"].tables]
    parts = ("models and strategies", "all pairs", "strategies within a model", "models within a strategy")
    assert metrics == [(part, metric) for part in parts for metric in ("accuracy", "f1_macro", "f1_weighted", "loss")]


def test_undecided_pairs_are_those_that_power_speaks_of(study, found):
    power = study[1]["power"]
    power = power[power["verdict"] == "undecided"]
    counts = [power["seeds_needed"].notna().sum(), len(power), power["units_needed"].notna().sum()]
    assert numbers(found["power"].finding)[:3] == counts


def test_gains_are_counted_where_their_interval_excludes_nothing(study, found):
    table = study[1]["gains"]
    rows = table[table["metric"] == "accuracy"]
    above, below = (rows["total_ci_low"] > 0).sum(), (rows["total_ci_high"] < 0).sum()
    assert above > 0 < below
    finding = found["gains"].finding
    assert f"excludes 0 for {above + below} of 12 configurations ({above} above it, {below} below)" in finding
    ends = [f"{100 * end:.1f}".replace("-", "−") for end in (rows["gain"].min(), rows["gain"].max())]
    assert f"changes test accuracy by {ends[0]} to {ends[1]} points" in finding
    assert finding.endswith("These are intervals of single rows; verdicts stand under Differences.")


def test_gains_by_class_are_those_of_each_models_best_strategy(study, found):
    rows = of_best(study[1]["gains"], study[1]["summary"])
    decided = ((rows["total_ci_low"] > 0) | (rows["total_ci_high"] < 0)).sum()
    assert f"the total interval excludes 0 for {decided} of 24 rows" in found["gains"].finding.partition("F1")[2]


def test_claims_are_counted_under_their_heading_with_the_caution(study, found):
    claims = found["claims"]
    assert claims.title == HEADING
    assert CAUTION in claims.finding
    assert sum(numbers(claims.finding)[1:]) == 20
    assert len(claims.tables[0].rows) == 20


@pytest.mark.parametrize(("models", "folded"), [(("resnet18",), True), (("resnet18", "resnet50"), False)])
def test_claims_of_which_none_can_be_tested_are_folded(tmp_path, models, folded):
    strategies = ("full",) if folded else ("linear_probe", "partial", "full", "progressive")
    sweep = read_sweep(plant(tmp_path, Plan(models=models, strategies=strategies)))
    claims = sections(sweep, all_tables(sweep))
    (table, *_) = next(each for each in claims if each.key == "claims").tables
    assert table.folded == folded == all(row[2] == "not testable here" for row in table.rows)


def test_columns_of_words_are_told_from_those_of_numbers(found):
    pairs = found["differences"].tables[0]
    told = dict(zip(pairs.head, pairs.words, strict=True))
    assert told["a is"]
    assert told["b"]
    assert not told["difference"]
    assert not told["total interval"]


def test_every_section_opens_with_a_finding(found):
    assert {key: section.finding for key, section in found.items() if not section.finding.endswith(".")} == {}


def test_every_table_has_its_caption(study, found):
    under = captions(*study)
    for section in found.values():
        assert all(shown.caption == under[shown.name] for shown in section.tables)


def test_long_tables_say_how_much_is_left_out(tmp_path):
    sweep, tables = read(tmp_path, models=[f"m{number}" for number in range(11)], seeds=(1, 2, 3), per_class=(2, 2, 4))
    found = {each.key: each for each in sections(sweep, tables)}
    pairs = [shown for shown in of_accuracy(found) if shown.name == "comparisons"]
    assert [len(shown.rows) for shown in pairs] == [MOST_ROWS, 11, 2 * 11 * 10 // 2]
    assert [shown.left_out for shown in pairs] == [22 * 21 // 2 - MOST_ROWS, 0, 0]


def test_one_seed_has_no_section_that_needs_two(tmp_path):
    sweep, tables = read(tmp_path, seeds=(1,))
    found = [section.key for section in sections(sweep, tables)]
    assert found == [name for name in ALL if name not in ("ranking", "power", "ensembles", "variance")]
    assert (
        "Nothing is tested: that takes two configurations with two seeds in common."
        in captions(sweep, tables)["comparisons"]
    )


def test_one_configuration_is_compared_with_nothing(tmp_path):
    sweep, tables = read(tmp_path, models=("resnet18",), strategies=("full",))
    left_out = ("ranking", "architecture", "differences", "power", "gains")
    assert [section.key for section in sections(sweep, tables)] == [name for name in ALL if name not in left_out]


def test_without_results_there_is_nothing_to_find(tmp_path):
    plan = {"models": ("resnet18",), "strategies": ("full",), "seeds": (1,), "missing": [("resnet18", "full", 1)]}
    sweep, tables = read(tmp_path, **plan)
    assert [section.key for section in sections(sweep, tables)] == ["data", "claims"]


def test_what_left_the_families_is_not_ranked(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (1, 2, 3)]
    sweep, tables = read(tmp_path, seeds=(42, 1, 2, 3, 4), missing=missing)
    assert "Not ranked: 1 configuration, for want of seeds" in sections(sweep, tables)[1].finding


@pytest.mark.parametrize(
    ("plan", "method"),
    [({}, "moderated variances, Holm's method"), ({"models": MODELS}, "step-down max-T")],
)
def test_the_caption_names_the_correction(tmp_path, plan, method):
    assert method in captions(*read(tmp_path, **plan))["comparisons"]


def test_pairs_that_were_not_tested_are_no_undecided_ones(tmp_path):
    missing = [("resnet18", "full", seed) for seed in (1, 2, 3)]
    sweep, tables = read(tmp_path, seeds=(42, 1, 2, 3, 4), missing=missing)
    finding = next(section.finding for section in sections(sweep, tables) if section.key == "differences")
    assert (
        "No effects of models and strategies: they take two of one of them, and results on enough common seeds"
        in finding
    )
    assert "Of 3 pairs of configurations" in finding
    assert "3 could not be tested, for want of seeds in common." in finding


@pytest.mark.parametrize(
    ("models", "told"), [(("resnet18",), True), (("resnet26d",), False)], ids=["the study's", "another"]
)
def test_the_caption_of_gains_speaks_of_the_study_where_it_stands_beside_them(tmp_path, models, told):
    caption = captions(*read(tmp_path, models=models))["gains"]
    assert ("on 450 test images of its own" in caption) == told
    assert "with no correction for the number of rows" in caption


def test_a_single_seeds_gain_is_not_called_one_of_all_seeds(tmp_path):
    assert (
        "where this seed's gain over all test images of this kind lies"
        in captions(*read(tmp_path, seeds=(1,)))["gains"]
    )


def test_groups_are_what_varies_where_there_are_groups(tmp_path):
    caption = captions(*read(tmp_path, groups=[f"{name}" for name in range(6) for _ in range(17)]))["summary"]
    assert "On 30 test images in 6 groups (means are over images, intervals take the group as what is drawn)" in caption
    assert "the mean over all seeds and all groups of test images of this kind" in caption
