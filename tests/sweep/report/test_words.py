import numpy as np
import pandas as pd
import pytest

from sweep.report.words import chance, count, number, plus_minus, span, total_range


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1.25, 1, "1.2"), (-1.26, 1, "−1.3"), (-0.04, 1, "0.0"), (0, 0, "0"), (-0.0, 2, "0.00"), (None, 1, "")],
)
def test_numbers_have_true_signs_and_zero_has_none(value, digits, text):
    assert number(value, digits) == text


@pytest.mark.parametrize("nothing", [np.nan, pd.NA, None])
def test_what_is_not_there_is_no_text(nothing):
    assert (number(nothing, 1), span(nothing, 1.0), span(1.0, nothing), chance(nothing)) == ("", "", "", "")


def test_a_span_is_scaled_and_rounded():
    assert span(-0.0123, 0.456, 100) == "−1.2 to 45.6"


@pytest.mark.parametrize(("p", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (1.0, "1.000")])
def test_a_p_value_is_never_called_zero(p, text):
    assert chance(p) == text


def test_things_are_counted():
    assert [count(1, "seed"), count(2, "seed"), count(1234, "copy", "copies")] == ["1 seed", "2 seeds", "1,234 copies"]


def test_plus_minus_is_half_the_interval():
    row = {"m_mean": 0.5, "m_ci_low": 0.4, "m_ci_high": 0.6}
    assert plus_minus(row, "m", 100, 1) == "50.0 ± 10.0"


def test_a_total_interval_that_is_not_there_is_no_text():
    assert total_range({"m_total_ci_low": np.nan, "m_total_ci_high": np.nan}, "m") == ""
