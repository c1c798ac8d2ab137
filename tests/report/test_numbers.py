"""Headline numbers: found where the evaluation leaves them, printed so that they can be read."""

import pytest

from panodiff.report.numbers import MEASURES, SUMMARY, Absent, headline_rows, number, pair_rows, summarize


def test_every_measure_and_summary_number_stands_in_a_real_evaluation_or_has_its_reason(evaluation: dict):
    evaluation["restoration"]["lpips"] = evaluation["restoration"]["ssim"]
    assert not [row for row in headline_rows(evaluation) if isinstance(row.ours, Absent | None)]
    assert not [row for row in headline_rows(evaluation) if isinstance(row.beside, Absent | None)]
    assert set(summarize(evaluation)) == {"profile", *SUMMARY}


def test_an_interval_is_shown_with_its_mean(evaluation: dict):
    evaluation["restoration"]["psnr"]["superres"] = {"mean": 30.125, "low": 29.5, "high": 31.0}
    (row,) = [row for row in headline_rows(evaluation) if row.measure.title.startswith("PSNR")]
    assert row.ours == "30.12 [29.50, 31]"


def test_a_number_that_nobody_explains_is_still_not_silently_missing(evaluation: dict):
    del evaluation["sets"]["low"]
    (row,) = [row for row in headline_rows(evaluation) if row.measure.title.endswith("low resolution")]
    assert row.ours == Absent("no sets.low.synthetic_vs_test.fd_encoder was measured")


def test_the_whole_table_has_the_floor_of_both_resolutions(evaluation: dict):
    rows = [row[:2] for row in pair_rows(evaluation)]
    assert ["high", "test, one half against the other"] in rows
    assert ["low", "test, one half against the other"] in rows
    assert len(rows) == sum(len(pairs) for pairs in evaluation["sets"].values())


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


def test_the_published_numbers_are_those_of_the_paper():
    published = {measure.title: measure.published for measure in MEASURES}
    assert published["Fréchet distance, high resolution"] == "40.69"
    assert (published["Precision"], published["Recall"]) == ("0.562", "0.288")
