import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from studies import TALLIES, simulated, tallied

from panodiff.images import write_grey
from panodiff.study.analysis import analyse, analyse_files, draw_figures
from panodiff.study.analysis.figures import num_fooled
from panodiff.study.levels import LEVELS


@pytest.fixture(scope="module")
def published():
    return analyse(*tallied(), seed=1)


@pytest.fixture(scope="module")
def study():
    """Six readers, each with five repeats, and what the analysis makes of them."""
    readings, labels = simulated(num_cases=20, seed=4)
    again = readings[readings["position"] <= 5].assign(repeat=1)
    readings = pd.concat([readings, again], ignore_index=True)
    labels = labels.assign(id="of-" + labels["case"])
    return readings, labels, analyse(readings, labels, seed=1)


@pytest.mark.parametrize("reader", TALLIES)
def test_published_tallies_give_the_published_numbers_of_each_reader(published, reader: str):
    synthetic, real, accuracy, area = TALLIES[reader]
    found = published["readers"][reader]
    assert found["accuracy"]["certainty_weighted"]["value"] == pytest.approx(accuracy, abs=1e-9)
    assert found["auc"]["value"] == pytest.approx(area, abs=6e-4)
    assert list(found["confusion"]["synthetic"].values()) == list(synthetic)
    assert list(found["confusion"]["real"].values()) == list(real)


def test_published_tallies_give_the_published_means(published):
    pooled = published["pooled"]
    weighted = pooled["accuracy"]["certainty_weighted"]
    assert weighted["mean"] == pytest.approx(0.6844, abs=5e-5)
    assert (weighted["low"], weighted["high"]) == pytest.approx((0.626, 0.743), abs=5e-4)
    half = pooled["accuracy"]["unsure_half"]
    assert (half["mean"], half["low"], half["high"]) == pytest.approx((0.748, 0.674, 0.822), abs=5e-4)
    assert pooled["sensitivity"]["mean"] == pytest.approx(481 / 600, abs=1e-6)
    assert pooled["specificity"]["mean"] == pytest.approx(338 / 600, abs=1e-6)
    assert pooled["auc"]["mean"] == pytest.approx(0.829, abs=5e-4)


def test_the_other_rules_follow_from_the_tallies(published):
    synthetic, real, *_ = TALLIES["EC1"]
    right, unsure = sum(synthetic[3:]) + sum(real[:2]), synthetic[2] + real[2]
    found = published["readers"]["EC1"]["accuracy"]
    assert found["unsure_half"]["value"] == (right + unsure / 2) / 200
    assert found["unsure_wrong"]["value"] == right / 200
    assert found["unsure_dropped"]["value"] == pytest.approx(right / (200 - unsure), abs=1e-6)
    wilson = binomtest(right, 200).proportion_ci(method="wilson")
    assert (found["unsure_wrong"]["low"], found["unsure_wrong"]["high"]) == pytest.approx(
        (wilson.low, wilson.high), abs=1e-6
    )
    certain = published["readers"]["EC1"]["by_certainty"]
    assert (certain["definitely"]["num_right"], certain["definitely"]["num"]) == (40 + 13, 3 + 40 + 13 + 10)
    assert certain["unsure"]["num"] == 48


def test_the_interval_of_an_accuracy_is_that_of_a_mean_in_two_strata(published):
    synthetic, real, accuracy, _ = TALLIES["EP2"]
    credits = [np.repeat(np.arange(5) / 4, synthetic), np.repeat(1 - np.arange(5) / 4, real)]
    error = sum(part.var(ddof=1) * 100 for part in credits) ** 0.5 / 200
    found = published["readers"]["EP2"]["accuracy"]["certainty_weighted"]
    assert found["high"] == pytest.approx(accuracy + 1.96 * error, abs=1e-5)


def test_average_precision_of_a_hand_counted_ranking():
    readings = pd.DataFrame({"reader": "Ada", "case": list("abcd"), "answer": [LEVELS[i] for i in (4, 3, 1, 0)]})
    labels = pd.DataFrame({"case": list("abcd"), "label": ["synthetic", "real", "synthetic", "real"]})
    found = analyse(readings, labels, seed=1)["readers"]["Ada"]
    assert found["average_precision"] == {"value": pytest.approx((1 + 2 / 3) / 2, abs=1e-6), "chance": 0.5}


