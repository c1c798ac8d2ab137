"""The tables: every file accounted for, every setting with its origin."""

import pandas as pd
import pytest

from panodiff.report.tables import (
    duration,
    energy,
    energy_reasons,
    environment_rows,
    reasons,
    settings,
    size,
    source_counts,
)

CORPUS = pd.DataFrame(
    [
        ("adld", "kept", None, "train"),
        ("adld", "duplicate", "same pixels as adld-0123456789ab", None),
        ("adld", "duplicate", "same pixels as my.set-0123456789ac-2", None),
        ("my.set", "kept", None, "test"),
        ("my.set", "rejected", "cannot be decoded", None),
        ("my.set", "beside", "not among the source's radiographs", None),
    ],
    columns=["source", "status", "reason", "split"],
)


def test_reasons_are_counted_over_the_images_that_they_name():
    found = [(row.source, row.status, row.reason, row.count) for row in reasons(CORPUS)]
    assert found == [
        ("adld", "duplicate", "same pixels as another image", 2),
        ("my.set", "rejected", "cannot be decoded", 1),
    ]


def test_a_dropped_file_without_a_reason_shows():
    corpus = CORPUS.assign(reason=None)
    assert {row.reason for row in reasons(corpus)} == {"no reason given"}


def test_the_account_of_each_source_stands_beside_its_splits():
    counts = {"found": 3, "kept": 1, "duplicate": 2, "rejected": 0, "beside": 0}
    account = {"sources": {"adld": counts}, "total": counts | {"found": 5}}
    adld, every = source_counts(account, CORPUS)
    assert (adld.found, adld.by_status, adld.by_split, adld.beside) == (3, [1, 2, 0], [1, 0, 0], 0)
    assert (every.source, every.found, every.by_split) == ("all", 5, [1, 0, 1])


def test_a_setting_of_the_profile_is_told_from_one_of_the_base():
    tracked = {
        "seed": 1,
        "sample": {"num_images": 7243, "eta": 0.0},
        "profiles.smoke": {"sample": {"num_images": 64}},
    }
    found = {row.key: (row.value, row.from_profile) for rows in settings(tracked, "smoke").values() for row in rows}
    assert found == {"seed": ("1", False), "sample.num_images": ("64", True), "sample.eta": ("0.0", False)}


def test_environments_that_differ_name_their_stages():
    def record(stage: str, python: str) -> dict:
        environment = {
            "panodiff": "0.1.0",
            "git": None,
            "python": python,
            "platform": "Linux",
            "cpu_count": 2,
            "packages_sha256": "ab",
            "torch": None,
        }
        return {"stage": stage, "environment": environment}

    rows = dict(environment_rows([record("sample", "3.11.7"), record("upscale", "3.12.1")]))
    assert rows["Python"] == [("3.11.7", ["sample"]), ("3.12.1", ["upscale"])]
    assert rows["platform"] == [("Linux", [])]


@pytest.mark.parametrize(("seconds", "shown"), [(7.25, "7.2 s"), (119, "119.0 s"), (600, "10.0 min"), (9000, "2.5 h")])
def test_times_are_in_the_unit_that_fits(seconds: float, shown: str):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (77e9, "77 GB"), (3e12, "3 TB")]
)
def test_sizes_are_in_the_unit_that_fits(count: float, shown: str):
    assert size(count) == shown


def test_energy_is_summed_by_counter_and_what_was_not_read_is_no_zero():
    read = {"stage": "a", "energy_j": {"gpu": 3600.0, "cpu": 1800.0}}
    half = {"stage": "b", "energy_j": {"gpu": 7.2e6, "absent": {"cpu": "hidden"}}}
    silent = {"stage": "c"}
    assert energy([read]) == "GPU 1 Wh, CPU 0.5 Wh"
    assert energy([half]) == "GPU 2 kWh"
    assert energy([read, half]) == "GPU 2 kWh, CPU 0.5 Wh"
    assert energy([silent]) == energy([]) == ""
    assert energy_reasons([read, half, half, silent]) == ["CPU: hidden", "The records of c do not tell it"]
    assert energy_reasons([read]) == []
