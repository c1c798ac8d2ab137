"""How findings are told."""

from panodiff.audit.findings import Finding, as_lines, as_markdown, fails, verdict

GOOD = Finding(title="A holds", examined="3 files", notes=("a note",))
BAD = Finding(title="B | holds", examined="20 files", problems=tuple(f"file {number}" for number in range(20)))


def test_one_problem_makes_an_audit_fail():
    assert not fails([GOOD])
    assert fails([GOOD, BAD])
    assert verdict([GOOD, GOOD]) == "All 2 checks hold."
    assert verdict([GOOD, BAD]) == "1 of 2 checks fail, with 20 problems."


def test_a_terminal_gets_the_first_problems_and_the_number_of_the_others():
    lines = as_lines([GOOD, BAD])
    assert lines[0].startswith("holds") and "note: a note" in lines[1]
    assert sum("file " in line for line in lines) == 12
    assert any("and 8 more" in line for line in lines)


def test_the_document_has_every_problem_and_stays_a_table():
    text = as_markdown([GOOD, BAD], "Audit", [("profile", "smoke")])
    assert all(f"- file {number}\n" in text for number in range(20))
    assert "| FAILS | B \\| holds | 20 files |" in text
    assert "- profile: smoke" in text
