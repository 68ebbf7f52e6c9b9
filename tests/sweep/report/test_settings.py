import html
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from sweep.report.page import write_report
from tests.sweep.records import Plan, plant

TOML = 'data = "a & b/<faces>"  # ünï "</pre><script>alert(1)</script>" 100 %\nseeds = [42, 1]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return plant(tmp_path_factory.mktemp("sweep"), Plan(models=("resnet18",), strategies=("full",)))


def test_the_last_calls_settings_are_shown_as_they_stand(folder):
    (folder / "sweep.toml").write_text(TOML, encoding="utf-8")
    page = write_report(folder).read_text(encoding="utf-8")
    assert TOML in [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.S)]
    assert "<script>alert" not in page


def test_they_can_be_saved_as_the_same_file_without_a_network(folder):
    (folder / "sweep.toml").write_text(TOML, encoding="utf-8")
    page = write_report(folder).read_text(encoding="utf-8")
    (link,) = re.findall(r'<a href="data:text/plain;charset=utf-8,([^"]*)" download="sweep.toml">', page)
    assert unquote(link) == TOML
    assert link.isascii()


def test_without_such_a_file_nothing_is_offered(folder):
    (folder / "sweep.toml").unlink(missing_ok=True)
    assert 'download="sweep.toml"' not in write_report(folder).read_text(encoding="utf-8")
