"""Headed sections of named facts, and how they are shown on a terminal."""

from collections.abc import Iterable
from textwrap import wrap

Facts = list[tuple[str, str]]  # what each is about, and what is known of it
Section = tuple[str, Facts]
_WIDTH = 118  # of a line, where its words allow it


def as_lines(sections: Iterable[Section]) -> list[str]:
    """For a terminal: each section under its title, the names of its facts in one column."""
    lines: list[str] = []
    for title, facts in sections:
        width = max((len(name) for name, _ in facts), default=0)
        lines += ["", title]
        for name, value in facts:
            lines += wrap(
                value,
                _WIDTH,
                initial_indent=f"  {name:<{width}}  ",
                subsequent_indent=" " * (width + 4),
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines[1:]
