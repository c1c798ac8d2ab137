"""Numbers, printed so that they can be read."""

import pytest

from panodiff.report.numbers import number, percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1.0, "1"),
        (7243, "7243"),
        (0.5626, "0.563"),
        (40.69, "40.69"),
        (123.456, "123.5"),
        (-0.0016, "−0.0016"),
        (-1.5, "−1.5"),
        (-250.04, "−250.0"),
        (-30.126, "−30.13"),
        (-3, "−3"),
        (0.0000123, "1.2e−05"),
    ],
)
def test_numbers_are_printed_to_be_read(value: float, shown: str):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0"), (0.0781, "7.8"), (0.0004, "0"), (0.1081, "11"), (1, "100"), (0.03, "3")]
)
def test_shares_are_printed_in_percent(share: float, shown: str):
    assert percent(share) == f"{shown}\N{NO-BREAK SPACE}%"
