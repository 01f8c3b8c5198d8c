"""What an experiment with a planted fault returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A planted fault and what became of it.

    Attributes:
        name: for tables, figures and messages.
        planted: the fault.
        expected: what must happen if the checks are worth anything.
        observed: what happened, without paths, times or anything else that differs from run to run.
        numbers: counts and values behind ``observed``; a sequence where the fault was planted in several sizes.
        caught: whether what was expected happened, its controls included.
    """

    name: str
    planted: str
    expected: str
    observed: str
    numbers: Mapping[str, int | float | Sequence[float]]
    caught: bool
