import csv
import re

import pandas as pd
import pytest

from sweep.frames import Sweep, read_sweep
from sweep.report.captions import captions
from sweep.report.files import write_tables
from sweep.report.latex import escaped, latex
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
        caption = under[path.stem]
        assert (escaped(caption) if ending == "tex" else caption) in path.read_text(encoding="utf-8")


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


def test_latex_reads_no_letter_of_a_name_as_its_own():
    name = '\\input{x} $1^2_3 #4 % & ~ | [a] *b* "c" `d` <e>'
    kept = re.sub(r"\\(textbackslash|text\w+)\{\}|\\[&%$#_{}]|\{[\[\]*]\}", "", escaped(name))
    assert not set(kept) & set('\\{}$^_#%&~|[]*"`<>')


def test_a_name_stays_on_its_line():
    assert escaped("a\n\n b") == "a b"


def test_the_latex_of_every_table_is_whole_and_has_no_letter_that_needs_a_package(tmp_path, sweep, tables):
    for path in write_tables(sweep, tables, tmp_path, ["tex"]):
        text = path.read_text(encoding="utf-8")
        assert text.isascii(), {letter for letter in text if not letter.isascii()}
        assert text.count(r"\begin{") == text.count(r"\end{")
        depth = [0]
        for brace in re.findall(r"(?<!\\)[{}]", text):
            depth.append(depth[-1] + (1 if brace == "{" else -1))
        assert (min(depth), depth[-1]) == (0, 0)
        head, *rows = [line for line in text.splitlines() if line.endswith(r" \\") and "caption" not in line]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} <= {len(re.findall(r"(?<!\\)&", head))}


def test_the_latex_summary_has_room_in_a_paper(tmp_path, sweep, tables):
    write_tables(sweep, tables, tmp_path, ["tex"])
    text = (tmp_path / "summary.tex").read_text(encoding="utf-8")
    assert r"configuration & seeds & accuracy (\%) & macro F1 (\%) & loss (nats) \\" in text
    assert r"\label{tab:summary}" in text
    assert r"\caption{n = 2 to 3 seeds $\times$ 30 test images." in text
    row = tables["summary"].iloc[0]
    total = f"({100 * row['accuracy_total_ci_low']:.1f} to {100 * row['accuracy_total_ci_high']:.1f})"
    half = 100 * (row["accuracy_ci_high"] - row["accuracy_mean"])
    assert rf"{100 * row['accuracy_mean']:.1f} $\pm$ {half:.1f} {total}" in text


@pytest.mark.parametrize(("ending", "bold"), [("md", r"\*\*(.*?)\*\*"), ("tex", r"\\textbf\{(.*?)\} &")])
@pytest.mark.parametrize("name", ["summary", "ranking"])
def test_the_configurations_that_may_be_the_best_are_bold(tmp_path, sweep, tables, name, ending, bold):
    write_tables(sweep, tables, tmp_path, [ending])
    text = (tmp_path / f"{name}.{ending}").read_text(encoding="utf-8").replace(r"\_", "_")
    may = tables["ranking"][tables["ranking"]["in_best_set"].fillna(False).astype(bool)]
    expected = list(may["model"] + "/" + may["strategy"])
    assert [cell for cell in re.findall(bold, text) if "/" in cell] == expected
    assert "Bold: may be the most accurate" in text


def test_bold_marks_no_row_of_another_condition(tmp_path):
    sweep = read_sweep(plant(tmp_path, Plan(fractions=(0.5, 1.0))))
    write_tables(sweep, all_tables(sweep), tmp_path / "tables", ["md"])
    rows = [
        line for line in (tmp_path / "tables" / "summary.md").read_text(encoding="utf-8").splitlines() if "/" in line
    ]
    shares = [re.search(r"\| (50|100) \|", row)[1] for row in rows if row.startswith("| **")]
    assert set(shares) == {"100"}


def test_a_long_table_breaks_over_pages():
    table = pd.DataFrame({"configuration": [f"m{number}" for number in range(41)]})
    assert r"\begin{longtable}" in latex(table, "c", "tab:c")
    assert r"\begin{table}" in latex(table.head(40), "c", "tab:c")
