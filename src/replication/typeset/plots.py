"""The plots that several figures share: seeds and their spread, drawn by seaborn, and the axis of a constraint.

Tables are long: a row per seed and time, with the column seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from replication.results import run_quantities
from replication.results.read import Run
from replication.typeset import style

#: The share of the seeds, in percent, that a band around a median holds.
BAND = 90.0
#: The least distance of two names beside a panel, in inches.
GAP = 0.14
THIN: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.35}


def seeds(axes: Axes, data: pd.DataFrame, x: str, y: str, colour: str, **look: Any) -> None:
    """Draw ``y`` against ``x``, a thin line for each seed."""
    options = THIN | look
    sns.lineplot(data, x=x, y=y, units="seed", estimator=None, color=colour, legend=False, ax=axes, **options)
    _unlabelled(axes)


def spread(axes: Axes, data: pd.DataFrame, x: str, y: str, colour: str, *, percent: float = BAND, **look: Any) -> None:
    """Draw the median of ``y`` at each ``x``, and around it the interval of the middle ``percent`` of the values."""
    options: dict[str, Any] = {"linewidth": 1.3, "err_kws": {"alpha": 0.22, "linewidth": 0}} | look
    sns.lineplot(
        data, x=x, y=y, estimator="median", errorbar=("pi", percent), color=colour, legend=False, ax=axes, **options
    )
    _unlabelled(axes)


def constraint_axis(axes: Axes, bottom: float, top: float) -> None:
    """Scale y of ``axes`` for raw values of g: symmetric logarithm, a line at 0, the unsafe side tinted."""
    style.symlog(axes, 1e-5, bottom, top)
    axes.axhspan(0.0, top, color=style.INK, alpha=0.08, linewidth=0)
    axes.axhline(0.0, color=style.INK, linewidth=0.6)


def mark_unsafe(axes: Axes, data: pd.DataFrame, x: str) -> None:
    """Mark every bin that holds an unsafe iterate at its highest g, however small that is."""
    cross(axes, data[data["max_g_high"] > 0.0].set_index(x)["max_g_high"])


def worst(axes: Axes, values: pd.Series[float], colour: str, *, marked: bool, **look: Any) -> None:
    """Draw the largest constraint value of each window, at their index, with crosses where it is unsafe if ``marked``.

    Without the constraint nearly every window holds an unsafe iterate, so those runs are not marked.
    """
    axes.plot(values.index, values, color=colour, **({"linewidth": 1.2} | look))
    if marked:
        cross(axes, values[values > 0.0])


def cross(axes: Axes, values: pd.Series[float]) -> None:
    """Mark ``values`` with crosses, at their index."""
    look: dict[str, Any] = {"marker": "x", "markersize": 3.2, "markeredgewidth": 0.8, "color": style.INK, "zorder": 4}
    axes.plot(values.index, values, linestyle="", **look)


def name_last(panels: Iterable[Axes], height: float) -> None:
    """Write the label of each line of a row of ``panels`` once, right of the last panel that has such a line.

    Args:
        panels: from left to right, with their final scales and limits.
        height: of a panel, in inches.
    """
    named: set[str] = set()
    for axes in reversed(list(panels)):
        lines = {str(one.get_label()): one for one in axes.get_lines() if not str(one.get_label()).startswith("_")}
        ends = {name: (_last(one), str(one.get_color())) for name, one in lines.items() if name not in named}
        name_lines(axes, {name: end for name, end in ends.items() if np.isfinite(end[0])}, height)
        named |= ends.keys()


def _last(line: Line2D) -> float:
    """Return the last value of a line that is a number; NaN if none is."""
    values = np.asarray(line.get_ydata(), dtype=float)
    return float(np.r_[np.nan, values[np.isfinite(values)]][-1])


def name_lines(axes: Axes, ends: Mapping[str, tuple[float, str]], height: float) -> None:
    """Write the name of each line right of ``axes``, at the height at which the line ends; close names move apart.

    Args:
        axes: has its final scale and limits.
        ends: name -> last value of its line, and the line's colour.
        height: of the panel, in inches.
    """

    def place_of(name: str) -> float:
        scaled = axes.transScale.transform((0.0, ends[name][0]))
        return float(np.clip(axes.transLimits.transform(scaled)[1], 0.0, 1.0))

    order = sorted(ends, key=place_of)
    places = np.array([place_of(name) for name in order])
    lowest = GAP / height * np.arange(len(order))
    moved = lowest + isotonic_regression(places - lowest).x  # the least shifts, squared
    for name, place, written in zip(order, places, moved, strict=True):
        colour = ends[name][1]
        look: dict[str, Any] = {"color": colour, "fontsize": 7.5, "va": "center", "annotation_clip": False}
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0.0, 0.5), "shrinkA": 0.0}
        axes.annotate(name, (1.0, place), (1.03, written), "axes fraction", "axes fraction", arrowprops=leader, **look)


def legend(figure: Figure, entries: Mapping[str, Mapping[str, Any]], **look: Any) -> None:
    """Draw a legend for the whole figure above its panels, from label -> how matplotlib draws it."""
    handles = [Line2D([], [], label=label, **drawn) for label, drawn in entries.items()]
    options: dict[str, Any] = {"ncols": len(handles), "handlelength": 1.8, "columnspacing": 1.4} | look
    figure.legend(handles=handles, loc="outside upper center", **options)


def counted(runs: Sequence[Run], part: str, whole: str, what: str) -> str:
    """Return "3 of 1 000 <what>": the quantities ``part`` and ``whole``, both summed over the ``runs``."""
    some, every = (run_quantities.total(runs, name) for name in (part, whole))
    return style.spaced(f"{some:,.0f} of {every:,.0f} {what}")


def _unlabelled(axes: Axes) -> None:
    """Remove the axis labels that seaborn writes; the figures write their own."""
    axes.set(xlabel="", ylabel="")
