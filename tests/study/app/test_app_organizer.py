"""What the organizer sees, exports and deletes."""

import csv
import sqlite3
from pathlib import Path

import pytest
from served_studies import STATE, agree, client_of, give, invited, look, write_study
from starlette.testclient import TestClient

from panodiff.cli import main
from panodiff.study.analysis.answers import read_answers
from panodiff.study.app.database import Database
from panodiff.study.app.organizer import delete_reader, export, read_key, status_lines
from panodiff.study.app.served import load_served
from panodiff.study.app.server import create_app
from panodiff.study.app.showings import grant_look, keep_answer, report_painted, showings_of, take_look
from panodiff.study.levels import READING_COLUMNS

LIMIT_S = 12.0


def read_all(database: Database, reader: int, levels: list[int], *, painted: bool = True) -> None:
    """Answer the first cases, each 3 s after its first painted frame."""
    for position, level in enumerate(levels, start=1):
        now = 1_800_000_000.0 + 100 * position
        take_look(database, reader, grant_look(database, reader, position), now)
        if painted:
            report_painted(database, reader, position, now + 1)
        keep_answer(database, reader, position, level, now + 4 + 10 * position)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_export_is_what_the_analysis_reads(tmp_path: Path):
    write_study(tmp_path, num_cases=4, num_warm_up=2, num_repeats=1, time_limit_s=LIMIT_S)
    invited(tmp_path, "R1", "R2")
    database = Database(tmp_path / STATE)
    read_all(database, 1, [1, 2, 3, 4, 5, 1, 2])
    read_all(database, 2, [5, 5, 5], painted=False)
    lines = export(database, tmp_path / "readings")
    assert lines[0].startswith("6 answers of 2 readers")
    rows = rows_of(tmp_path / "readings/readings.csv")
    assert tuple(rows[0]) == READING_COLUMNS
    names = [each.name for each in showings_of(database, 1)][2:]
    assert [row["case"] for row in rows] == [*names, showings_of(database, 2)[2].name]
    assert [row["answer"] for row in rows[:5]] == [
        *("unsure", "probably fake", "definitely fake", "definitely real", "probably real")
    ]
    assert [row["position"] for row in rows] == ["1", "2", "3", "4", "5", "1"]
    assert [row["repeat"] for row in rows] == ["0", "0", "0", "0", "1", "0"]
    assert rows[0]["viewing_s"] == "12.000" and rows[0]["response_s"] == "33.000"
    assert rows[0]["answered"] == "2027-01-15T08:05:34+00:00"
    assert rows[5]["viewing_s"] == rows[5]["response_s"] == ""  # when it was painted is not known
    readings, _ = read_answers(tmp_path / "readings/readings.csv", tmp_path / "key.csv")
    assert len(readings) == 6 and set(readings["group"]) == {"experienced"}
    readers = rows_of(tmp_path / "readings/readers.csv")
    assert [(row["reader"], row["answered"], row["unreported_starts"]) for row in readers] == [
        ("R1", "5", "0"),
        ("R2", "1", "1"),
    ]


def test_the_status_says_who_is_where(tmp_path: Path):
    write_study(tmp_path, num_cases=4, num_warm_up=2)
    codes = invited(tmp_path, "R1", "R2", "R3", "R4")
    database = Database(tmp_path / STATE)
    agree(client_of(tmp_path), codes["R2"])
    read_all(database, 3, [1, 2, 3])
    read_all(database, 4, [1, 2, 3, 4, 5, 1])
    lines = status_lines(database)[1:]
    assert [line.split()[0] for line in lines] == ["R1", "R2", "R3", "R4"]
    for line, where in zip(lines, ("invited", "warm-up, 0 of 2", "1 of 4 answered", "finished"), strict=True):
        assert where in line
    assert lines[3].endswith("2027-01-15T08:11:04+00:00")
    assert not [code for code in codes.values() if code in "\n".join(lines)]


def test_a_deleted_reader_leaves_nothing_in_the_files_and_the_others_stay(tmp_path: Path):
    write_study(tmp_path)
    codes = invited(tmp_path, "to-be-forgotten", "R2")
    client = client_of(tmp_path)
    agree(client, codes["to-be-forgotten"])
    give(client, look(client), 1)
    database = Database(tmp_path / STATE)
    assert "to-be-forgotten" in delete_reader(database, "to-be-forgotten")
    files = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"to-be-forgotten" not in files and b"orthodontist" not in files
    assert len(database.rows("SELECT * FROM showings")) == 8 and not database.rows("SELECT * FROM sessions")
    assert client.get("/case").url.path == "/"
    with pytest.raises(ValueError, match="no reader 'to-be-forgotten'"):
        delete_reader(database, "to-be-forgotten")
    assert client.get("/").status_code == 200
    other = client_of(tmp_path)
    agree(other, codes["R2"])
    give(other, look(other), 1)


