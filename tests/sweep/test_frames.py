import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from animefer_core.errors import InputError
from animefer_core.record import read_record, write_record
from sweep.frames import Sweep, read_sweep
from tests.sweep.records import Plan, plant

LACKING = ("vit_s_16", "full", 2)
BROKEN = ("resnet18", "full", 1)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(missing=[LACKING], failed=[BROKEN])))


def one_record(folder):
    return min((folder / "trials").iterdir())


def test_configurations_stand_in_the_order_of_the_plan(sweep):
    names = [each.name for each in sweep.configurations]
    assert names == ["resnet18/linear_probe", "resnet18/full", "vit_s_16/linear_probe", "vit_s_16/full"]


def test_seeds_stand_in_the_order_of_the_plan(sweep):
    assert [each.seeds for each in sweep.configurations] == [(42, 1, 2), (42, 2), (42, 1, 2), (42, 1)]


def test_a_configuration_without_all_its_seeds_is_incomplete(sweep):
    assert [each.complete for each in sweep.configurations] == [True, False, True, False]


def test_every_planned_trial_has_a_row(sweep):
    assert sweep.trials["status"].value_counts().to_dict() == {"completed": 10, "failed": 1, "missing": 1}


def test_a_failed_trials_row_has_its_cause(sweep):
    rows = sweep.trials[sweep.trials["status"] == "failed"]
    assert rows["error"].tolist() == ["OutOfMemoryError: no room for 2 GiB"]


def test_history_has_a_row_an_epoch_of_a_completed_trial(sweep):
    assert len(sweep.history) == 10 * 3


def test_per_class_has_a_row_a_class_of_a_completed_trial(sweep):
    assert len(sweep.per_class) == 10 * 6


def test_confusion_counts_every_test_image_once_a_trial(sweep):
    assert sweep.confusion.groupby("trial_id")["count"].sum().tolist() == [30] * 10


def test_confusion_names_true_and_predicted_classes(sweep):
    record = sweep.configurations[0].records[0]
    table = sweep.confusion[sweep.confusion["trial_id"] == record.trial_id].set_index(["true", "predicted"])["count"]
    assert table["Happy", "Sad"] == record.test["confusion"][2][4]


def test_outcomes_agree_with_the_recorded_accuracy(sweep):
    each = sweep.configurations[0]
    assert each.outcomes.correct.mean(axis=1) == pytest.approx(each.values("accuracy"))


def test_outcomes_agree_with_the_recorded_loss(sweep):
    each = sweep.configurations[0]
    assert each.outcomes.loss.mean(axis=1) == pytest.approx(each.values("loss"), rel=1e-5)


def test_outcomes_are_aligned_by_image_whatever_the_order_in_the_record(tmp_path, sweep):
    folder = plant(tmp_path)
    record = read_record(one_record(folder))
    order = np.random.default_rng(1).permutation(record.predictions.test_index.size)
    for name in ("test_logits", "test_labels", "test_index"):
        object.__setattr__(record.predictions, name, getattr(record.predictions, name)[order])
    write_record(folder / "trials", record)
    pairs = zip(
        read_sweep(folder).configurations, read_sweep(plant(tmp_path / "as_it_was")).configurations, strict=True
    )
    assert all(np.array_equal(one.outcomes.correct, other.outcomes.correct) for one, other in pairs)


def test_class_counts_are_those_of_the_split(sweep):
    assert sweep.class_counts.loc["Happy"].to_dict() == {"train": 8, "validation": 4, "test": 5}


def test_images_without_groups_have_none(sweep):
    assert sweep.groups is None


def test_an_image_without_a_group_among_others_stands_alone(tmp_path):
    plan = Plan(classes=("a", "b"), per_class=(2, 1, 2), groups=["x", "x", None, None, "y"] * 2)
    assert read_sweep(plant(tmp_path, plan)).groups.tolist() == [0, 0, 1, 2, 3, 0, 0, 4, 5, 3]


def test_an_edited_record_is_set_aside_by_name(tmp_path):
    folder = plant(tmp_path)
    path = one_record(folder) / "record.json"
    path.write_text(path.read_text().replace('"epochs_run": 3', '"epochs_run": 4'))
    aside = read_sweep(folder).set_aside
    assert [each.trial_id for each in aside] == [path.parent.name]
    assert "changed after it was written" in aside[0].reason


def test_a_cut_record_is_set_aside(tmp_path):
    folder = plant(tmp_path)
    path = one_record(folder) / "record.json"
    path.write_text(path.read_text()[:100])
    assert [each.trial_id for each in read_sweep(folder).set_aside] == [path.parent.name]


