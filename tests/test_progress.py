"""Progress where there is no terminal: a line a tenth of the way."""

import pytest

from panodiff.progress import Progress, track


def test_each_tenth_is_told_once_with_count_total_and_note(capsys: pytest.CaptureFixture[str]):
    progress = Progress(1000, "drawing")
    for _ in range(1000):
        progress.advance(note="loss 0.5")
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in lines] == [f"{count}/1000" for count in range(100, 1001, 100)]
    assert all(line.startswith("drawing: ") and line.endswith(", loss 0.5") for line in lines)


def test_a_run_that_goes_on_says_where(capsys: pytest.CaptureFixture[str]):
    progress = Progress(10, "training", initial=7, unit="step")
    progress.advance(3)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "training: going on at 7/10 steps",
        "training: 10/10 steps",
    ]


def test_tracked_items_come_through_and_count_when_they_are_done(capsys: pytest.CaptureFixture[str]):
    assert list(track("abcd", 4, "reading")) == list("abcd")
    assert capsys.readouterr().out.count("reading: ") == 4
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
