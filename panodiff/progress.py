"""Progress of long work: a bar with rate and time left on a terminal, one line a tenth of the way elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from panodiff import launch

Item = TypeVar("Item")


class Progress:
    """Counts finished units of work from `initial` to `total` and shows how it goes."""

    def __init__(self, total: int, what: str, *, initial: int = 0, unit: str = "image") -> None:
        shows_bar = sys.stderr.isatty() and launch.rank() == 0
        self._bar = tqdm(total=total, initial=initial, desc=what, unit=unit, disable=not shows_bar)
        self._done, self._total, self._what, self._unit = initial, total, what, unit
        self._started, self._start_count = time.monotonic(), initial
        self._tenth, self._printed = 10 * initial // max(total, 1), time.monotonic() - 1
        self._prints = self._bar.disable and launch.rank() == 0
        if initial and self._prints:
            print(f"{what}: going on at {initial}/{total} {unit}s", flush=True)

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` is shown beside the bar."""
        self._done += count
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif self._prints and self._is_worth_a_line():
            print(self._line(note), flush=True)

    def _is_worth_a_line(self) -> bool:
        """Another tenth is done, and a second has passed since the last line; or all is done."""
        tenth, now = 10 * self._done // max(self._total, 1), time.monotonic()
        if self._done < self._total and (tenth <= self._tenth or now < self._printed + 1):
            return False
        self._tenth, self._printed = tenth, now
        return True

    def _line(self, note: str) -> str:
        rate = (self._done - self._start_count) / max(time.monotonic() - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        line = f"{self._what}: {self._done}/{self._total} {self._unit}s, {rate:.3g} a second, {left:.0f} s left"
        return f"{line}, {note}" if note else line

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def track(items: Iterable[Item], total: int, what: str, *, unit: str = "image") -> Iterator[Item]:
    """The items, with progress shown as they are taken."""
    progress = Progress(total, what, unit=unit)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()