def test_a_deletion_that_another_program_keeps_from_ending_says_so_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("panodiff.study.app.database.PATIENCE_S", 0.2)
    write_study(tmp_path)
    invited(tmp_path, "to-be-forgotten", "R2")
    database, backup = Database(tmp_path / STATE), sqlite3.connect(tmp_path / STATE, isolation_level=None)
    backup.execute("BEGIN")
    backup.execute("SELECT * FROM readers").fetchall()
    with pytest.raises(ValueError, match="another program reads the file"):
        delete_reader(database, "to-be-forgotten")
    backup.close()
    with pytest.raises(ValueError, match="no reader 'to-be-forgotten'"):
        delete_reader(database, "to-be-forgotten")
    files = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"to-be-forgotten" not in files and b"R2" in files


def test_without_an_invitation_there_is_nothing_to_tell(tmp_path: Path):
    with pytest.raises(ValueError, match="nobody has been invited"):
        Database(tmp_path / STATE)
    served = load_served(write_study(tmp_path))
    assert status_lines(Database(tmp_path / STATE, served)) == ["nobody has been invited yet"]


def test_results_and_leaderboard_are_for_those_who_have_finished_and_only_if_switched_on(tmp_path: Path):
    write_study(tmp_path, num_cases=4, num_warm_up=2, num_repeats=1)
    codes = invited(tmp_path, "R1", "R2", "R3")
    database, key = Database(tmp_path / STATE), read_key(tmp_path / "key.csv", load_served(tmp_path / "served"))
    for reader in (1, 2):
        labels = [key.get(each.name, "real") for each in showings_of(database, reader)]
        right = [2 if label == "real" else 5 for label in labels]
        read_all(database, reader, right if reader == 1 else [3, 3, 3, *right[3:]])
    pages = {}
    for name, options in {"off": {}, "own": {"key": key}, "all": {"key": key, "leaderboard": True}}.items():
        clients = {reader: client_of(tmp_path, **options) for reader in codes}
        for reader, client in clients.items():
            agree(client, codes[reader])
        pages[name] = [(clients[each].get("/thanks"), clients[each].get("/leaderboard")) for each in codes]
    assert [thanks.url.path for thanks, _ in pages["all"]] == ["/thanks", "/thanks", "/pause"]
    for name, (own, board) in {"off": (False, 404), "own": (True, 404), "all": (True, 200)}.items():
        assert ["Your result" in thanks.text for thanks, _ in pages[name]] == [own, own, False]
        assert [response.status_code for _, response in pages[name]] == [board, board, 404]
    assert "right about <strong>4 of 4</strong>" in pages["own"][0][0].text
    assert "right about <strong>3 of 4</strong> radiographs, and unsure about 1" in pages["own"][1][0].text
    table = pages["all"][1][1].text.partition("<tbody>")[2]
    assert table.index(">R1<") < table.index('class="own"') < table.index(">R2<") and ">R3<" not in table


def test_the_commands_invite_tell_export_and_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "data").mkdir()
    write_study(tmp_path / "data/study", num_warm_up=0)
    monkeypatch.chdir(tmp_path)
    assert main(["study", "status"]) == 2 and "nobody has been invited" in capsys.readouterr().err
    assert main(["study", "invite", "R1", "R2", "--group", "specialist"]) == 0
    codes = dict(line.split() for line in capsys.readouterr().out.splitlines())
    served = load_served(tmp_path / "data/study/served")
    database = Database(tmp_path / "data/answers/study.sqlite")
    client = TestClient(create_app(served, database, consent="Text"))
    agree(client, codes["R1"])
    give(client, look(client), 5)
    assert main(["study", "status"]) == 0 and "1 of 6 answered" in capsys.readouterr().out
    assert main(["study", "export"]) == 0 and "1 answers of 2 readers" in capsys.readouterr().out
    (row,) = csv.DictReader((tmp_path / "data/readings/readings.csv").open())
    assert (row["reader"], row["group"], row["answer"]) == ("R1", "specialist", "definitely fake")
    assert main(["study", "delete", "R1"]) == 0 and main(["study", "delete", "R1"]) == 2
    assert main(["study", "export"]) == 0 and "0 answers of 1 readers" in capsys.readouterr().out
    assert main(["study", "serve", "--results", "missing.csv"]) == 2 and "missing.csv" in capsys.readouterr().err
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert main(["study", "serve", "--results", "other.csv"]) == 2
    assert "must say of each case if it is real or synthetic" in capsys.readouterr().err
