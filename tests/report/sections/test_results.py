"""Headline numbers: found where the evaluation leaves them, printed so that they can be read."""

from panodiff.report.numbers import Absent
from panodiff.report.sections.results import (
    MEASURES,
    SUMMARY,
    backbones,
    draw_rows,
    headline_rows,
    headline_table,
    pair_rows,
    score_rows,
    summarize,
)

WHOLE = {"value": 2.0, "low": 1.5, "high": 2.5}


def test_every_measure_and_summary_number_stands_in_a_real_evaluation_or_has_its_reason(evaluation: dict):
    evaluation["restoration"]["lpips"] = evaluation["restoration"]["ssim"]
    for pair in evaluation["sets"]["high"].values():
        pair["fid_inception"] = WHOLE
    assert not [row for row in headline_rows(evaluation) if isinstance(row.ours, Absent | None)]
    assert not [row for row in headline_rows(evaluation) if isinstance(row.beside, Absent | None)]
    assert set(summarize(evaluation)) == {"profile", *SUMMARY}


def test_an_interval_is_shown_with_its_mean(evaluation: dict):
    evaluation["restoration"]["psnr"]["superres"] = {"mean": 30.125, "low": 29.5, "high": 31.0}
    (row,) = [row for row in headline_rows(evaluation) if row.measure.title.startswith("PSNR")]
    assert row.ours == "30.12 [29.50,\N{NO-BREAK SPACE}31]"


def test_a_distance_is_shown_without_its_bias_where_that_is_known(evaluation: dict):
    pair = evaluation["sets"]["high"]["synthetic_vs_test"]
    pair["fd_encoder"] = {"value": 3.5, "unbiased": 2.5, "low": 2.25, "high": 2.75}
    assert headline_rows(evaluation)[0].ours == "2.5 [2.25,\N{NO-BREAK SPACE}2.75]"
    pair["fd_encoder"] = {"value": 3.5}
    assert headline_rows(evaluation)[0].ours == "3.5"


def test_a_number_that_nobody_explains_is_still_not_silently_missing(evaluation: dict):
    del evaluation["sets"]["low"]
    (row,) = [row for row in headline_rows(evaluation) if row.measure.title.endswith("low resolution")]
    assert row.ours == Absent("no sets.low.synthetic_vs_test.fd_encoder was measured")


def test_the_whole_table_has_the_floor_of_both_resolutions(evaluation: dict):
    rows = [row[:2] for row in pair_rows(evaluation, "encoder")]
    assert ["high", "test, one half against the other"] in rows
    assert ["low", "test, one half against the other"] in rows
    assert len(rows) == sum(len(pairs) for pairs in evaluation["sets"].values())


def test_each_backbone_has_its_table_and_inception_its_scores(evaluation: dict):
    assert backbones(evaluation) == ["encoder"] and score_rows(evaluation) == []
    for pairs in evaluation["sets"].values():
        for pair in pairs.values():
            pair |= {"fid_inception": WHOLE, "kid_inception": WHOLE}
    for found in evaluation["draws"].values():
        found["fid_inception"] = [1.0, 2.0, 3.0, 4.0]
    del evaluation["absent"]
    evaluation["inception_score"] = {"high": {"synthetic": WHOLE, "train": WHOLE, "absent": {"test": "too few"}}}
    assert backbones(evaluation) == ["encoder", "inception"]
    assert pair_rows(evaluation, "inception")[0][3:5] == ["2 [1.5,\N{NO-BREAK SPACE}2.5]"] * 2
    assert ["low", "inception", "1", "2", "3", "4"] in draw_rows(evaluation)
    assert score_rows(evaluation) == [
        ["high", "2 [1.5,\N{NO-BREAK SPACE}2.5]", "2 [1.5,\N{NO-BREAK SPACE}2.5]", Absent("too few")]
    ]


def test_the_published_numbers_are_those_of_the_paper():
    published = {measure.title: measure.published for measure in MEASURES}
    assert published["FID, high resolution"] == "40.69"
    assert (published["Precision"], published["Recall"]) == ("0.562", "0.288")


def test_the_table_of_the_figures_holds_the_page_s_numbers_with_their_intervals(evaluation: dict):
    evaluation["restoration"]["psnr"]["superres"] = {"mean": 30.125, "low": 29.5, "high": 31.0}
    table = headline_table(evaluation).set_index("measure")
    psnr = table.loc["PSNR of super-resolution, dB"]
    assert [psnr[name] for name in ("this_run", "this_run_low", "this_run_high")] == [30.125, 29.5, 31.0]
    assert (psnr["yardstick_is"], psnr["published"]) == ("bicubic", "29.69")
    assert table["this_run"].isna()["LPIPS of super-resolution"]  # not measured, and so no 0
