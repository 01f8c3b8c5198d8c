"""Marks for the functions that make the report's figures and tables.

A marked function takes the folder results/<scale>.  One that draws a figure returns a matplotlib figure, one that
makes a table returns LaTeX.  The first paragraph of its docstring says what is shown.

:mod:`replication.report.parts` finds the marks by reading the sources, so that the workflow knows all figures and
tables without importing matplotlib.  Name and patterns must therefore be plain strings in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def figure(name: str, reads: Sequence[str] = ("*",)) -> Callable[[Function], Function]:
    """Mark a function that draws the figure ``name``, which the text shows as figures/``name``.

    Args:
        name: the name of the figure.
        reads: the files of results/<scale> that it is drawn from, beside config.json, as patterns: "regression/scpo/*"
            is every file of the runs of an arm.  The workflow makes these files for the figure and no others.
    """
    return _mark("figure", name, reads)


def table(name: str, reads: Sequence[str] = ("*",)) -> Callable[[Function], Function]:
    """Mark a function that makes the table ``name``, which the text shows as tables/``name``.

    Args:
        name: the name of the table.
        reads: as for :func:`figure`.  A scale that has none of these runs makes no such table.
    """
    return _mark("table", name, reads)


def _mark(kind: str, name: str, reads: Sequence[str]) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        function.__dict__ |= {kind: name, "reads": reads}
        return function

    return mark
