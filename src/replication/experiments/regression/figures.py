"""Figures of the regression experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from replication.experiments.regression.published import read_loss, read_policy
from replication.results.read import Run, read_arm, read_config
from replication.tasks.regression.data import target
from replication.training.series import EARLY, KEPT
from replication.typeset import parts, style
from scpo.arrays import Array

EXPERIMENT = "regression"
SAFETY_ARMS = ("scpo", "scpo-no-margin", "scpo-verified", "scpo-uniform", "unconstrained")
SMOOTHNESS_ARMS = ("scpo", "scpo-uniform")
THIN: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.35}


@parts.figure("regression-replication")
def replication(results: Path) -> Figure:
    """The published figure's three panels for SCPO (bound only) and for the unconstrained baseline, side by side.

    The first epochs of its loss panel have a row of their own, where the runs are long enough.
    """
    bound = _bound(results)
    arms = {name: read_arm(results, EXPERIMENT, name) for name in ("scpo", "unconstrained")}
    worst = max(run.summary["max_g"] for runs in arms.values() for run in runs)
    with style.look():
        first = [] if arms["scpo"][0].early.empty else [("batch loss", 0.75)]
        labels, heights = zip(
            ("policy $\\pi_\\theta(x)$", 1.2), *first, ("batch loss", 1.3), ("violation", 0.7), strict=True
        )
        figure = style.new_figure(style.TEXT_WIDTH, 0.9 + 1.32 * sum(heights))
        grid = figure.subplots(len(heights), 2, sharex="row", sharey="row", gridspec_kw={"height_ratios": heights})
        for column, (name, runs) in enumerate(arms.items()):
            fit, *early, loss, violation = grid[:, column]
            fit.set_title(_seeds(style.LABELS[name], runs), color=style.COLOURS[name])
            _fit_panel(fit, runs, bound, published=column == 0)
            for axes in early:
                _loss_panel(axes, runs, early=True, published=column == 0)
            _loss_panel(loss, runs, early=False, published=column == 0)
            _violation_panel(violation, runs, top=1.25 * max(worst, 0.08))
        for axes, label in zip(grid[:, 0], labels, strict=True):
            axes.set_ylabel(label)
        figure.align_ylabels(grid[:, 0])
        return figure


@parts.figure("regression-safety")
def safety(results: Path) -> Figure:
    """Raw worst safety metric of every iterate, and on held-out points; one row per arm."""
    arms = _arms(results, SAFETY_ARMS)
    worst = [run.summary["max_g"] for runs in arms.values() for run in runs]
    worst += [run.evaluations["heldout_max_g"].max() for runs in arms.values() for run in runs]
    top, bottom = max(3.0 * max(worst), 3e-2), -3.0
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 0.6 + 1.3 * len(arms))
        grid = figure.subplots(len(arms), 2, sharex=True, sharey=True, squeeze=False)
        for (name, runs), (iterates, heldout) in zip(arms.items(), grid, strict=True):
            for axes in (iterates, heldout):
                axes.set_xlim(0.0, runs[0].epochs)
                style.symlog(axes, 1e-5, top, bottom)
                axes.axhspan(0.0, top, color=style.VERMILION, alpha=0.09, linewidth=0)
                axes.axhline(0.0, color=style.INK, linewidth=0.6)
                style.tidy(axes)
            for run in runs:
                centres, high = run.series["epoch"], run.series["max_g_high"]
                iterates.plot(centres, high, color=style.COLOURS[name], **THIN)
                unsafe = high > 0.0
                iterates.plot(centres[unsafe], high[unsafe], ".", color=style.VERMILION, markersize=3, zorder=3)
                held = run.evaluations
                heldout.plot(held["epoch"], held["heldout_max_g"], color=style.COLOURS[name], linewidth=0.7, alpha=0.6)
            iterates.set_title(style.LABELS[name], loc="left", fontsize=9, pad=4)
            heldout.set_title(_seeds("held out", runs), loc="left", color=style.GREY, fontsize=9, pad=4)
            style.aside(iterates, _unsafe_text(runs))
            style.aside(heldout, _heldout_text(runs))
        style.note(grid[0, 1], "unsafe", x=0.02, y=0.94, ha="left", color=style.VERMILION)
        figure.supylabel("worst safety metric $\\max_i\\, g_i$", fontsize=9)
        _epochs(grid[-1])
        return figure


@parts.figure("regression-smoothness")
def smoothness(results: Path) -> Figure:
    """The smoothness constant that zero misses would have needed, against the one used, over training."""
    arms = _arms(results, SMOOTHNESS_ARMS)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 3.1)
        heights = {"height_ratios": [1.0, 0.3]}
        grid = figure.subplots(2, len(arms), sharex=True, sharey="row", squeeze=False, gridspec_kw=heights)
        for (constants, misses), (name, runs) in zip(grid.T, arms.items(), strict=True):
            _smoothness_panel(constants, runs)
            _miss_panel(misses, runs)
            constants.set_title(_seeds(style.LABELS[name], runs), color=style.COLOURS[name])
        grid[0, 0].set_ylabel("smoothness constant $L$")
        grid[1, 0].set_ylabel("missed")
        grid[1, 0].set_ylim(bottom=0.0)
        _epochs(grid[-1])
        figure.legend(*grid[0, 0].get_legend_handles_labels(), ncols=2, loc="outside upper center")
        figure.align_ylabels(grid[:, 0])
        return figure


def _fit_panel(axes: Axes, runs: Sequence[Run], bound: float, *, published: bool) -> None:
    x = np.linspace(-np.pi, np.pi, 800)
    axes.fill_between(x, -bound, bound, color=style.SAND, alpha=0.25, linewidth=0)
    for sign in (-1.0, 1.0):
        axes.axhline(sign * bound, color=style.INK, linewidth=0.6, linestyle=(0, (5, 3)))
    axes.plot(x, target(x), color=style.INK, linewidth=0.8, linestyle=(0, (1, 1.2)), label="target $f$")
    if published:
        policy = read_policy()
        look: dict[str, Any] = {"color": style.ORANGE, "linewidth": 3.0, "alpha": 0.5}
        axes.plot(policy["x"], policy["pi_theta"], label="published policy", **look)
    curves = [run.curve for run in runs if run.curve is not None]
    colour = style.COLOURS[runs[0].arm]
    for curve in curves:
        axes.plot(curve["x"], curve["pi"], color=colour, **THIN)
    middle = np.median([curve["pi"] for curve in curves], axis=0)
    axes.plot(curves[0]["x"], middle, color=colour, linewidth=1.3, label="median of seeds")
    axes.set_xlabel("input $x$")
    axes.set_xlim(-np.pi, np.pi)
    axes.set_ylim(-2.3, 2.9)
    axes.set_yticks([-bound, 0.0, bound], [f"$-{bound:g}$", "$0$", f"${bound:g}$"])
    axes.set_xticks([-np.pi, 0.0, np.pi], ["$-\\pi$", "$0$", "$\\pi$"])
    style.tidy(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[-2:], labels[-2:], loc="upper center", ncols=2, handlelength=1.6, borderaxespad=0.1)


def _loss_panel(axes: Axes, runs: Sequence[Run], *, early: bool, published: bool) -> None:
    """Draw the batch loss: of the first epochs on a linear scale (``early``), or of all of them on a log one."""
    until = EARLY if early else runs[0].epochs
    series = [run.early if early else run.series for run in runs]
    if published:
        band = read_loss()
        band = band[band["epoch"] <= until]
        low, high = band["loss_low"], band["loss_high"]
        axes.fill_between(band["epoch"], low, high, color=style.ORANGE, alpha=0.5, linewidth=0)
    _loss_lines(axes, series, style.COLOURS[runs[0].arm])
    axes.set_xlim(0.0, until)
    if early:
        axes.set_ylim(bottom=0.0)
    else:
        style.log(axes)
        axes.set_xlabel("epoch")
        if published:
            style.note(axes, "yellow: published band", y=0.04, va="bottom", color=style.OCHRE)
    style.thousands(axes)
    style.tidy(axes)


def _violation_panel(axes: Axes, runs: Sequence[Run], top: float) -> None:
    colour = style.COLOURS[runs[0].arm]
    for run in runs:
        centres, high = run.series["epoch"], run.series["max_g_high"].clip(lower=0.0)
        axes.plot(centres, high, color=colour, linewidth=0.8, alpha=0.5)
        unsafe = high > 0.0
        axes.plot(centres[unsafe], high[unsafe], ".", color=style.VERMILION, markersize=3, zorder=3)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.0, runs[0].epochs)
    axes.set_ylim(-0.06 * top, top)
    style.thousands(axes)
    style.tidy(axes)
    style.aside(axes, _unsafe_text(runs))


def _loss_lines(axes: Axes, series: Sequence[pd.DataFrame], colour: str) -> None:
    """Median per bin of each seed, and over the seeds the median of lowest, highest and median loss per bin."""
    centres = series[0]["epoch"]
    for one in series:
        axes.plot(centres, one["loss_median"], color=colour, linewidth=0.4, alpha=0.3)
    low, high, median = (np.median([one[f"loss_{kept}"] for one in series], axis=0) for kept in KEPT["loss"])
    axes.fill_between(centres, low, high, color=colour, alpha=0.22, linewidth=0)
    axes.plot(centres, median, color=colour, linewidth=1.2)


def _smoothness_panel(axes: Axes, runs: Sequence[Run]) -> None:
    epoch = runs[0].series["epoch"]
    lines = {
        "required_max_high": {"color": style.VERMILION, "linewidth": 0.4, "alpha": 0.3},
        "smoothness_max_low": {"color": style.BLUE, **THIN},
    }
    for run in runs:
        for name, look in lines.items():
            axes.plot(epoch, _joined(run.series[name]), **look)
    needed, used = (np.median([_joined(run.series[name]) for run in runs], axis=0) for name in lines)
    axes.plot(epoch, needed, color=style.VERMILION, linewidth=0.8, label="needed for no miss")
    axes.plot(epoch, used, color=style.BLUE, linewidth=1.3, label="used")
    style.log(axes)
    axes.set_xlim(0.0, runs[0].epochs)
    style.tidy(axes)


def _miss_panel(axes: Axes, runs: Sequence[Run]) -> None:
    """Draw the share of the updates in each bin, of all seeds together, that had a miss."""
    missed, updates = (np.sum([run.series[name] for run in runs], axis=0) for name in ("bound_misses", "updates"))
    shares = np.divide(missed, updates, out=np.zeros(len(updates)), where=updates > 0)
    axes.fill_between(runs[0].series["epoch"], shares, color=style.INK, alpha=0.75, linewidth=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(2))
    style.tidy(axes)
    misses, whole = (sum(run.summary[key] for run in runs) for key in ("bound_misses", "updates"))
    style.aside(axes, style.spaced(f"{misses:,} of {whole:,} updates with a miss"))


def _joined(values: pd.Series[float]) -> Array:
    """Bins without a value, as when no step was taken, bridged from their neighbours; what is needed is not below 0."""
    return np.asarray(values.clip(lower=0.0).interpolate(limit_direction="both"), dtype=np.float64)


def _arms(results: Path, names: Sequence[str]) -> dict[str, tuple[Run, ...]]:
    known = read_config(results).experiments[EXPERIMENT].arms
    return {name: read_arm(results, EXPERIMENT, name) for name in names if name in known}


def _bound(results: Path) -> float:
    section = read_config(results).regression
    assert section is not None  # read_arm has refused a scale without the experiment
    return section.bound


def _epochs(row: Sequence[Axes]) -> None:
    for axes in row:
        axes.set_xlabel("epoch")
        style.thousands(axes)


def _seeds(label: str, runs: Sequence[Run]) -> str:
    return f"{label} ({len(runs)} seed{'s' if len(runs) != 1 else ''})"


def _unsafe_text(runs: Sequence[Run]) -> str:
    unsafe, updates = (sum(run.summary[key] for run in runs) for key in ("unsafe_iterates", "updates"))
    return style.spaced(f"{unsafe:,} of {updates:,} unsafe")


def _heldout_text(runs: Sequence[Run]) -> str:
    unsafe = sum(int((run.evaluations["heldout_max_g"] > 0).sum()) for run in runs)
    return style.spaced(f"{unsafe:,} of {sum(len(run.evaluations) for run in runs):,} unsafe")
