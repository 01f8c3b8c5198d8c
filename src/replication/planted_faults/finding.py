"""The result of one planted fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One planted fault, what had to happen and what happened.

    Attributes:
        name: for tables, figures and messages.
        planted: the fault, in words.
        expected: what had to happen.
        observed: what happened.  It holds no path, time or anything else that differs from run to run.
        numbers: the counts and values behind ``observed``; a sequence if the fault was planted in several sizes.
        caught: True if everything expected happened, the controls included.
    """

    name: str
    planted: str
    expected: str
    observed: str
    numbers: Mapping[str, int | float | Sequence[float]]
    caught: bool
