"""The batches of coming steps, made by threads while the device works on the present one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

MakeBatches = Callable[[int], list[Any]]  # of a step: the parts of its batch


class Batches:
    """What `make(step)` returns for steps in their order, made up to `ahead` steps before it is asked for.

    A batch is a function of its step alone: which thread makes it, and when, changes nothing. With `ahead` 0 it is
    made when it is asked for, by who asks: on a CPU threads would only take the cores from the training.
    """

    def __init__(self, make: MakeBatches, steps: range, *, ahead: int, workers: int) -> None:
        self._make, self._steps, self._ahead = make, steps, ahead
        self._pool = ThreadPoolExecutor(workers) if ahead else None
        self._coming: dict[int, Future[list[Any]]] = {}

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def of(self, step: int) -> list[Any]:
        """The parts of the batch of `step`."""
        if not self._pool:
            return self._make(step)
        for coming in range(step, min(step + self._ahead + 1, self._steps.stop)):
            if coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._make, coming)
        return self._coming.pop(step).result()
