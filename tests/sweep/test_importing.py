import csv
import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from animefer_core.config import canonical_json
from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, read_record
from sweep.folder import check_fits
from sweep.frames import Sweep, read_sweep
from sweep.importing import certain, import_predictions, logarithms
from sweep.report.notes import notes
from sweep.report.page import write_report
from tests.sweep.exported import MODELS, SEEDS, digits, without_probabilities
from tests.sweep.records import plant

PROBABILITIES = [f"p_{digit}" for digit in range(10)]


def csv_of(table: pd.DataFrame, folder: Path, name: str = "made.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / name, index=False)
    return folder / name


def imported(table: pd.DataFrame, folder: Path) -> Path:
    import_predictions(csv_of(table, folder), folder / "out")
    return folder / "out"


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder but the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def one_test(table: pd.DataFrame, record: TrialRecord) -> pd.DataFrame:
    """Return the exported test rows of a record's trial."""
    return table[(table["model"] == record.model) & (table["seed"] == record.seed) & (table["part"] == "test")]


def words(page: Path) -> str:
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(html.unescape(text).split())


def summary_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "tables" / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = imported(digits(), tmp_path_factory.mktemp("probabilities"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def sweep(folder) -> Sweep:
    return read_sweep(folder)


@pytest.fixture(scope="module")
def classes_only(tmp_path_factory) -> Path:
    folder = imported(without_probabilities(digits()), tmp_path_factory.mktemp("classes"))
    write_report(folder)
    return folder


# ---- the numbers ----

SKLEARN = {
    "accuracy": lambda true, p: accuracy_score(true, p.argmax(axis=1)),
    "f1_macro": lambda true, p: f1_score(true, p.argmax(axis=1), average="macro"),
    "f1_weighted": lambda true, p: f1_score(true, p.argmax(axis=1), average="weighted"),
    "loss": lambda true, p: log_loss(true, p, labels=range(10)),
}


@pytest.mark.parametrize("metric", SKLEARN)
def test_a_metric_is_scikit_learns(sweep, metric):
    for record in sweep.completed:
        table = one_test(digits(), record)
        expected = SKLEARN[metric](table["label"].to_numpy(), table[PROBABILITIES].to_numpy())
        assert record.test[metric] == pytest.approx(expected, rel=1e-6)


def test_the_confusion_matrix_is_scikit_learns(sweep):
    table = one_test(digits(), sweep.completed[0])
    predicted = table[PROBABILITIES].to_numpy().argmax(axis=1)
    assert sweep.completed[0].test["confusion"] == confusion_matrix(table["label"], predicted).tolist()


def test_the_outcomes_from_which_intervals_follow_have_the_same_loss(sweep):
    each = sweep.configurations[0]
    assert each.outcomes.loss.mean(axis=1) == pytest.approx(each.values("loss"), rel=1e-6)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_weighted"])
def test_classes_alone_give_the_same_numbers_as_probabilities(sweep, classes_only, metric):
    values = [each.values(metric) for each in read_sweep(classes_only).configurations]
    assert values == [each.values(metric) for each in sweep.configurations]


def test_a_probability_of_zero_is_counted_as_scikit_learn_counts_it():
    probabilities = np.array([[0.0, 1.0], [0.5, 0.5]])
    loss = -logarithms(probabilities)[[0, 1], [0, 0]].mean()
    assert loss == pytest.approx(log_loss([0, 0], probabilities, labels=[0, 1]), rel=1e-6)


def test_a_lead_too_small_for_single_precision_is_kept():
    probabilities = np.array([[0.5 - 1e-12, 0.5 + 1e-12, 0.0]])
    assert probabilities.astype(np.float32).argmax() == 0
    assert logarithms(probabilities).argmax() == 1


def test_a_predicted_class_has_all_the_weight():
    assert certain(np.array([1, 0]), 2).tolist() == [[-np.inf, 0], [0, -np.inf]]


# ---- the folder ----


def test_every_trial_has_a_record(sweep):
    found = [(each.model, each.strategy, each.seeds) for each in sweep.configurations]
    assert found == [(model, "5_trees", SEEDS) for model in MODELS]


def test_no_record_is_set_aside(sweep):
    assert sweep.set_aside == ()


def test_the_images_digest_is_that_of_names_labels_and_parts(sweep):
    rows = {(image, str(label), part) for image, label, part in digits()[["image", "label", "part"]].to_numpy()}
    expected = hashlib.sha256(canonical_json(sorted(map(list, rows))).encode()).hexdigest()
    assert sweep.split_file.images_digest == expected


def test_a_trials_id_is_the_hash_of_its_config(sweep):
    record = sweep.completed[0]
    assert record.trial_id == hashlib.sha256(canonical_json(record.config).encode()).hexdigest()[:16]


def test_a_trials_id_does_not_depend_on_the_form_of_its_predictions(sweep, classes_only):
    ids = [record.trial_id for record in read_sweep(classes_only).completed]
    assert ids == [record.trial_id for record in sweep.completed]


def test_the_order_of_rows_and_columns_changes_no_record(tmp_path, folder):
    shuffled = digits().sample(frac=1, random_state=1).iloc[:, ::-1]
    there = contents(imported(shuffled, tmp_path) / "trials")
    assert there == contents(folder / "trials")


def test_parquet_gives_the_records_of_csv(tmp_path, folder):
    digits().to_parquet(tmp_path / "made.parquet")
    import_predictions(tmp_path / "made.parquet", tmp_path / "out")
    assert contents(tmp_path / "out" / "trials") == contents(folder / "trials")


def test_groups_are_those_of_the_file(tmp_path):
    table = digits().assign(group=lambda t: t["image"].str[-1].where(t["label"] != 3))
    sweep = read_sweep(imported(table, tmp_path))
    groups = {image.path: image.group for image in sweep.split_file.images}
    assert groups == {image: None if label == 3 else image[-1] for image, label in table[["image", "label"]].to_numpy()}


def test_the_call_is_noted_with_the_files_digest(folder):
    call = json.loads((folder / "sweep.json").read_text())["calls"][0]
    made = folder.parent / "made.csv"
    assert call["command"] == ["animefer", "import", str(made), "--out", str(folder)]
    assert call["file_sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()


# ---- once more ----


def test_the_same_file_again_changes_nothing(tmp_path):
    out = imported(digits(), tmp_path)
    before = contents(out)
    done = import_predictions(tmp_path / "made.csv", out)
    assert (done.added, done.present, contents(out)) == (0, 6, before)


def test_another_seed_is_added(tmp_path):
    out = imported(digits()[digits()["seed"] < 2], tmp_path)
    before = contents(out / "trials")
    done = import_predictions(csv_of(digits(), tmp_path), out)
    after = contents(out / "trials")
    assert (done.added, done.present) == (2, 4)
    assert {name: after[name] for name in before} == before
    assert [each.seeds for each in read_sweep(out).configurations] == [SEEDS, SEEDS]


def test_classes_alone_join_probabilities_of_the_same_images(tmp_path):
    out = imported(digits()[digits()["seed"] < 2], tmp_path)
    import_predictions(csv_of(without_probabilities(digits()[digits()["seed"] == 2]), tmp_path), out)
    assert [each.has_probabilities for each in read_sweep(out).configurations] == [False, False]
    assert {row["loss_mean"] for row in summary_of(write_report(out).parent)} == {""}


def test_a_damaged_record_is_written_anew(tmp_path):
    out = imported(digits(), tmp_path)
    path = min((out / "trials").iterdir()) / "record.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    import_predictions(tmp_path / "made.csv", out)
    assert path.read_bytes() == whole


def refused(table: pd.DataFrame, folder: Path, message: str) -> None:
    """Check that an import ends in one sentence and changes nothing."""
    before = contents(folder / "out")
    with pytest.raises(InputError, match=message):
        import_predictions(csv_of(table, folder, "more.csv"), folder / "out")
    assert contents(folder / "out") == before


def test_other_predictions_of_a_trial_are_refused_and_none_is_added(tmp_path):
    imported(digits()[digits()["seed"] < 2], tmp_path)
    table = digits().copy()
    table.loc[table["seed"] == 0, PROBABILITIES] = 0.1
    refused(table, tmp_path, r"other predictions of forest/5_trees with seed 0; choose a new folder")


def test_classes_alone_in_place_of_probabilities_are_other_predictions(tmp_path):
    imported(digits(), tmp_path)
    refused(without_probabilities(digits()), tmp_path, "other predictions of forest/5_trees with seed 0")


def test_other_images_are_refused(tmp_path):
    imported(digits(), tmp_path)
    refused(digits().assign(image="new_" + digits()["image"]), tmp_path, "predictions of other images, labels or parts")


def test_other_groups_are_refused(tmp_path):
    imported(digits(), tmp_path)
    refused(digits().assign(group="x"), tmp_path, r"image 'test_0' has group None there and 'x' here")


def test_other_classes_are_refused(tmp_path):
    imported(digits(), tmp_path)
    refused(digits().assign(p_ten=0.0), tmp_path, r"has the classes 0, .*, 9, ten, and the folder has 0, .*, 9; choose")


def test_a_sweeps_folder_is_refused(tmp_path):
    plant(tmp_path / "out")
    refused(digits(), tmp_path, "holds a sweep, which no imported predictions may join")


def test_a_sweep_is_refused_in_a_folder_of_imports(folder):
    with pytest.raises(InputError, match="another set of images"):
        check_fits(folder, "0" * 64, {}, [])


def test_a_bad_file_leaves_no_folder_behind(tmp_path):
    table = digits().assign(p_3=2.0)
    with pytest.raises(InputError, match=r"made\.csv, line 2: p_3 is 2, which is not between 0 and 1"):
        imported(table, tmp_path)
    assert not (tmp_path / "out").exists()


# ---- the report ----


def test_every_figure_of_the_summary_is_there(folder):
    rows = summary_of(folder)
    metrics = ("accuracy", "f1_macro", "f1_weighted", "loss")
    assert all(float(row[f"{m}_total_ci_low"]) < float(row[f"{m}_mean"]) for row in rows for m in metrics)


@pytest.mark.parametrize("column", ["percent_trainable", "epochs_run_mean", "seconds_per_epoch_mean"])
def test_what_training_alone_tells_is_an_empty_cell(folder, column):
    assert {row[column] for row in summary_of(folder)} == {""}


def test_no_epochs_are_told_of_a_trial(sweep):
    assert sweep.trials["epochs_run"].isna().all()


@pytest.mark.parametrize("section", ["curves", "efficiency"])
def test_what_training_alone_tells_has_no_section(folder, section):
    assert f"#{section}" not in (folder / "report.html").read_text(encoding="utf-8")


def test_what_training_alone_tells_is_left_out_by_name(folder):
    assert "Left out, because they tell nothing of the training: training curves, efficiency" in words(
        folder / "report.html"
    )


@pytest.mark.parametrize("table", ["efficiency", "claims"])
def test_what_training_alone_tells_has_no_table(folder, table):
    assert not list((folder / "tables").glob(f"{table}.*"))


@pytest.mark.parametrize("table", ["calibration", "ensembles"])
def test_what_needs_probabilities_has_a_table_with_them_alone(folder, classes_only, table):
    assert (folder / "tables" / f"{table}.csv").exists()
    assert not (classes_only / "tables" / f"{table}.csv").exists()


def test_no_number_of_training_images_is_told(folder):
    assert "100 validation, 200 test" in words(folder / "report.html")
    assert not re.search(r"\b0 train\b|Majority class", words(folder / "report.html"))


@pytest.mark.parametrize("column", ["loss_mean", "loss_total_ci_low", "ece_mean", "calibration_error"])
def test_what_needs_probabilities_is_an_empty_cell_without_them(classes_only, column):
    assert {row[column] for row in summary_of(classes_only)} == {""}


def test_what_needs_probabilities_is_left_out_by_name(classes_only):
    text = words(classes_only / "report.html")
    assert "because predicted classes came without probabilities: loss, calibration, ECE, ensembles." in text
    assert "Loss, nats" not in text


def test_what_needs_probabilities_stands_in_the_report_with_them(folder):
    assert "Loss, nats" in words(folder / "report.html")


def test_a_record_without_probabilities_says_so(classes_only):
    record = read_record(min((classes_only / "trials").iterdir()))
    assert record.environment["probabilities"] is False
    assert (record.test["loss"], record.test["ece"], record.validation["loss"]) == (None, None, None)


def test_no_loss_can_be_read_from_classes_alone(classes_only):
    outcomes = read_sweep(classes_only).configurations[0].outcomes
    with pytest.raises(ValueError, match="no probabilities"):
        _ = outcomes.loss


def test_true_classes_of_probability_zero_are_counted_in_a_note(folder, sweep):
    table = digits()[digits()["part"] == "test"]
    given = table[PROBABILITIES].to_numpy()[np.arange(len(table)), table["label"]]
    note = next(note for note in notes(sweep) if note.code == "zero-probabilities")
    assert note.text.startswith(f"{(given == 0).sum()} predictions give")


def test_without_validation_images_no_configuration_is_put_first(tmp_path):
    out = imported(digits()[digits()["part"] == "test"], tmp_path)
    text = words(write_report(out))
    assert "No configuration is put first. That choice needs validation images" in text
    assert "Validation accuracy" not in text


def test_a_single_configuration_needs_no_validation_images(tmp_path):
    table = digits()[(digits()["part"] == "test") & (digits()["model"] == "extra")]
    assert "extra/5_trees scores" in words(write_report(imported(table, tmp_path)))


@pytest.mark.parametrize("group", ["all of them", None])
def test_a_single_unit_of_test_images_has_a_report_without_comparisons(tmp_path, group):
    table = digits()
    first = table[table["part"] == "test"]["image"].iloc[0]
    table = table[(table["part"] != "test") | (table["image"] == first)] if group is None else table.assign(group=group)
    page = write_report(imported(table, tmp_path))
    assert "a single test image, or group of them, cannot tell" in words(page)
    assert (tmp_path / "out" / "tables" / "comparisons.csv").read_text().count("\n") == 1
