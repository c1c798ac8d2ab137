"""Progress where there is no terminal: a line a tenth of the way."""

import time

import pytest

from panodiff.progress import Progress, track


def test_a_tenth_is_told_with_count_total_and_note_but_no_more_than_a_line_a_second(capsys: pytest.CaptureFixture[str]):
    progress = Progress(1000, "drawing")
    for count in (50, 50, 50, 400):
        progress.advance(count, note="loss 0.5")
    time.sleep(1.1)
    for count in (10, 100, 340):
        progress.advance(count, note="loss 0.4")
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in lines] == ["100/1000", "560/1000", "1000/1000"]
    assert [line.split(", ")[-1] for line in lines] == ["loss 0.5", "loss 0.4", "loss 0.4"]
    assert all(line.startswith("drawing: ") for line in lines)


def test_a_run_that_goes_on_says_where(capsys: pytest.CaptureFixture[str]):
    progress = Progress(10, "training", initial=7, unit="step")
    progress.advance(3)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "training: going on at 7/10 steps",
        "training: 10/10 steps",
    ]


def test_tracked_items_come_through_and_count_when_they_are_done(capsys: pytest.CaptureFixture[str]):
    assert list(track("abcd", 4, "reading")) == list("abcd")
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "reading: 1/4 images",
        "reading: 4/4 images",
    ]
    for _ in track("abcd", 4, "reading"):
        assert capsys.readouterr().out == ""
        break


def test_nothing_to_do_is_no_error(capsys: pytest.CaptureFixture[str]):
    assert list(track([], 0, "reading")) == []
    assert capsys.readouterr().out == ""


def test_of_several_processes_the_first_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    list(track("abcd", 4, "reading"))
    assert capsys.readouterr().out == ""