def test_a_record_without_its_predictions_is_set_aside(tmp_path):
    folder = plant(tmp_path)
    (one_record(folder) / "predictions.npz").unlink()
    assert len(read_sweep(folder).set_aside) == 1


def test_a_directory_without_a_record_is_a_missing_trial(tmp_path):
    folder = plant(tmp_path)
    (one_record(folder) / "record.json").unlink()
    read = read_sweep(folder)
    assert (read.set_aside, len(read.completed)) == ((), 11)


def test_a_record_of_another_split_is_set_aside(tmp_path):
    folder = plant(tmp_path)
    other = read_record(one_record(plant(tmp_path / "other", Plan(per_class=(8, 4, 6), seeds=(7,)))))
    write_record(folder / "trials", other)
    assert read_sweep(folder).set_aside[0].reason == "is of a split that split.json does not hold"


def test_a_record_tested_on_other_images_is_set_aside(tmp_path):
    folder = plant(tmp_path)
    record = read_record(one_record(folder))
    record.predictions.test_index[0] = record.predictions.validation_index[0]
    write_record(folder / "trials", record)
    assert read_sweep(folder).set_aside[0].reason == "was tested on images other than its split's"


def test_a_record_tested_against_other_labels_is_set_aside(tmp_path):
    folder = plant(tmp_path)
    record = read_record(one_record(folder))
    record.predictions.test_labels[:] = np.roll(record.predictions.test_labels, 7)
    write_record(folder / "trials", record)
    assert read_sweep(folder).set_aside[0].reason == "was tested against labels other than its split's"


def test_a_trial_outside_the_plan_is_counted(tmp_path):
    folder = plant(tmp_path)
    plan = json.loads((folder / "sweep.json").read_text())
    plan["planned"] = plan["planned"][1:]
    (folder / "sweep.json").write_text(json.dumps(plan))
    assert sum(len(each.records) for each in read_sweep(folder).configurations) == 12


def test_a_trial_of_another_arm_is_left_out_of_the_configurations(tmp_path):
    folder = plant(tmp_path)
    record = read_record(one_record(folder))
    object.__setattr__(record, "arm", "order")
    write_record(folder / "trials", record)
    plan = json.loads((folder / "sweep.json").read_text())
    for trial in plan["planned"]:
        if trial["trial_id"] == record.trial_id:
            trial["arm"] = "order"
    (folder / "sweep.json").write_text(json.dumps(plan))
    assert sum(len(each.planned_seeds) for each in read_sweep(folder).configurations) == 11


def test_a_folder_that_is_no_sweeps_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sweep\.json cannot be read; give the output folder of a sweep"):
        read_sweep(tmp_path)


def test_a_cut_plan_is_named(tmp_path):
    (plant(tmp_path) / "sweep.json").write_text("{")
    with pytest.raises(InputError, match=r"sweep\.json is not a whole JSON file"):
        read_sweep(tmp_path)


def test_a_plan_of_other_images_is_refused(tmp_path):
    path = plant(tmp_path) / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images_digest": "0" * 64}))
    with pytest.raises(InputError, match="different images"):
        read_sweep(tmp_path)


def test_reading_and_reporting_load_neither_torch_nor_ray():
    code = "import sys, sweep.report.page; print(sorted({'torch', 'ray', 'torchvision', 'timm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_ledger_has_every_meeting_with_the_test_images(tmp_path):
    folder = plant(tmp_path, Plan(failed=[("resnet18", "full", 42)]))
    gone = one_record(folder)
    (folder / "earlier").mkdir()
    shutil.copytree(gone, folder / "earlier" / f"{gone.name}-0")
    ledger = read_sweep(folder).ledger
    assert (len(ledger), set(ledger["test_images"])) == (12, {30})
    assert ledger.loc[~ledger["counted"], "trial_id"].tolist() == [gone.name]


def test_a_record_that_lost_its_predictions_has_met_the_test_images_all_the_same(tmp_path):
    folder = plant(tmp_path, Plan())
    gone = one_record(folder)
    (folder / "damaged").mkdir()
    for number in (0, 1):
        shutil.copytree(gone, folder / "damaged" / f"{gone.name}-{number}")
    (folder / "damaged" / f"{gone.name}-0" / "predictions.npz").unlink()
    (folder / "damaged" / f"{gone.name}-1" / "record.json").write_text("{")
    ledger = read_sweep(folder).ledger
    assert ledger.loc[~ledger["counted"], "trial_id"].tolist() == [gone.name]
