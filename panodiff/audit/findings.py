"""What an audit finds, check by check, and how it is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHOWN = 12  # problems of one check that are printed; the rest are counted


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    title: str  # the sentence that was checked
    examined: str  # on how much it was checked
    problems: tuple[str, ...] = ()  # each names what is wrong, and what to do where that is not plain
    notes: tuple[str, ...] = ()  # worth knowing, no reason to distrust anything

    @property
    def status(self) -> str:
        """`holds` or `FAILS`."""
        return "FAILS" if self.problems else "holds"


def fails(findings: Iterable[Finding]) -> bool:
    """Whether any check found a problem."""
    return any(finding.problems for finding in findings)


def verdict(findings: Sequence[Finding]) -> str:
    """One sentence on all of them."""
    failed = [finding for finding in findings if finding.problems]
    if not failed:
        return f"All {len(findings)} checks hold."
    count = sum(len(finding.problems) for finding in failed)
    return f"{len(failed)} of {len(findings)} checks fail, with {count} problem{'s' if count > 1 else ''}."


def as_lines(findings: Sequence[Finding]) -> list[str]:
    """For a terminal: a line a check, its problems and notes below it."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<7}{finding.title} ({finding.examined})")
        lines += [f"       - {text}" for text in _shortened(finding.problems)]
        lines += [f"       note: {text}" for text in finding.notes]
    return [*lines, "", verdict(findings)]


def as_markdown(findings: Sequence[Finding], heading: str, facts: Sequence[tuple[str, str]]) -> str:
    """The same as a document, with every problem in it."""
    rows = [f"| {finding.status} | {_cell(finding.title)} | {_cell(finding.examined)} |" for finding in findings]
    parts = [
        f"# {heading}",
        "\n".join(f"- {name}: {value}" for name, value in facts),
        f"**{verdict(findings)}**",
        "\n".join(["| | checked | on |", "|---|---|---|", *rows]),
    ]
    for finding in findings:
        items = [f"- {text}" for text in finding.problems] + [f"- note: {text}" for text in finding.notes]
        if items:
            parts.append("\n".join([f"## {finding.title}", "", *items]))
    return "\n\n".join(parts) + "\n"


def _shortened(problems: Sequence[str]) -> list[str]:
    left = len(problems) - _SHOWN
    return [*problems[:_SHOWN], *([f"and {left} more (metrics/audit.md has them all)"] if left > 0 else [])]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
