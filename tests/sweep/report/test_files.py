import csv

import pytest

from sweep.frames import Sweep, read_sweep
from sweep.report.captions import captions
from sweep.report.files import write_tables
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), Plan(missing=[("vit_s_16", "full", 2)])))


@pytest.fixture(scope="module")
def tables(sweep):
    return all_tables(sweep)


def test_csv_holds_full_precision(tmp_path, sweep, tables):
    write_tables(sweep, tables, tmp_path, ["csv"])
    with (tmp_path / "summary.csv").open(newline="") as file:
        read = [float(row["accuracy_mean"]) for row in csv.DictReader(file)]
    assert read == tables["summary"]["accuracy_mean"].tolist()


def test_csv_has_empty_cells_where_nothing_is_known(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(seeds=(1,))))
    write_tables(sweep, all_tables(sweep), tmp_path / "tables", ["csv"])
    with (tmp_path / "tables" / "summary.csv").open(newline="") as file:
        assert {row["accuracy_sd"] for row in csv.DictReader(file)} == {""}


def test_every_table_is_written_in_every_format(tmp_path, sweep, tables):
    names = {path.name for path in write_tables(sweep, tables, tmp_path)}
    everything = {f"{name}.{ending}" for name in tables for ending in ("csv", "md", "tex")}
    assert names == everything - {"confusion.md", "confusion.tex"}


@pytest.mark.parametrize("ending", ["csv", "md", "tex"])
def test_an_empty_sweeps_tables_are_written(tmp_path, ending):
    plan = Plan(strategies=("full",), seeds=(1,), missing=[("resnet18", "full", 1), ("vit_s_16", "full", 1)])
    empty = read_sweep(plant(tmp_path, plan))
    out = tmp_path / "tables"
    assert out / f"summary.{ending}" in write_tables(empty, all_tables(empty), out, [ending])


@pytest.mark.parametrize("ending", ["md", "tex"])
def test_every_readable_table_says_what_its_numbers_are(tmp_path, sweep, tables, ending):
    under = captions(sweep, tables)
    for path in write_tables(sweep, tables, tmp_path, [ending]):
        assert under[path.stem] in path.read_text(encoding="utf-8")


def test_markdown_keeps_a_names_pipes_out_of_the_table(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(models=("a|b",), classes=("x|y", "z"))))
    write_tables(sweep, all_tables(sweep), tmp_path / "tables", ["md"])
    lines = (tmp_path / "tables" / "per_class.md").read_text(encoding="utf-8").splitlines()
    rows = lines[: lines.index("")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {lines[1].count("|")}


def test_latex_escapes_what_it_would_read(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(models=("a_b&c",), classes=("50%", "z"))))
    write_tables(sweep, all_tables(sweep), tmp_path / "tables", ["tex"])
    text = (tmp_path / "tables" / "per_class.tex").read_text(encoding="utf-8")
    assert r"a\_b\&c" in text
    assert r"50\%" in text
