"""The folder that the server shows: nothing in it, and nothing that goes out of it, tells real from synthetic."""

import json
import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
from served_studies import STATE, agree, client_of, invited, look, write_study
from starlette.testclient import TestClient

from panodiff.files import write_csv, write_json
from panodiff.study.app.database import Database
from panodiff.study.app.organizer import read_key
from panodiff.study.app.served import load_served
from panodiff.study.app.server import serve
from panodiff.study.app.showings import draw_order


@pytest.mark.parametrize(
    "name", ["key.csv", "KEY.CSV", "cases/key.csv", "notes/labels.json", "cases/other.png", ".key.csv.partial"]
)
def test_a_folder_with_anything_else_in_it_is_refused(tmp_path: Path, name: str):
    served = write_study(tmp_path)
    (served / name).parent.mkdir(exist_ok=True)
    (served / name).write_bytes((tmp_path / "key.csv").read_bytes())
    with pytest.raises(ValueError, match="may tell readers"):
        serve(served, tmp_path / STATE)
    assert not (tmp_path / STATE).exists()


def test_a_linked_folder_is_refused_and_what_macos_leaves_is_not(tmp_path: Path):
    served = write_study(tmp_path)
    (served / "cases/.DS_Store").write_bytes(b"x")
    load_served(served)
    (tmp_path / "elsewhere").mkdir()
    (served / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="may tell readers"):
        load_served(served)


def test_a_label_column_is_refused(tmp_path: Path):
    served = write_study(tmp_path)
    rows = [{"case": "a", "path": "cases/a.png", "warm_up": 0, "label": "real"}]
    write_csv(served / "cases.csv", ["case", "path", "warm_up", "label"], rows)
    with pytest.raises(ValueError, match="and no other"):
        load_served(served)


@pytest.mark.parametrize("path", ["../key.csv", "/etc/passwd", "cases/../../key.csv", "cases/b.png"])
def test_a_case_with_a_path_of_its_own_is_refused(tmp_path: Path, path: str):
    served = write_study(tmp_path)
    write_csv(served / "cases.csv", ["case", "path", "warm_up"], [{"case": "a", "path": path, "warm_up": 0}])
    with pytest.raises(ValueError, match="a row must be"):
        load_served(served)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_cases": 7}, "must hold 7 cases"),
        ({"num_repeats": 4}, "at most half"),
        ({"size": [8, 8]}, "all cases must be 8×8"),
    ],
)
def test_rules_that_do_not_fit_the_cases_are_refused(tmp_path: Path, change: dict, message: str):
    served = write_study(tmp_path)
    write_json(served / "study.json", json.loads((served / "study.json").read_text()) | change)
    with pytest.raises(ValueError, match=message):
        load_served(served)


def test_a_missing_case_and_a_missing_study_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match="no study at"):
        load_served(tmp_path)
    served = write_study(tmp_path)
    next((served / "cases").glob("*.png")).unlink()
    with pytest.raises(ValueError, match="is missing"):
        load_served(served)


def test_answers_belong_to_one_draw(tmp_path: Path):
    write_study(tmp_path)
    invited(tmp_path, "R1")
    Database(tmp_path / STATE, load_served(tmp_path / "served"))
    other = load_served(write_study(tmp_path / "other", time_limit_s=2))
    with pytest.raises(ValueError, match="another draw"):
        Database(tmp_path / STATE, other)


def test_the_study_is_shown_without_the_key(tmp_path: Path):
    write_study(tmp_path)
    code = invited(tmp_path, "R1")["R1"]
    (tmp_path / "key.csv").unlink()
    client = client_of(tmp_path)
    agree(client, code)
    assert look(client)["position"] == "1"


def test_results_must_be_asked_for_with_a_key_outside_of_the_folder(tmp_path: Path):
    served = write_study(tmp_path)
    with pytest.raises(ValueError, match="needs the results"):
        serve(served, tmp_path / STATE, leaderboard=True)
    with pytest.raises(ValueError, match="must stand outside"):
        serve(served, tmp_path / STATE, key=served / "cases.csv")


def test_a_tunnel_needs_a_token_and_a_server_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    served = write_study(tmp_path)
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    with pytest.raises(ValueError, match="set NGROK_AUTHTOKEN"):
        serve(served, tmp_path / STATE, public=True)
    with pytest.raises(ValueError, match="must stay on this machine"):
        serve(served, tmp_path / STATE, public=True, host="0.0.0.0")


def test_a_key_that_a_table_calculator_saved_is_read(tmp_path: Path):
    served = load_served(write_study(tmp_path))
    key = tmp_path / "key.csv"
    expected = read_key(key, served)
    key.write_text(key.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_key(key, served) == expected


# ---- blinding


def transcript(client: TestClient) -> tuple[str, ...]:
    """All that a browser gets for its current case but the pixels, with what is random or counts taken out."""
    page = client.get("/case", params={"go": 1})
    token = re.search(r'data-token="([^"]*)"', page.text)[1]
    form = re.search(r'data-form-token="([^"]*)"', page.text)[1]
    position = re.search(r'data-position="(\d+)"', page.text)[1]
    picture = client.get(f"/pixels/{token}")
    painted = client.post("/painted", data={"form_token": form, "position": position})
    done = client.post("/answer", data={"form_token": form, "position": position, "level": "3"}, follow_redirects=False)
    parts = [page.text.replace(token, "T" * len(token))]
    for response in (page, picture, painted, done):
        parts += [str(response.status_code), str(len(response.headers)), repr(sorted(response.headers.items()))]
    text = "\n".join([*parts, str(len(picture.content)), painted.text, done.text])
    text = re.sub(r"(Radiograph )\d+( of)", r"\1N\2", text)
    text = re.sub(r'((?:data-position|name="position" value|value)=")\d+"', r'\1N"', text)
    return tuple(re.sub(r"'content-length', '\d\d\d\d'", "'content-length', 'N'", text).split("\n"))


def test_what_a_browser_gets_is_the_same_for_every_case_but_for_the_pixels(tmp_path: Path):
    write_study(tmp_path, num_cases=40, num_warm_up=0, time_limit_s=9)
    sizes = {path.stat().st_size for path in (tmp_path / "served/cases").iterdir()}
    assert len(sizes) > 1  # the files differ in size, and would give cases away
    client = client_of(tmp_path)
    agree(client, invited(tmp_path, "R1")["R1"])
    assert len({transcript(client) for _ in range(40)}) == 1


def test_no_name_of_a_case_leaves_the_server(tmp_path: Path):
    served = load_served(write_study(tmp_path))
    client = client_of(tmp_path)
    agree(client, invited(tmp_path, "R1")["R1"])
    for path in ("/", "/pause", "/instructions", "/case?go=1", "/static/viewer.js"):
        response = client.get(path)
        everything = response.text + repr(response.headers)
        assert not [name for name in (*served.counted, *served.warm_up) if name in everything]
        assert not re.search(r"case-[0-9a-f]{8}|synthetic|\.png", everything)


def test_the_order_of_readers_does_not_know_the_labels(tmp_path: Path):
    served = load_served(write_study(tmp_path, num_cases=40, num_warm_up=0))
    key = read_key(tmp_path / "key.csv", served)
    positions = defaultdict(list)
    for _ in range(2000):
        for position, (name, _, _) in enumerate(draw_order(served)):
            positions[key[name]].append(position)
    # the difference of the means of 40 000 positions each has a standard deviation of 0.08; five of these
    assert abs(statistics.mean(positions["real"]) - statistics.mean(positions["synthetic"])) < 0.42
