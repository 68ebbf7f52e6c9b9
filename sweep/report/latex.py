"""A table as LaTeX for a paper: booktabs, with caption and label, the configurations that may be the best in bold."""

from collections.abc import Sequence

import pandas as pd

LONGEST_FLOAT = 40
"""Rows of a table that stays on one page; a longer one is a longtable."""
LONGEST_LINE = 36
"""Letters of a cell that is not broken into lines."""

# One pass over the letters: what a letter becomes is not read again.
LETTERS = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "|": r"\textbar{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}"}
    # After the end of a row these would be read as its arguments.
    | {"[": "{[}", "]": "{]}", "*": "{*}"}
    | {"±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "→": r"$\rightarrow$", "²": r"$^2$", "…": r"\dots{}"}
    | {"χ": r"$\chi$", "σ": r"$\sigma$", "≤": r"$\leq$", "≥": r"$\geq$"}
)


def escaped(text: str) -> str:
    """Return text as LaTeX prints it; letters of other scripts stay, which XeLaTeX and LuaLaTeX print."""
    return " ".join(text.split()).translate(LETTERS)


def latex(table: pd.DataFrame, caption: str, label: str, best: Sequence[bool] | None = None) -> str:
    """Return a table of texts as a LaTeX environment.

    Rows that `best` marks have their configuration and accuracy in bold. A table of many rows is a longtable, which
    breaks over pages.
    """
    head = [escaped(str(name)) for name in table.columns]
    bold = [name in BOLD for name in table.columns]
    rows = [
        [
            f"\\textbf{{{escaped(cell)}}}" if marked and heavy and cell else escaped(cell)
            for cell, heavy in zip(row, bold, strict=True)
        ]
        for row, marked in zip(table.to_numpy().tolist(), best or [False] * len(table), strict=True)
    ]
    body = [_line(row) for row in rows]
    columns = "".join(_column(table.iloc[:, place].tolist(), place) for place in range(len(head)))
    write = _longtable if len(table) > LONGEST_FLOAT else _float
    return "\n".join(write(columns, _line(head), body, escaped(caption), label)) + "\n"


BOLD = ("configuration", "accuracy (%)", "test accuracy (%)")
"""Columns that are bold for a configuration that may be the best: the set is of accuracy alone."""


def _float(columns: str, head: str, body: Sequence[str], caption: str, label: str) -> list[str]:
    return [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
        r"\end{tabular}",
        r"\end{table}",
    ]


def _longtable(columns: str, head: str, body: Sequence[str], caption: str, label: str) -> list[str]:
    return [
        r"% \usepackage{booktabs,longtable}",
        f"\\begin{{longtable}}{{{columns}}}",
        f"\\caption{{{caption}}}\\label{{{label}}} \\\\",
        *(r"\toprule", head, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", head, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endlastfoot", *body),
        r"\end{longtable}",
    ]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _column(cells: Sequence[str], place: int) -> str:
    """Return a column's alignment: sentences are broken into lines, other columns than the first end at the right."""
    if any(len(cell) > LONGEST_LINE for cell in cells):
        return r"p{0.25\linewidth}"
    return "r" if place else "l"
