"""Figures of the regression's plain arms: the published figure's panels, safety, and the constants of the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from replication.errors import NotRunError
from replication.experiments.regression.published import read_loss, read_policy
from replication.experiments.regression.read import read_settings
from replication.results import frames
from replication.results.read import Run, read_arm, read_section
from replication.tasks.regression.data import target
from replication.training.series import EARLY
from replication.typeset import parts, plots, style

EXPERIMENT = "regression"
SAFETY_ARMS = ("scpo", "scpo-no-margin", "scpo-verified", "scpo-uniform", "unconstrained")
SMOOTHNESS_ARMS = ("scpo", "scpo-uniform")
#: Into so many windows training is cut for constraints and constants, and for the fewer evaluated policies.
WINDOWS, EVALUATED = 100, 20

Runs = Sequence[Run]


@parts.figure("regression-replication", reads=["regression/scpo/*", "regression/unconstrained/*"])
def replication(results: Path) -> Figure:
    """The published figure's three panels for SCPO (bound only) and for the unconstrained baseline, side by side.

    The first epochs of its loss panel have a row of their own, where the runs are long enough.
    """
    arms, bound = _arms(results, ("scpo", "unconstrained")), read_settings(results).bound
    with style.look():
        first = [] if any(runs[0].early.empty for runs in arms.values()) else [("batch loss", 0.75)]
        rows = [("policy $\\pi_\\theta(x)$", 1.2), *first, ("batch loss", 1.3), ("violation", 0.8)]
        labels, heights = zip(*rows, strict=True)
        figure = style.new_figure(style.TEXT_WIDTH, 1.0 + 1.28 * sum(heights))
        grid = figure.subplots(
            len(rows), len(arms), squeeze=False, sharex="row", sharey="row", gridspec_kw={"height_ratios": heights}
        )
        for column, (name, runs) in enumerate(arms.items()):
            fit, *early, loss, violation = grid[:, column]
            published = column == 0
            fit.set_title(f"{style.LABELS[name]} ({_seeds(runs)})", loc="left")
            _fit_panel(fit, runs, bound, published=published)
            for axes in early:
                _loss_panel(axes, runs, frames.early(runs), EARLY, published=published)
                axes.set_ylim(bottom=0.0)
            _loss_panel(loss, runs, frames.series(runs), runs[0].epochs, published=published)
            _violation_panel(violation, runs)
        style.log(grid[-2, 0])
        style.symlog(grid[-1, 0], 1e-3, 0.0, 20.0, decades=1)
        for axes, label in zip(grid[:, 0], labels, strict=True):
            axes.set_ylabel(label)
        _epochs(grid[-1])
        for axes in grid[1:-1].ravel():
            style.thousands(axes)
        style.letters(grid)
        figure.align_ylabels(grid[:, 0])
        plots.name_last(grid[0], 1.28 * heights[0])
        _replication_legend(figure)
        return figure


@parts.figure(
    "regression-safety",
    reads=[
        "regression/scpo/*",
        "regression/scpo-no-margin/*",
        "regression/scpo-verified/*",
        "regression/scpo-uniform/*",
        "regression/unconstrained/*",
    ],
)
def safety(results: Path) -> Figure:
    """Worst constraint value over training on the grid, and the share of policies unsafe between its points, by arm."""
    arms = _arms(results, SAFETY_ARMS)
    top = max(3.0 * max(run.summary["max_g"] for runs in arms.values() for run in runs), 3e-2)
    longest = max(runs[0].epochs for runs in arms.values())
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 3.1)
        iterates, heldout = figure.subplots(1, 2, sharex=True)
        plots.constraint_axis(iterates, -3.0, top)
        for name, runs in arms.items():
            colour = style.COLOURS[name]
            worst = frames.worst_values(frames.series(runs), WINDOWS)
            label = f"{style.LABELS[name]} ({_unsafe_text(runs)})"
            plots.worst(iterates, worst, colour, marked=runs[0].method == "scpo", label=label)
            shares = unsafe_shares(frames.evaluations(runs), round(EVALUATED * runs[0].epochs / longest))
            heldout.plot(shares.index, shares, color=colour, linewidth=1.4)
        heldout.set_ylim(-0.03, 1.03)
        heldout.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        iterates.set_title("on the grid", loc="left")
        heldout.set_title("between its points", loc="left")
        iterates.set_ylabel("largest constraint $\\max_i\\, g_i$")
        heldout.set_ylabel("unsafe policies")
        iterates.set_xlim(0.0, longest)
        style.note(iterates, "unsafe", x=0.98, y=0.97)
        _epochs([iterates, heldout])
        style.letters([iterates, heldout])
        figure.legend(*iterates.get_legend_handles_labels(), ncols=2, loc="outside upper center", columnspacing=1.4)
        return figure


@parts.figure("regression-smoothness", reads=["regression/scpo/*", "regression/scpo-uniform/*"])
def smoothness(results: Path) -> Figure:
    """The smoothness constant that zero misses would have needed, against the one used, over training."""
    arms = _arms(results, SMOOTHNESS_ARMS)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 3.1)
        heights = {"height_ratios": [1.0, 0.35]}
        grid = figure.subplots(2, len(arms), sharex=True, sharey="row", squeeze=False, gridspec_kw=heights)
        for (constants, misses), (name, runs) in zip(grid.T, arms.items(), strict=True):
            _constants_panel(constants, runs, style.COLOURS[name])
            _miss_panel(misses, runs, style.COLOURS[name])
            constants.set_title(f"{style.LABELS[name]} ({_seeds(runs)})", loc="left")
        style.log(grid[0, 0])
        for axes in grid[0]:
            plots.name_last([axes], 1.6)
        grid[0, 0].set_ylabel("smoothness constant $L$")
        grid[1, 0].set_ylabel("missed")
        grid[1, 0].set_ylim(bottom=0.0)
        _epochs(grid[-1])
        style.letters(grid)
        figure.align_ylabels(grid[:, 0])
        return figure


def unsafe_shares(evaluations: pd.DataFrame, count: int) -> pd.Series[float]:
    """Return the share of evaluated policies that are unsafe on held-out points, by the centre of ``count`` windows."""
    unsafe = (evaluations["heldout_max_g"] > 0.0).astype(float)
    return unsafe.groupby(frames.windows(evaluations, max(count, 1))).mean()


def miss_shares(series: pd.DataFrame) -> pd.Series[float]:
    """Return the share of the updates of all seeds with a bound miss, indexed by the centre of the window."""
    counts = series.groupby(frames.windows(series, WINDOWS))[["bound_misses", "updates"]].sum()
    return counts["bound_misses"] / counts["updates"].clip(lower=1)


def _fit_panel(axes: Axes, runs: Runs, bound: float, *, published: bool) -> None:
    x = np.linspace(-np.pi, np.pi, 800)
    axes.axhspan(-bound, bound, color=style.SAND, alpha=0.25, linewidth=0)
    for sign in (-1.0, 1.0):
        look: dict[str, Any] = {"linewidth": 0.6, "linestyle": style.DASHED, "label": "limits" if sign > 0 else None}
        axes.axhline(sign * bound, color=style.INK, **look)
    axes.plot(x, target(x), color=style.INK, linewidth=0.8, linestyle=style.DOTTED, label="target $f$")
    if published:
        policy = read_policy()
        axes.plot(policy["x"], policy["pi_theta"], color=style.YELLOW, linewidth=3.0, alpha=0.5)
    curves, colour = frames.exhibit(runs, "curve"), style.COLOURS[runs[0].arm]
    plots.spread(axes, curves, "x", "pi", colour)
    axes.set_xlabel("input $x$")
    axes.set_xlim(-np.pi, np.pi)
    axes.set_ylim(-2.3, 2.5)
    axes.set_yticks([-bound, 0.0, bound], [f"$-{bound:g}$", "$0$", f"${bound:g}$"])
    axes.set_xticks([-np.pi, 0.0, np.pi], ["$-\\pi$", "$0$", "$\\pi$"])


def _loss_panel(axes: Axes, runs: Runs, data: pd.DataFrame, until: float, *, published: bool) -> None:
    """Draw the median loss in each bin: its median and middle 90 % over seeds; pale: median lowest to highest loss."""
    if published:
        band = read_loss()
        band = band[band["epoch"] <= until]
        low, high = band["loss_low"], band["loss_high"]
        axes.fill_between(band["epoch"], low, high, color=style.YELLOW, alpha=0.5, linewidth=0)
    colour = style.COLOURS[runs[0].arm]
    edges = data.groupby("epoch")[["loss_low", "loss_high"]].median()
    axes.fill_between(edges.index, edges["loss_low"], edges["loss_high"], color=colour, alpha=0.14, linewidth=0)
    look: dict[str, Any] = {"linewidth": 1.2, "err_kws": {"alpha": 0.35, "linewidth": 0}}
    plots.spread(axes, data, "epoch", "loss_median", colour, **look)
    axes.set_xlim(0.0, until)


def _violation_panel(axes: Axes, runs: Runs) -> None:
    data = frames.series(runs)
    data = data.assign(violation=data["max_g_high"].clip(lower=0.0))
    plots.seeds(axes, data, "epoch", "violation", style.COLOURS[runs[0].arm], linewidth=0.8, alpha=0.5)
    if runs[0].method == "scpo":  # without the constraint nearly every bin holds one
        plots.mark_unsafe(axes, data, "epoch")
    axes.set_xlim(0.0, runs[0].epochs)
    style.aside(axes, _unsafe_text(runs))


def _replication_legend(figure: Figure) -> None:
    looks: dict[str, dict[str, Any]] = {
        "median of seeds": {"color": style.BLUE, "linewidth": 1.3},
        "middle 90 % of seeds": {"color": style.BLUE, "linewidth": 4.0, "alpha": 0.35},
        "lowest to highest loss": {"color": style.BLUE, "linewidth": 4.0, "alpha": 0.14},
        "published": {"color": style.YELLOW, "linewidth": 4.0, "alpha": 0.5},
        "unsafe": {"color": style.INK, "marker": "x", "markersize": 4, "linestyle": ""},
    }
    plots.legend(figure, looks, handlelength=1.6)


def _constants_panel(axes: Axes, runs: Runs, colour: str) -> None:
    """Draw median, middle 90 % and range of the needed and the used constants, over all seeds' bins in each window."""
    data = frames.series(runs)
    data = data.assign(
        window=frames.windows(data, WINDOWS), required_max_high=data["required_max_high"].clip(lower=0.0)
    )
    for name, line, label in (
        ("required_max_high", style.INK, "needed"),
        ("smoothness_max_low", colour, "used"),
    ):
        plots.spread(axes, data, "window", name, line, percent=100, linewidth=0.0)
        plots.spread(axes, data, "window", name, line, percent=90, label=label)
    axes.set_xlim(0.0, runs[0].epochs)


def _miss_panel(axes: Axes, runs: Runs, colour: str) -> None:
    shares = miss_shares(frames.series(runs))
    axes.fill_between(shares.index, shares, color=colour, alpha=0.75, linewidth=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(2))
    style.aside(axes, plots.counted(runs, "bound-misses", "updates", "updates with a miss"))


def _arms(results: Path, names: Sequence[str]) -> Mapping[str, Runs]:
    """Return the runs of the arms in ``names`` that the scale has; at least one must be there."""
    known = read_section(results, EXPERIMENT).arms
    if not known.keys() & set(names):
        raise NotRunError(f"{results / 'config.json'}: the scale runs none of the arms {', '.join(names)}")
    return {name: read_arm(results, EXPERIMENT, name) for name in names if name in known}


def _epochs(row: Sequence[Axes]) -> None:
    for axes in row:
        axes.set_xlabel("epoch")
        style.thousands(axes)


def _seeds(runs: Runs) -> str:
    return f"{len(runs)} seed{'s' if len(runs) != 1 else ''}"


def _unsafe_text(runs: Runs) -> str:
    return plots.counted(runs, "unsafe-iterates", "updates", "unsafe")
