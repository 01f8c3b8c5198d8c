"""Marks for the functions that make the report's figures and tables.

A marked function takes the folder results/<scale>.  One that draws a figure returns a matplotlib figure, one that
makes a table returns LaTeX.  The first paragraph of its docstring says what is shown.

:mod:`replication.report.parts` finds the marks by reading the sources, so that the workflow knows all figures and
tables without importing matplotlib.  The name must therefore be a plain string in the source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def figure(name: str) -> Callable[[Function], Function]:
    """Mark a function that draws the figure ``name``, which the text shows as figures/``name``."""
    return _mark("figure", name)


def table(name: str) -> Callable[[Function], Function]:
    """Mark a function that makes the table ``name``, which the text shows as tables/``name``."""
    return _mark("table", name)


def _mark(kind: str, name: str) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        function.__dict__[kind] = name
        return function

    return mark
