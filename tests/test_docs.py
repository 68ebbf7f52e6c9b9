"""The pages that promise something name its test, row by row; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("protocol.md", "faults.md")]
ROWS = [
    line
    for page in PAGES
    for line in page.splitlines()
    if line.startswith("| ") and "---" not in line and "tested in" not in line
]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_point_names_tests_that_exist(row):
    named = NAMED.findall(row.rsplit("|", 2)[1])
    assert named
    for path, name in named:
        assert re.search(rf"\bdef {name}\(", (ROOT / "tests" / path).read_text(encoding="utf-8")), f"{path}::{name}"
