"""Whatever a folder holds, `animefer report` writes a report that says so, or refuses in one sentence."""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from animefer_core.errors import InputError
from animefer_core.record import record_digest
from sweep.cli.look import written
from sweep.importing import import_predictions
from tests.sweep.exported import digits
from tests.sweep.records import Plan, plant

Make = Callable[[Path], object]
NAMES = ("<svg onload=alert(1)>", "n" * 200, "日本語", '"quoted" & co', "a|b_c%d$e#f{g}~^\\", "two\nlines", " ")
FULL = [("resnet18", "full", seed) for seed in Plan.seeds]


def planted(**choices: Any) -> Make:
    return lambda folder: plant(folder, Plan(**choices))


def without_records(folder: Path) -> None:
    shutil.rmtree(plant(folder) / "trials")


def imported(folder: Path) -> None:
    table = digits().drop(columns=[name for name in digits().columns if name.startswith("p_")])
    table["predicted"] = table["label"]
    folder.mkdir(parents=True)
    table.to_csv(folder.parent / "made.csv", index=False)
    import_predictions(folder.parent / "made.csv", folder)


def of_two_image_sets(folder: Path) -> None:
    other = plant(folder.parent / "other", Plan(classes=("a", "b"), seeds=(7,)))
    shutil.copytree(other / "trials", plant(folder) / "trials", dirs_exist_ok=True)


def edited(change: Callable[[dict[str, Any]], object], *, sealed: bool) -> Make:
    """Return a folder with one record changed by hand; `sealed`: so that its digest fits, as from another program."""

    def make(folder: Path) -> None:
        path = min((plant(folder) / "trials").iterdir()) / "record.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        change(values)
        if sealed:
            values["digest"] = record_digest(values)
        path.write_text(json.dumps(values), encoding="utf-8")

    return make


def rewritten(name: str, change: Callable[[dict[str, Any]], object]) -> Make:
    """Return a folder in which sweep.json or split.json was changed by hand."""

    def make(folder: Path) -> None:
        path = plant(folder) / name
        values = json.loads(path.read_text(encoding="utf-8"))
        change(values)
        path.write_text(json.dumps(values), encoding="utf-8")

    return make


def replaced(path: str, content: bytes) -> Make:
    return lambda folder: (plant(folder) / path).write_bytes(content)


