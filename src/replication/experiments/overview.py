"""The tables and figures that the notebooks show: the quantities of all arms side by side, as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from replication.errors import NotRunError, ResultError
from replication.experiments.shown import format_of
from replication.results.quantities import Format, Table
from replication.results.statistics import PAIRS
from scpo.errors import NonFiniteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def overview(table: Table, experiment: str, columns: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return a row for each arm of the experiment, and a column of texts for each of ``columns``.

    Args:
        table: the quantities of a scale.
        experiment: its name.
        columns: heading -> quantity and statistic over the seeds.
    """
    rows = {
        arm: {heading: _cell(table, experiment, arm, *what) for heading, what in columns.items()}
        for arm in table.arms(experiment)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def summary(table: Table, experiment: str, quantity: str, arms: Collection[str] = ()) -> pd.DataFrame:
    """Return a row for each arm that has the quantity: how many seeds, their median, its exact interval, the range.

    Args:
        table: the quantities of a scale.
        experiment: its name.
        quantity: its name.
        arms: which arms are shown; empty: all that have the quantity.
    """
    columns = {statistic: (quantity, statistic) for statistic in ("seeds", "median", "interval", "range")}
    shown = overview(table, experiment, columns)
    return shown[[table.has(experiment, arm, quantity) and (not arms or arm in arms) for arm in shown.index]]


def by_seed(heading: str, look_up: Callable[..., pd.Series[float]], *what: str) -> pd.DataFrame | str:
    """Return what ``look_up(*what)`` finds, as a column with a row for each seed, or the message of its error."""
    try:
        return pd.DataFrame({heading: look_up(*what)}).round(4)
    except ResultError as error:
        return str(error)


def picture(draw: Callable[[Path], Figure], results: Path) -> Any:
    """Return the figure that ``draw(results)`` draws, for a notebook, or a text that says which run the scale lacks."""
    from IPython.display import Image

    from replication.typeset.style import png  # here, since it imports seaborn, which a table does not need

    try:
        return Image(png(draw(results)))  # type: ignore[no-untyped-call]
    except NotRunError as error:
        return str(error)


def text(value: float, shown: Format) -> str:
    """Return ``value`` as plain text in the format of its quantity."""
    match shown.kind:
        case "count":
            return f"{value:,.0f}"
        case "share":
            return _percent(value, shown.digits)
        case "loss" | "ratio":
            return f"{value:.{shown.digits}f}"
        case "safety":
            return f"{value:+.{shown.digits - 1}e}"
        case "size":
            return f"{value:.{shown.digits}g}"
        case "number":
            return f"{value:g}"


def _percent(share: float, digits: int) -> str:
    """Return a share as a percentage; only a share of exactly 0 or 1 is printed as 0 or 100, as in the tables."""
    value, least = 100.0 * share, 10.0**-digits
    if 0.0 < value < 0.5 * least:
        return f"< {least:.{digits}f} %"
    if 100.0 - 0.5 * least < value < 100.0:
        return f"> {100.0 - least:.{digits}f} %"
    return f"{value:.{digits}f} %"


def _cell(table: Table, experiment: str, arm: str, quantity: str, statistic: str) -> str:
    if not table.has(experiment, arm, quantity):
        return ""
    shown = format_of(quantity, statistic)
    try:
        if statistic in PAIRS:
            low, high = table.pair(experiment, arm, quantity, statistic)
            return f"[{text(low, shown)}, {text(high, shown)}]"
        return text(table.statistic(experiment, arm, quantity, statistic), shown)
    except NonFiniteError:
        return "not finite"
