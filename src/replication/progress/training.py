"""The progress of a training run, read from the end of its log (written by :mod:`replication.training.train`)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Bytes at the end of a log in which the last line of progress is looked for.
TAIL = 4096
LINE = re.compile(
    r"update (?P<update>\d+)/(?P<updates>\d+)  loss (?P<loss>\S+)  max g (?P<max_g>\S+)  "
    r"unsafe so far (?P<unsafe>\d+)  about (?P<left>\d+) s left"
)


@dataclass(frozen=True)
class Reading:
    """The last report of a training run.

    Attributes:
        update, updates: the update it was at, and how many there are.
        loss: the loss of that update's batch.
        slack: minus the largest constraint value of the iterate.
        unsafe: unsafe iterates so far.
        left: seconds that the run had left, by its own estimate.
        at: the time of the report, in seconds since 1970.
    """

    update: int
    updates: int
    loss: float
    slack: float
    unsafe: int
    left: float
    at: float

    def left_at(self, now: float) -> float:
        """Return the seconds that are left at the time ``now``."""
        return max(0.0, self.left - (now - self.at))


def tail(path: Path, size: int = TAIL) -> str:
    """Return the end of a text file, or "" if it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(-min(size, os.fstat(stream.fileno()).st_size), os.SEEK_END)
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def reading(path: Path) -> Reading | None:
    """Return the last report in the log ``path`` of a training run, or None if there is none yet."""
    reports = list(LINE.finditer(tail(path)))
    if not reports:
        return None
    found = reports[-1]
    loss, max_g = float(found["loss"]), float(found["max_g"])
    counts = int(found["update"]), int(found["updates"])
    return Reading(*counts, loss, -max_g, int(found["unsafe"]), float(found["left"]), path.stat().st_mtime)


class Logs:
    """Reads logs again only when they have grown."""

    def __init__(self, read: Callable[[Path], Reading | None] = reading) -> None:
        self._read = read
        self._known: dict[str, tuple[int, Reading | None]] = {}

    def reading(self, log: str) -> Reading | None:
        """Return :func:`reading` of a log that may not exist yet ("" if there is none)."""
        try:
            size = os.stat(log).st_size
            if log not in self._known or self._known[log][0] != size:
                self._known[log] = size, self._read(Path(log))
        except OSError:
            return None
        return self._known[log][1]
