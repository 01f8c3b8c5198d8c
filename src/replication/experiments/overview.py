"""The quantities of all arms side by side, as text to read: what the notebooks show."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from replication.experiments.quantities import QUANTITIES
from replication.results.quantities import COUNT, SHARE, Format, Table
from replication.results.statistics import PAIRS
from scpo.errors import NonFiniteError

#: Statistics that are not printed as the quantity itself is: how they are printed.
FORMATS = {"seeds": COUNT, "nonzero": COUNT, "coverage": SHARE, "share-interval": Format("ratio", 2)}


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


def text(value: float, shown: Format) -> str:
    """Return ``value`` as plain text in the format of its quantity."""
    match shown.kind:
        case "count":
            return f"{value:,.0f}"
        case "share":
            return f"{100.0 * value:.{shown.digits}f} %"
        case "loss" | "ratio":
            return f"{value:.{shown.digits}f}"
        case "safety":
            return f"{value:+.{shown.digits - 1}e}"
        case "size":
            return f"{value:.{shown.digits}g}"
        case "number":
            return f"{value:g}"


def _cell(table: Table, experiment: str, arm: str, quantity: str, statistic: str) -> str:
    if not table.has(experiment, arm, quantity):
        return ""
    shown = FORMATS.get(statistic, QUANTITIES[quantity].format)
    try:
        if statistic in PAIRS:
            low, high = table.pair(experiment, arm, quantity, statistic)
            return f"[{text(low, shown)}, {text(high, shown)}]"
        return text(table.statistic(experiment, arm, quantity, statistic), shown)
    except NonFiniteError:
        return "not finite"
