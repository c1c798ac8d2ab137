"""Numbers as the page prints them, found where the evaluation leaves them, or the reason why they are not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Absent:
    """Something that the page would show if it were there, and why it is not."""

    reason: str


def shown(evaluation: Mapping[str, Any], path: str) -> str | Absent:
    """The number at `path`, with its interval if it has one: a distance then without its bias."""
    value = value_at(evaluation, path)
    if isinstance(value, Absent):
        return value
    if not isinstance(value, dict):
        return number(value)
    middle = number(middle_of(value))
    return f"{middle} {interval(value)}" if "low" in value else middle


def interval(value: Mapping[str, float]) -> str:
    """The ends of an interval, which no line break parts."""
    return f"[{number(value['low'])},\N{NO-BREAK SPACE}{number(value['high'])}]"


def middle_of(value: Mapping[str, float]) -> float:
    """The number itself of one that came with its interval."""
    return next(value[name] for name in ("unbiased", "value", "mean", "share") if name in value)


def value_at(evaluation: Mapping[str, Any], path: str) -> Any:
    """What stands at `path`, or why nothing does: `absent` on the way there says so."""
    node: Any = evaluation
    reasons: dict[str, str] = {}
    for key in path.split("."):
        reasons |= node.get("absent", {})
        if not isinstance(node.get(key), int | float | dict):
            said = (reasons[part] for part in path.split(".") if part in reasons)
            return Absent(next(said, f"no {path} was measured"))
        node = node[key]
    return node


def number(value: float) -> str:
    """Three significant digits, two decimals from 10 and one from 100; whole numbers as they are; a true minus."""
    size = abs(value)
    if float(value).is_integer():
        text = f"{size:.0f}"
    elif size < 0.0001:
        text = f"{size:.1e}"
    else:
        text = f"{size:.3g}" if size < 10 else f"{size:.2f}" if size < 100 else f"{size:.1f}"
    return f"{'−' if value < 0 else ''}{text.replace('-', '−')}"


def percent(share: float) -> str:
    """A share of 1 in percent, with a decimal below 10 where it is not zero."""
    text = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.1f}".removesuffix(".0")
    return f"{text}\N{NO-BREAK SPACE}%"