def test_every_number_of_a_whole_study_is_there_finite_and_json(study):
    readings, _, result = study
    assert '"absent"' not in json.dumps({name: result[name] for name in result if name != "repeats"}, allow_nan=False)
    assert result["num_readings"] == 240
    assert result["num_repeats"] == 30
    assert result["repeats"]["same_answer"]["value"] == 1  # the repeats are copies
    assert result["agreement"]["num_cases"] == 40
    median = readings[readings["repeat"] == 0].groupby("reader")["response_s"].median()["R1"]
    assert result["readers"]["R1"]["response_times"]["median_s"] == pytest.approx(median, rel=1e-5)


def test_the_mean_of_either_test_is_the_mean_over_the_readers(study):
    _, _, result = study
    for name, mean in (
        ("auc", result["pooled"]["auc"]["mean"]),
        ("certainty_weighted", result["pooled"]["accuracy"]["certainty_weighted"]["mean"]),
        ("unsure_half", result["pooled"]["accuracy"]["unsure_half"]["mean"]),
    ):
        assert result["readers_and_cases"][name]["mean"] == pytest.approx(mean, abs=2e-6)


def test_the_pooled_average_precision_is_the_mean_of_the_readers_own(study):
    _, _, result = study
    own = [reader["average_precision"]["value"] for reader in result["readers"].values()]
    assert result["pooled"]["average_precision"]["mean"] == pytest.approx(np.mean(own), abs=1e-6)
    assert abs(np.mean(own) - result["pooled"]["auc"]["mean"]) > 0.001


def test_quartiles_of_times_are_of_the_label_that_they_name(study):
    readings, labels, result = study
    first = readings[readings["repeat"] == 0].merge(labels, on="case")
    for label, rows in first.groupby("label"):
        found = result["pooled"]["response_times"]["by_label"][label]
        quartiles = [found[name] for name in ("lower_quartile_s", "median_s", "upper_quartile_s")]
        assert quartiles == pytest.approx(rows["response_s"].quantile([0.25, 0.5, 0.75]).tolist(), rel=1e-5)


def test_agreement_with_oneself_falls_with_what_is_turned_round(study):
    readings, labels, _ = study
    turned = dict(zip(LEVELS, LEVELS[::-1], strict=True))
    again = readings["repeat"] == 1
    other = readings.assign(answer=readings["answer"].where(~again, readings["answer"].map(turned)))
    found = analyse(other, labels, seed=1)["repeats"]
    assert found["cohen_quadratic"]["mean"] < -0.3
    unsure = (readings["answer"][again] == "unsure").mean()
    assert found["same_answer"]["value"] == pytest.approx(unsure, abs=1e-6)


def test_intervals_of_shares_stay_shares_and_none_is_a_point():
    """Readers who are nearly always right, and one who is always unsure."""
    cases = [f"c{index}" for index in range(12)]
    labels = pd.DataFrame({"case": cases, "label": ["real", "synthetic"] * 6})
    right = {"real": LEVELS[0], "synthetic": LEVELS[4]}
    rows = [
        {"reader": f"R{reader}", "case": case, "answer": "unsure" if reader == 3 or index < reader else right[label]}
        for reader in range(4)
        for index, (case, label) in enumerate(labels.itertuples(index=False))
    ]
    result = analyse(pd.DataFrame(rows), labels, seed=1)
    assert "absent" in result["readers"]["R3"]["accuracy"]["unsure_half"]
    assert result["readers"]["R3"]["auc"]["value"] == 0.5

    def intervals(node):
        if isinstance(node, dict):
            if {"low", "high"} <= node.keys():
                yield node
            for value in node.values():
                yield from intervals(value)

    found = list(intervals({name: result[name] for name in ("pooled", "readers", "readers_and_cases", "agreement")}))
    assert len(found) > 20
    assert all(-1 <= each["low"] < each["high"] <= 1 for each in found)
    shares = list(intervals({name: result[name] for name in ("pooled", "readers", "readers_and_cases")}))
    assert all(each["low"] >= 0 for each in shares)


def test_nine_tenths_of_the_cases_make_a_reader_count_and_less_does_not(study):
    readings, labels, _ = study
    for missed, counts in ((4, True), (5, False)):
        kept = readings[(readings["reader"] != "R0") | (readings["case"] >= f"case-{missed:03d}")]
        assert ("R0" in analyse(kept, labels, seed=1)["counted_readers"]) == counts


