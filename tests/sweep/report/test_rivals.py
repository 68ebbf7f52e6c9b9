import pandas as pd
import pytest

from sweep.report.page import _rivals


def ranking(*may):
    table = pd.DataFrame({"model": ["a", "b", "c"], "strategy": "full", "in_best_set": may})
    return table.astype({"in_best_set": "boolean"})


@pytest.mark.parametrize(
    ("may", "words"),
    [
        ((True, False, False), "No other stays in the set of those that may be the best (95 % confidence set of 3"),
        ((True, False, True), "It may be the best; so may c/full (95 % confidence set of 3"),
        ((False, True, True), "Yet by the test images it is not among those that may be the best: b/full, c/full"),
        ((True, None, True), "It may be the best; so may c/full (95 % confidence set of 2"),
        (
            (None, True, True),
            "It is not ranked, for want of seeds in common with the others; of those b/full and c/full",
        ),
        ((None, None, None), "Whether it is better than the next ones cannot be told"),
    ],
)
def test_the_first_screen_names_who_may_be_as_good(may, words):
    assert _rivals("a/full", ranking(*may), "seeds varied").startswith(words)


def test_the_first_screen_names_who_is_not_ranked():
    assert "Not ranked, for want of seeds in common: b/full." in _rivals(
        "a/full", ranking(True, None, True), "seeds varied"
    )
