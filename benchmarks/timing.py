"""How the benchmarks measure: processor seconds of one thread.

Processor time does not count the waiting, so ratios hold on a machine that is not idle, where elapsed times would not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds of one call."""
    before = time.process_time()
    work()
    return time.process_time() - before


class Clock:
    """Processor seconds spent below wrapped functions, by part; a part inside another counts for the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside = False

    def part(self, name: str | Callable[..., str], function: Callable[..., object]) -> Callable[..., object]:
        """Return ``function`` with its time added to part ``name``, which may depend on the arguments."""

        def timed(*arguments: object, **options: object) -> object:
            if self._inside:
                return function(*arguments, **options)
            self._inside, before = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self._inside = False
                label = name if isinstance(name, str) else name(*arguments)
                self.spent[label] = self.spent.get(label, 0.0) + time.process_time() - before

        return timed

    def drain(self) -> dict[str, float]:
        """Return what was spent since the last call."""
        spent, self.spent = self.spent, {}
        return spent


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Let ``owner.name`` be ``value`` inside this context."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def machine() -> str:
    """Return the machine by cores and model, and nothing else of it."""
    import os
    import platform

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = os.cpu_count() or 1
    return f"{cores} cores, {model}"
