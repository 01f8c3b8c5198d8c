"""Figures of the double integrator over time: training, and the gauge along closed-loop trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replication.experiments.double_integrator.read import read_references, read_scenarios, read_settings
from replication.results import frames
from replication.results.read import Run
from replication.typeset import parts, plots, style

SHOWN = ("scpo", "unconstrained")
REFERENCES: dict[str, dict[str, Any]] = {
    "backup": {"color": style.GREY, "linewidth": 1.1, "linestyle": style.DASHED},
    "MPC": {"color": style.OCHRE, "linewidth": 1.1, "linestyle": style.DOTTED},
}
#: Into so many windows training is cut for constraints.
WINDOWS = 100
#: The verified runs lie on those on the bound alone: dashed, both can be seen.
LOOKS: dict[str, dict[str, Any]] = {
    "unconstrained": {},
    "scpo": {},
    "scpo-verified": {"linestyle": (0, (3, 5)), "alpha": 1.0},
}
ASKED: dict[str, Any] = {
    "marker": "v",
    "markersize": 7,
    "color": style.INK,
    "markeredgecolor": "white",
    "linestyle": "",
}

Scenario = Mapping[str, tuple[Run, ...]]


@parts.figure(
    "double-integrator-training",
    reads=[
        "double-integrator/references.*",
        "double-integrator/*-cooperative/*/[!c]*",
        "double-integrator/*-mixed/*/[!c]*",
        "double-integrator/*-hostile/*/[!c]*",
    ],
)
def training(results: Path) -> Figure:
    """Closed-loop cost and loss on good labels (median, middle 90 %), and the largest constraint of any seed."""
    references, scenarios = read_references(results), read_scenarios(results)
    worst = max(run.summary["max_g"] for runs in scenarios.values() for of in runs.values() for run in of)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 5.0)
        grid = figure.subplots(3, len(scenarios), sharex="col", sharey="row", squeeze=False)
        for (cost, loss, safety), (scenario, runs) in zip(grid.T, scenarios.items(), strict=True):
            _evaluations(cost, runs, "cost")
            cost.axhline(references.numbers.costs.backup, label="backup", **REFERENCES["backup"])
            cost.axhline(references.numbers.costs.mpc, label="MPC", **REFERENCES["MPC"])
            _evaluations(loss, runs, "clean_loss")
            plots.constraint_axis(safety, -3.0, max(3.0 * worst, 3e-2))
            for method in _order(runs):
                _constraint(safety, runs[method], method)
            _count_unsafe(safety, runs)
            cost.set_title(scenario)
            safety.set_xlim(0.0, float(next(iter(runs.values()))[0].summary["updates"]))
            safety.xaxis.set_major_locator(MaxNLocator(4))
            safety.set_xlabel("update")
            style.thousands(safety)
        style.log(grid[0, 0])
        style.log(grid[1, 0])
        for axes, label in zip(grid[:, 0], ("closed-loop cost", "loss, good labels", "$\\max_i\\, g_i$"), strict=True):
            axes.set_ylabel(label)
        figure.align_ylabels(grid[:, 0])
        style.letters(grid)
        plots.name_last(grid[0], 1.3)
        return figure


@parts.figure(
    "double-integrator-gauge",
    reads=[
        "double-integrator/references.*",
        "double-integrator/*-cooperative/*/[!c]*",
        "double-integrator/*-mixed/*/[!c]*",
        "double-integrator/*-hostile/*/[!c]*",
    ],
)
def gauge(results: Path) -> Figure:
    """Largest Psi(x_t) / Psi(x_0) over the shown starts, along closed loops (median and middle 90 % of the seeds)."""
    references, scenarios, settings = read_references(results), read_scenarios(results), read_settings(results)
    psi = (references.arrays["backup_states"] @ references.arrays["facets"].T).max(axis=-1)  # (T + 1, S)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.6)
        grid = figure.subplots(1, len(scenarios), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (scenario, runs) in zip(grid, scenarios.items(), strict=True):
            axes.plot((psi / psi[0]).max(axis=1), label="backup", **REFERENCES["backup"])
            for method in reversed(SHOWN):
                if method in runs:
                    data = relative_gauge(runs[method])
                    plots.spread(axes, data, "t", "gauge", style.COLOURS[method], label=style.LABELS[method])
            axes.plot([settings.horizon], [settings.contraction], zorder=5, **ASKED)
            axes.axhline(1.0, color=style.INK, linewidth=0.5, linestyle=style.DOTTED)
            axes.set_title(scenario)
            axes.set_xlabel("step $t$")
        style.log(grid[0])
        grid[0].set_ylim(3e-5, 30.0)
        grid[0].set_xlim(0, len(psi) - 1)
        grid[0].set_ylabel("largest $\\Psi(x_t)/\\Psi(x_0)$")
        style.letters(grid)
        place: dict[str, Any] = {"xytext": (6.0, 0.0), "textcoords": "offset points", "va": "center"}
        grid[0].annotate("asked for", (settings.horizon, settings.contraction), fontsize=7.5, **place)
        plots.name_last(grid, 1.75)
        return figure


def relative_gauge(runs: tuple[Run, ...]) -> pd.DataFrame:
    """Return the largest Psi(x_t) / Psi(x_0) over the starts, by seed and t: columns seed, t and gauge (<= 1000)."""
    rows = frames.exhibit(runs, "trajectories").sort_values(["seed", "start", "t"])
    first = rows.groupby(["seed", "start"])["psi"].transform("first")
    relative = rows.assign(gauge=np.minimum(rows["psi"] / first, 1e3))
    return relative.groupby(["seed", "t"])["gauge"].max().reset_index()


def line(method: str) -> dict[str, Any]:
    """Return the style of the lines of ``method``, as matplotlib's options."""
    return {"color": style.COLOURS[method], "linewidth": 1.4} | LOOKS[method]


def _order(runs: Scenario) -> list[str]:
    """Return the methods that the scenario has, in the order in which they are drawn."""
    return [method for method in LOOKS if method in runs]


def _evaluations(axes: Axes, runs: Scenario, column: str) -> None:
    tables = {method: frames.evaluations(runs[method]).dropna(subset=column) for method in _order(runs)}
    for method, data in tables.items():
        if len(data):
            look = LOOKS[method] | {"label": style.LABELS[method]}
            plots.spread(axes, data, "update", column, style.COLOURS[method], **look)
    if not any(map(len, tables.values())):
        style.note(axes, "no good labels", x=0.5, y=0.55, ha="center", color=style.GREY)


def _constraint(axes: Axes, runs: tuple[Run, ...], method: str) -> None:
    """Draw the highest constraint of any seed in each window; crosses mark windows with unsafe iterates of SCPO."""
    worst = frames.worst_values(frames.series(runs), WINDOWS)
    updates = worst.index.to_numpy() * runs[0].summary["updates"] / runs[0].epochs
    marked = runs[0].method == "scpo"
    plots.worst(axes, worst.set_axis(updates), style.COLOURS[method], marked=marked, **LOOKS[method])


def _count_unsafe(axes: Axes, runs: Scenario) -> None:
    """Write the number of unsafe iterates beside the line of zero: SCPO on the bound below it, other methods above."""
    for method, side, above in (("scpo", "top", -2.5), ("unconstrained", "bottom", 2.5)):
        if method in runs:
            text = plots.counted(runs[method], "unsafe-iterates", "updates", "unsafe")
            look: dict[str, Any] = {"color": style.COLOURS[method], "fontsize": 7.5, "ha": "right", "va": side}
            place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
            axes.annotate(text, (0.985, 0.0), (0.0, above), **place, **look)