def test_the_interval_of_agreement_is_about_as_wide_as_two_standard_deviations_over_samples_of_cases():
    kappas, widths = [], []
    for seed in range(40):
        found = analyse(*simulated(num_cases=20, seed=100 + seed), seed=1)["agreement"]["fleiss_two"]
        kappas.append(found["value"])
        widths.append(found["high"] - found["low"])
    assert np.median(widths) == pytest.approx(2 * 1.96 * np.std(kappas, ddof=1), rel=0.35)


def test_response_times_by_certainty_are_of_the_answers_of_that_certainty(study):
    readings, _, result = study
    first = readings[readings["repeat"] == 0]
    unsure = first["response_s"][first["answer"] == "unsure"]
    found = result["pooled"]["response_times"]["by_certainty"]["unsure"]
    assert (found["num"], found["median_s"]) == (len(unsure), pytest.approx(unsure.median(), rel=1e-5))


def test_the_images_that_fooled_most_come_first_with_their_counts(study):
    readings, labels, result = study
    first = readings[readings["repeat"] == 0].merge(labels, on="case")
    mean = first["answer"].map(dict(zip(LEVELS, np.arange(5) / 4, strict=True))).groupby(first["case"]).mean()
    truth = labels.set_index("case")["label"]
    for name, label, wrong in (
        ("synthetic_taken_for_real", "synthetic", mean < 0.5),
        ("real_taken_for_synthetic", "real", mean > 0.5),
    ):
        fooling = mean[wrong & (truth.loc[mean.index] == label)].sort_values(ascending=label == "synthetic")
        found = result["fooled"][name]
        assert found["num"] == len(fooling) > 1
        assert [case["mean_score"] for case in found["most"]] == pytest.approx(fooling.tolist()[:10], abs=1e-5)
        for case in found["most"]:
            assert case["id"] == "of-" + case["case"]
            assert sum(case["answers"].values()) == case["num_readers"] == 6


def test_the_order_of_the_rows_changes_nothing(study):
    readings, labels, result = study
    assert analyse(readings.sample(frac=1, random_state=0), labels[::-1], seed=1) == result


def test_a_reader_who_stopped_early_counts_for_himself_only(study):
    readings, labels, _ = study
    stopped = readings[(readings["reader"] != "R0") | (readings["position"] <= 10)]
    found = analyse(stopped, labels, seed=1)
    assert found["left_out_readers"] == {"R0": 10}
    without = analyse(readings[readings["reader"] != "R0"], labels, seed=1)
    for name in ("pooled", "readers_and_cases", "agreement", "course", "groups", "fooled"):
        assert found[name] == without[name]
    assert found["readers"]["R0"]["num_readings"]["real"] + found["readers"]["R0"]["num_readings"]["synthetic"] == 10


def test_a_case_that_one_reader_missed_is_left_out_where_readers_are_crossed(study):
    readings, labels, _ = study
    found = analyse(readings[(readings["reader"] != "R0") | (readings["case"] != "case-003")], labels, seed=1)
    assert found["left_out_readers"] == {}
    assert found["agreement"]["num_cases"] == 39
    assert found["readers_and_cases"]["num_cases"] == {"real": 20, "synthetic": 19}


@pytest.mark.parametrize(
    ("keep", "absent"),
    [
        (lambda readings: readings["reader"] == "R0", ("readers_and_cases", "agreement", "groups")),
        (lambda readings: readings["case"] < "case-020", ("readers_and_cases", "groups")),
        (lambda readings: readings["case"] < "case-001", ("readers_and_cases", "groups", "agreement", "course")),
    ],
)
def test_what_a_small_study_cannot_give_says_why(study, keep, absent):
    readings, labels, _ = study
    result = analyse(readings[keep(readings)], labels, seed=1)
    json.dumps(result, allow_nan=False)
    for name in absent:
        assert set(result[name]) == {"absent"}, name


def test_a_foreign_study_without_groups_order_and_times_says_so(study):
    readings, labels, _ = study
    result = analyse(readings[readings["repeat"] == 0][["reader", "case", "answer"]], labels, seed=1)
    assert [set(result[name]) for name in ("groups", "course", "repeats")] == [{"absent"}] * 3
    assert set(result["pooled"]["response_times"]) == {"absent"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda readings: readings.assign(case="other"), "each case must have a label, 'other' has none"),
        (lambda readings: readings.assign(answer="Unsure"), "an answer must be one of .*got 'Unsure'"),
        (lambda readings: readings.assign(repeat=0), "a reader must answer a case once"),
    ],
)
def test_readings_that_cannot_be_meant_are_refused(study, change, message: str):
    readings, labels, _ = study
    with pytest.raises(ValueError, match=message):
        analyse(change(readings), labels, seed=1)


