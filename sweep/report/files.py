"""Tables as files: CSV for programs, Markdown for readers, LaTeX for papers."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from animefer_core.record import write_atomically
from sweep.frames import Sweep
from sweep.report.captions import captions
from sweep.report.differences import may_be_best
from sweep.report.latex import BOLD, latex
from sweep.report.readable import for_paper, readable
from sweep.report.words import count

IN_PARENTHESES = " In parentheses: the total interval."
FORMATS = ("csv", "md", "tex")
MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\|*_`$[]~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write_tables(
    sweep: Sweep,
    tables: Mapping[str, pd.DataFrame],
    directory: Path,
    formats: Collection[str] = FORMATS,
) -> list[Path]:
    """Write tables of `all_tables` into `directory` in each format ("csv", "md", "tex") and return the files.

    CSV holds all columns in full precision; Markdown and LaTeX are in words, with the caption, and without the
    confusion table, which is long. LaTeX has few columns of the summary, as a paper does. In both the configurations
    that may be the best are bold in the summary and the ranking.
    """
    directory.mkdir(parents=True, exist_ok=True)
    under = captions(sweep, tables)
    written = []
    for name, table in tables.items():
        for ending in formats:
            if ending == "csv":
                text = table.to_csv(index=False, lineterminator="\n")
            elif name == "confusion":
                continue
            else:
                best = _may_be_best(table, tables["ranking"]) if name in ("summary", "ranking") else None
                caption = under[name] + (_of_bold(tables["ranking"]) if best and any(best) else "")
                if ending == "md":
                    text = _markdown(_words(name, table), caption, best)
                else:
                    words = for_paper(table) if name == "summary" else _words(name, table)
                    caption = f"{_sizes(sweep, table)}{caption}{IN_PARENTHESES if name == 'summary' else ''}"
                    text = latex(words, caption, f"tab:{name.replace('_', '-')}", best)
            path = directory / f"{name}.{ending}"
            write_atomically(path, text.encode())
            written.append(path)
    return written


def _words(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table in words; one without rows has a column that says so."""
    return readable(name, table) if len(table) else pd.DataFrame(columns=["no rows"])


def _may_be_best(table: pd.DataFrame, ranking: pd.DataFrame) -> list[bool]:
    """Return which rows are of a configuration that may be the best; those of other splits and shares are not."""
    may = may_be_best(ranking)
    best = set(zip(may["model"], may["strategy"], strict=True))
    names = list(zip(table["model"], table["strategy"], strict=True))
    return [name in best and place < len(ranking) for place, name in enumerate(names)]


def _of_bold(ranking: pd.DataFrame) -> str:
    compared = count(int(ranking["in_best_set"].notna().sum()), "configuration")
    return f" Bold: may be the most accurate, the 95 % confidence set of {compared} compared."


def _sizes(sweep: Sweep, table: pd.DataFrame) -> str:
    """Return n of a table whose rows rest on seeds and the same test images."""
    if "n_seeds" not in table or "split" in table or not len(table):
        return ""
    least, most = int(table["n_seeds"].min()), int(table["n_seeds"].max())
    seeds = count(most, "seed") if least == most else f"{least} to {most} seeds"
    return f"n = {seeds} × {count(int(sweep.class_counts['test'].sum()), 'test image')}. "


def _markdown(table: pd.DataFrame, caption: str, best: Sequence[bool] | None) -> str:
    head = [_plain(str(name)) for name in table.columns]
    rows = [head, ["---"] * len(head)]
    for row, marked in zip(table.to_numpy().tolist(), best or [False] * len(table), strict=True):
        heavy = [marked and name in BOLD for name in table.columns]
        rows.append(
            [f"**{_plain(cell)}**" if bold and cell else _plain(cell) for cell, bold in zip(row, heavy, strict=True)]
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{caption}\n"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    return " ".join(text.split()).translate(MARKDOWN)
