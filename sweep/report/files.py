"""Tables as files: CSV for programs, Markdown and LaTeX for readers."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pandas as pd

from animefer_core.record import write_atomically
from sweep.frames import Sweep
from sweep.report.captions import captions
from sweep.report.readable import readable


def write_tables(
    sweep: Sweep,
    tables: Mapping[str, pd.DataFrame],
    directory: Path,
    formats: Collection[str] = ("csv", "md", "tex"),
) -> list[Path]:
    """Write tables of `all_tables` into `directory` in each format ("csv", "md", "tex") and return the files.

    CSV holds all columns in full precision; Markdown and LaTeX are in words, with the caption, and without the
    confusion table, which is long.
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
                text = WRITERS[ending](readable(name, table), under[name])
            path = directory / f"{name}.{ending}"
            write_atomically(path, text.encode())
            written.append(path)
    return written


def _lines(table: pd.DataFrame) -> list[list[str]]:
    return [[str(name) for name in table.columns], *table.to_numpy().tolist()]


def _markdown(table: pd.DataFrame, caption: str) -> str:
    head, *body = _lines(table)
    rows = [head, ["---"] * len(head), *body]
    lines = ["| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{caption}\n"


LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
    | {"±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "χ": r"$\chi$", "²": r"$^2$"}
)


def _latex(table: pd.DataFrame, caption: str) -> str:
    """Return a booktabs table under its caption as a comment; needs \\usepackage{booktabs}."""
    head, *body = [" & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in _lines(table)]
    start = r"\begin{tabular}{" + "l" * len(table.columns) + "}"
    lines = [f"% {caption}", start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


WRITERS: Mapping[str, Callable[[pd.DataFrame, str], str]] = {"md": _markdown, "tex": _latex}