CHANGES = {
    "number": lambda values: values["test"].update(accuracy=0.123),
    "number-too-large": lambda values: values["test"].update(accuracy=7),
    "number-is-text": lambda values: values["test"].update(accuracy="high"),
    "no-test": lambda values: values.pop("test"),
    "no-model": lambda values: values.pop("model"),
    "no-class": lambda values: values["test"]["per_class"].pop(),
    "confusion-cut": lambda values: values["test"]["confusion"].pop(),
    "epoch-without-seconds": lambda values: values["history"][0].pop("seconds"),
    "epoch-is-text": lambda values: values.update(history=["first"]),
    "seed-is-text": lambda values: values.update(seed="42"),
    "history-is-a-number": lambda values: values.update(history=3),
    "efficiency-is-text": lambda values: values["efficiency"].update(latency_ms="fast"),
    "environment-is-a-list": lambda values: values.update(environment=[]),
    "no-environment": lambda values: values.pop("environment"),
    "no-validation": lambda values: values.pop("validation"),
    "status": lambda values: values.update(status="done"),
    "config-is-a-list": lambda values: values.update(config=[]),
    "one-more-field": lambda values: values.update(note="mine"),
    "error-is-text": lambda values: values.update(error="boom", status="failed"),
    "percent-is-text": lambda values: values.update(percent_trainable="all"),
    "no-loss": lambda values: values["test"].pop("loss"),
    "versions-are-text": lambda values: values["environment"].update(versions="2.15"),
    "weights-normalisation-lacks": lambda values: values["environment"].update(weights_normalisation={"std": [1]}),
    "normalisation-is-a-number": lambda values: values["environment"].update(normalisation=3),
    "cap-is-text": lambda values: values["config"].update(epochs_cap="15"),
    "speed-is-not-known": lambda values: values["efficiency"].update(eval_images_per_second=None),
}
UNSEEN = dict.fromkeys(("no-environment", "no-validation", "speed-is-not-known"), "12 of 12 trials")
"""Changes that leave a record another program may well have written."""
CASES: dict[str, tuple[Make, str]] = {
    "no-records": (without_records, "No trial has completed yet"),
    "one-seed": (planted(seeds=(42,)), "single-seed"),
    "one-configuration": (planted(models=("resnet18",), strategies=("full",)), "resnet18/full scores"),
    "one-configuration-and-seed": (planted(models=("a",), strategies=("full",), seeds=(1,)), "with its only seed"),
    "two-classes": (planted(classes=("a", "b")), "Chance: 50.0"),
    "hundred-classes": (planted(classes=[f"c{n}" for n in range(100)], per_class=(2, 1, 2)), "Chance: 1.0"),
    "one-test-image-a-class": (planted(per_class=(2, 1, 1)), "On 6 test images"),
    "a-class-without-test-images": (planted(counts={"Sad": (8, 4, 0)}), "On 25 test images"),
    "all-trials-of-one-failed": (planted(failed=FULL), "resnet18/full (0 of 3)"),
    "without-probabilities": (imported, "no-probabilities"),
    "two-image-sets": (of_two_image_sets, "is of a split that split.json does not hold"),
    "record-is-empty": (lambda f: edited(lambda values: values.clear(), sealed=False)(f), "cannot be read"),
    **{f"edited-{name}": (edited(change, sealed=False), "cannot be read") for name, change in CHANGES.items()},
    **{
        f"sealed-{name}": (edited(change, sealed=True), UNSEEN.get(name, "1 record is set aside"))
        for name, change in CHANGES.items()
    },
    "names": (planted(classes=NAMES[:-1], models=NAMES[:3]), NAMES[0]),
    "blank-names": (planted(classes=(" ", "  ", "b"), models=(" ",)), "Chance: 33.3"),
    "a-folder-of-any-length": (
        rewritten("sweep.json", lambda values: values["calls"][0].update(settings={"data": "x" * 5000})),
        "not at hand",
    ),
    "settings-are-no-text": (replaced("sweep.toml", b"\xff\xfe"), "Provenance"),
}
REFUSED: dict[str, tuple[Make, str]] = {
    "nothing": (lambda folder: None, "sweep.json cannot be read"),
    "an-empty-folder": (lambda folder: folder.mkdir(), "sweep.json cannot be read"),
    "a-file": (lambda folder: folder.write_text("x"), "sweep.json cannot be read"),
    "no-split": (lambda folder: (plant(folder) / "split.json").unlink(), "split.json"),
    "sweep-is-a-list": (replaced("sweep.json", b"[]"), "sweep.json"),
    "sweep-is-cut": (replaced("sweep.json", b'{"name": '), "sweep.json"),
    "sweep-is-no-text": (replaced("sweep.json", b"\xff\xfe"), "sweep.json"),
    "split-is-a-list": (replaced("split.json", b"[]"), "split.json"),
    "split-is-cut": (replaced("split.json", b"{"), "split.json"),
    "planned-is-text": (rewritten("sweep.json", lambda values: values.update(planned="x")), "sweep.json"),
    "planned-lacks": (rewritten("sweep.json", lambda values: values["planned"][0].pop("model")), "sweep.json"),
    "calls-are-text": (rewritten("sweep.json", lambda values: values.update(calls="x")), "sweep.json"),
    "a-call-without-time": (rewritten("sweep.json", lambda values: values["calls"][0].pop("at")), "sweep.json"),
    "fingerprint-is-text": (rewritten("sweep.json", lambda values: values.update(fingerprint="x")), "sweep.json"),
    "name-is-a-number": (rewritten("sweep.json", lambda values: values.update(name=3)), "sweep.json"),
    "search-is-a-number": (rewritten("sweep.json", lambda values: values.update(search=3)), "search"),
    "search-is-a-list": (rewritten("sweep.json", lambda values: values.update(search=[1])), "search"),
    "search-holds-a-number": (rewritten("sweep.json", lambda values: values.update(search={"a": 1})), "search"),
    "images-lack": (rewritten("split.json", lambda values: values["images"][0].pop("label")), "split.json"),
    "a-class-is-gone": (rewritten("split.json", lambda values: values["classes"].pop()), "split.json"),
    "an-image-is-gone": (rewritten("split.json", lambda values: values["images"].pop()), "split.json"),
}


def report(folder: Path) -> str:
    """Write everything and return the page's words."""
    (page,) = written(folder, "html,csv,md,tex", unnamed=False, price_per_hour="1")
    text = page.read_text(encoding="utf-8")
    return html.unescape(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", text, flags=re.S))


@pytest.mark.parametrize("case", CASES)
def test_what_a_folder_holds_is_reported(tmp_path, case):
    make, told = CASES[case]
    make(tmp_path / "sweep")
    assert " ".join(told.split()) in " ".join(report(tmp_path / "sweep").split())


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_reported_is_refused_in_one_sentence(tmp_path, case):
    make, named = REFUSED[case]
    make(tmp_path / "sweep")
    with pytest.raises(InputError) as refused:
        report(tmp_path / "sweep")
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