def test_numbers_have_six_significant_digits(published):
    value = published["pooled"]["auc"]["low"]
    assert value == float(f"{value:.6g}")
    assert not math.isclose(value, round(value, 4), abs_tol=1e-9)


def test_the_command_writes_the_statistics_the_figures_and_a_few_lines(study, tmp_path):
    readings, labels, result = study
    readings.to_csv(tmp_path / "answers.csv", index=False)
    labels.to_csv(tmp_path / "key.csv", index=False)
    for case in labels["case"]:
        write_grey(tmp_path / "cases" / f"{case}.png", np.full((16, 32), 90, np.uint8))
    lines = analyse_files(
        tmp_path / "answers.csv",
        tmp_path / "key.csv",
        tmp_path / "out" / "study.json",
        figures=tmp_path / "figures",
        images=tmp_path / "cases",
    )
    assert json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8")) == result
    assert lines[0] == "6 readers, 20 real and 20 synthetic images, 240 readings and 30 repeats"
    assert f"AUC, readers and cases random: {result['readers_and_cases']['auc']['mean']:.3f} [" in lines[1]
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {
        *(f"{name}.png" for name in ("answers", "certainty", "roc", "times", "course", "fooled")),
        *(f"{name}.csv" for name in ("answers", "certainty", "roc", "times", "course", "cases", "readers")),
    }


def test_the_tables_beside_the_figures_hold_what_the_statistics_say(study, tmp_path):
    readings, labels, result = study
    draw_figures(readings, labels, result, tmp_path, None)
    answers = pd.read_csv(tmp_path / "answers.csv")
    for label, rows in answers.groupby("label"):
        assert dict(zip(rows["answer"], rows["count"], strict=True)) == result["pooled"]["confusion"][label]
        assert rows["share"].sum() == pytest.approx(1, abs=1e-5)
    roc = pd.read_csv(tmp_path / "roc.csv").groupby("reader")
    for reader, curve in roc:
        area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
        value = (
            result["pooled"]["auc"]["mean"]
            if reader == "mean over readers"
            else result["readers"][reader]["auc"]["value"]
        )
        assert area == pytest.approx(value, abs=1e-5)
    course = pd.read_csv(tmp_path / "course.csv")
    means = course[course["reader"] != "mean over readers"].groupby("reader")["accuracy"].mean()
    for reader, value in means.items():  # ten tenths of four readings each
        expected = result["readers"][reader]["accuracy"]["certainty_weighted"]["value"]
        assert value == pytest.approx(expected, abs=1e-5)
    assert not (tmp_path / "fooled.png").exists()


def test_figures_are_the_same_bytes_each_time(study, tmp_path):
    readings, labels, result = study
    first, second = (draw_figures(readings, labels, result, tmp_path / name, None) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_panel_counts_those_who_called_an_image_what_it_is_not(study):
    readings, _, result = study
    first = readings[readings["repeat"] == 0]
    for side, words in (("synthetic_taken_for_real", "real"), ("real_taken_for_synthetic", "fake")):
        for case in result["fooled"][side]["most"]:
            given = first["answer"][first["case"] == case["case"]]
            assert num_fooled(case, side) == given.str.endswith(words).sum()


def test_readers_of_any_name_are_drawn_and_figures_of_an_earlier_study_go(study, tmp_path):
    readings, labels, result = study
    draw_figures(readings, labels, result, tmp_path, None)
    assert (tmp_path / "times.png").is_file()
    names = {f"R{index}": name for index, name in enumerate([r"$\frac$", "_R0", "a_b^c", "$", "Ä", "R 5"])}
    other = readings.assign(reader=readings["reader"].map(names)).drop(columns="response_s")
    draw_figures(other, labels, analyse(other, labels, seed=1), tmp_path, None)
    assert (tmp_path / "roc.png").is_file() and not (tmp_path / "times.png").exists()
    assert set(pd.read_csv(tmp_path / "roc.csv")["reader"]) == {*names.values(), "mean over readers"}


def test_a_panel_without_its_images_says_which_one_is_missing(study, tmp_path):
    readings, labels, result = study
    with pytest.raises(ValueError, match=r"must hold each case as PNG, it lacks .*case-\d+\.png"):
        draw_figures(readings, labels, result, tmp_path, tmp_path / "nothing")
