import pandas as pd
import pytest

from sweep.report.page import _rivals


def ranking(*may):
    table = pd.DataFrame({"model": ["a", "b", "c"], "strategy": "full", "in_best_set": may})
    return table.astype({"in_best_set": "boolean"})


@pytest.mark.parametrize(
    ("may", "words"),
    [
        ((True, False, False), "No other may be as good"),
        ((True, False, True), "As good or better may be c/full ("),
        ((False, True, True), "Yet it is not among those that may be the best there: b/full, c/full"),
        ((True, None, True), "As good or better may be c/full ("),
        ((None, None, None), "One seed cannot tell"),
    ],
)
def test_the_first_screen_names_who_may_be_as_good(may, words):
    assert _rivals("a/full", ranking(*may)).startswith(words)
