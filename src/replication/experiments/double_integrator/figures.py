"""Figures of the double integrator: one column per scenario; first seeds where single policies are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replication.experiments.double_integrator.read import (
    SCENARIOS,
    Certificate,
    References,
    read_certificates,
    read_references,
    read_scenario,
    read_settings,
)
from replication.results.read import Run
from replication.typeset import parts, style
from scpo.arrays import Array

BACKUP, MPC = style.GREY, style.OCHRE
SHOWN = ("scpo", "unconstrained")
CERTIFIED = ("unconstrained", "scpo-verified", "scpo")
THIN: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.45}
FAR = 1.3  # edge of the phase portraits, in bounds of the state

Place = Literal["outside upper center", "outside lower center"]
Scenario = Mapping[str, tuple[Run, ...]]


@parts.figure("double-integrator-portraits")
def portraits(results: Path) -> Figure:
    """Closed-loop trajectories of backup, SCPO and unconstrained training in the phase plane, first seeds."""
    references, scenarios = read_references(results), _scenarios(results)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.75)
        grid = figure.subplots(1, len(scenarios), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (scenario, runs) in zip(grid, scenarios.items(), strict=True):
            _ground(axes, references)
            for path in references.arrays["backup_states"].transpose(1, 0, 2):
                axes.plot(path[:, 0], path[:, 1], color=BACKUP, linewidth=0.8, linestyle=(0, (3, 1.5)))
            for method in reversed(SHOWN):
                for path in _paths(runs[method][0]) if method in runs else ():
                    _trajectory(axes, path, style.COLOURS[method], references)
            starts = references.arrays["backup_states"][0]
            axes.plot(starts[:, 0], starts[:, 1], "o", color=style.INK, markersize=2.2, zorder=4)
            axes.set_title(scenario)
            _plane(axes, references)
        grid[0].set_ylabel("$x_2$")
        _legend(figure, _both_and_backup())
        return figure


@parts.figure("double-integrator-gauge")
def gauge(results: Path) -> Figure:
    """Largest relative gauge Psi(x_t) / Psi(x_0) over the shown starts, along closed-loop trajectories; every seed."""
    references, scenarios, settings = read_references(results), _scenarios(results), read_settings(results)
    region = references.arrays["facets"]
    backup = (references.arrays["backup_states"] @ region.T).max(axis=-1)  # (T + 1, S)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.5)
        grid = figure.subplots(1, len(scenarios), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (scenario, runs) in zip(grid, scenarios.items(), strict=True):
            axes.plot((backup / backup[0]).max(axis=1), color=BACKUP, linewidth=1.0, linestyle=(0, (3, 1.5)))
            for method in reversed(SHOWN):
                for run in runs.get(method, ()):
                    psi = run.exhibits["trajectories"].pivot_table(index="t", columns="start", values="psi").to_numpy()
                    look = {"color": style.COLOURS[method], "linewidth": 0.9, "alpha": 0.7}
                    axes.plot(np.minimum((psi / psi[0]).max(axis=1), 1e3), **look)
            asked = {"color": style.INK, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 1.0}
            axes.plot([settings.horizon], [settings.contraction], "v", zorder=5, **asked)
            axes.axhline(1.0, color=style.INK, linewidth=0.5, linestyle=(0, (1, 2)))
            axes.set_title(scenario)
            axes.set_yscale("log")
            axes.set_ylim(3e-5, 30.0)
            axes.set_xlim(0, len(backup) - 1)
            axes.set_xlabel("step $t$")
            style.tidy(axes)
        grid[0].set_ylabel(r"$\max_{x_0}\,\Psi(x_t)/\Psi(x_0)$")
        _legend(figure, _both_and_backup())
        return figure


@parts.figure("double-integrator-policy")
def policy(results: Path) -> Figure:
    """The learned input over the plane (first seeds), and its slice at x_2 = 0 (every seed)."""
    references, scenarios = read_references(results), _scenarios(results)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 5.6)
        heights = {"height_ratios": [1.0, 1.0, 0.75]}
        grid = figure.subplots(3, len(scenarios), sharex=True, sharey="row", squeeze=False, gridspec_kw=heights)
        image = None
        for column, (scenario, runs) in zip(grid.T, scenarios.items(), strict=True):
            for axes, method in zip(column[:2], SHOWN, strict=True):
                if method in runs:
                    image = _surface(axes, runs[method][0].exhibits["surface"], references)
            _slice(column[2], runs, references)
            column[0].set_title(scenario)
            column[2].set_xlabel("$x_1$")
        for axes, method in zip(grid[:2, 0], SHOWN, strict=True):
            axes.set_ylabel(f"{style.LABELS[method]}\n\n$x_2$")
        grid[2, 0].set_ylabel("$u$ at $x_2=0$")
        if image is not None:
            bar = figure.colorbar(image, ax=grid[:2].ravel().tolist(), extend="both", shrink=0.8, pad=0.02, aspect=30)
            bar.set_label("input $u$")
            bar.set_ticks([-references.input_bound, 0.0, references.input_bound])
        figure.align_ylabels(grid[:, 0])
        _legend(figure, _both_and_backup(), "outside lower center")
        return figure


@parts.figure("double-integrator-training")
def training(results: Path) -> Figure:
    """Closed-loop cost, loss on good labels and raw worst safety metric over training; every seed."""
    references, scenarios = read_references(results), _scenarios(results)
    worst = [run.summary["max_g"] for runs in scenarios.values() for of in runs.values() for run in of]
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 5.4)
        grid = figure.subplots(3, len(scenarios), sharex="col", sharey="row", squeeze=False)
        for (cost, loss, safety), (scenario, runs) in zip(grid.T, scenarios.items(), strict=True):
            for method in reversed(list(runs)):
                for run in runs[method]:
                    look = {"color": style.COLOURS[method], "linewidth": 0.8, "alpha": 0.7}
                    cost.plot(run.evaluations["update"], run.evaluations["cost"], **look)
                    loss.plot(run.evaluations["update"], run.evaluations["clean_loss"], **look)
                    _safety(safety, run, style.COLOURS[method])
            for name, colour in (("backup", BACKUP), ("mpc", MPC)):
                cost.axhline(getattr(references, name), color=colour, linewidth=1.0, linestyle=(0, (4, 2)))
            last = float(next(iter(runs.values()))[0].summary["updates"])
            top = max(3.0 * max(worst), 3e-2)
            style.symlog(safety, 1e-5, top, -3.0)
            safety.axhspan(0.0, top, color=style.VERMILION, alpha=0.09, linewidth=0)
            safety.axhline(0.0, color=style.INK, linewidth=0.6)
            for axes in (cost, loss, safety):
                axes.set_xlim(0.0, last)
                axes.xaxis.set_major_locator(MaxNLocator(4))
                style.tidy(axes)
            cost.set_title(scenario)
            if all(run.evaluations["clean_loss"].isna().all() for of in runs.values() for run in of):
                style.note(loss, "no good labels", x=0.5, y=0.55, ha="center", color=style.GREY)
            _count_unsafe(safety, runs)
            safety.set_xlabel("update")
            style.thousands(safety)
        top = max(1.3 * references.backup, max(_capped(scenarios, "cost", 20.0 * references.backup)))
        style.log(grid[0, 0])
        grid[0, 0].set_ylim(0.8 * references.mpc, 1.2 * top)
        style.log(grid[1, 0])
        for axes, label in zip(grid[:, 0], ("closed-loop cost", "loss, good labels", "$\\max_i\\, g_i$"), strict=True):
            axes.set_ylabel(label)
        figure.align_ylabels(grid[:, 0])
        methods = [name for name in style.LABELS if any(name in runs for runs in scenarios.values())]
        shown = {style.LABELS[name]: style.COLOURS[name] for name in methods}
        _legend(figure, shown | {"backup": BACKUP, "MPC": MPC})
        return figure


@parts.figure("double-integrator-certificate")
def certificate(results: Path) -> Figure:
    """What is proven of final policies (first seed), and the areas proven over training (certified seeds)."""
    references, scenarios = read_references(results), _scenarios(results)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 6.4)
        heights = {"height_ratios": [1.25, 1.25, 1.0]}
        grid = figure.subplots(3, len(scenarios), sharey="row", squeeze=False, gridspec_kw=heights)
        for column, scenario in zip(grid.T, scenarios, strict=True):
            for plane, method in zip(column[:2], SHOWN, strict=True):
                _ground(plane, references, fill=False)
                if found := read_certificates(results, f"{method}-{scenario}"):
                    _certified(plane, found[0])
                _plane(plane, references)
            area = column[2]
            for method in CERTIFIED:
                for one in read_certificates(results, f"{method}-{scenario}"):
                    rows = pd.DataFrame(one.figures["over_training"])
                    look: dict[str, Any] = {"color": style.COLOURS[method], "linewidth": 0.9, "alpha": 0.8}
                    area.plot(rows["update"], rows["area"], marker="o", markersize=2.2, **look)
                    area.plot(rows["update"], rows["invariant_area"], linestyle=(0, (1, 1.5)), **look)
                    fine = {"markersize": 4.5, "markerfacecolor": "white", "markeredgewidth": 0.9, "zorder": 3}
                    area.plot(rows["update"].iloc[-1], one.area, marker="D", color=look["color"], **fine)
            column[0].set_title(scenario)
            area.axhline(float(references.figures["area"]), color=style.INK, linewidth=0.7, linestyle=(0, (4, 2)))
            area.set_ylim(-2.0, 1.06 * float(references.figures["area_control_invariant"]))
            area.xaxis.set_major_locator(MaxNLocator(4))
            area.set_xlabel("update")
            style.thousands(area)
            style.tidy(area)
        for axes, method in zip(grid[:2, 0], SHOWN, strict=True):
            axes.set_ylabel(f"{style.LABELS[method]}\n\n$x_2$")
        grid[2, 0].set_ylabel("proven area")
        figure.align_ylabels(grid[:, 0])
        _legend(figure, {style.LABELS[name]: style.COLOURS[name] for name in reversed(CERTIFIED)})
        return figure


def _scenarios(results: Path) -> dict[str, Scenario]:
    """Return the runs of every scenario that the scale has, by method."""
    found = {scenario: read_scenario(results, scenario) for scenario in SCENARIOS}
    return {scenario: runs for scenario, runs in found.items() if runs}


def _paths(run: Run) -> Iterator[Array]:
    """Yield the states (T + 1, 2) of each trajectory of a run's final policy."""
    for _, rows in run.exhibits["trajectories"].groupby("start"):
        yield rows.sort_values("t")[["x1", "x2"]].to_numpy()


def _trajectory(axes: Axes, path: Array, colour: str, references: References) -> None:
    """Draw a trajectory up to where it leaves the picture."""
    outside = np.flatnonzero(np.abs(path).max(axis=1) > 3.0 * references.state_bound)
    path = path[: outside[0] + 1] if outside.size else path
    axes.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.8, marker=".", markersize=1.6, alpha=0.9)


def _ground(axes: Axes, references: References, *, fill: bool = True) -> None:
    """Draw the constraint box and O_inf."""
    box = references.state_bound * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    axes.plot(box[:, 0], box[:, 1], color=style.INK, linewidth=0.9)
    outline = np.vstack([references.arrays["vertices"], references.arrays["vertices"][:1]])
    if fill:
        axes.fill(outline[:, 0], outline[:, 1], color=style.SAND, alpha=0.3, linewidth=0)
    axes.plot(outline[:, 0], outline[:, 1], color=style.INK, linewidth=0.7, linestyle=(0, (5, 2)))


def _plane(axes: Axes, references: References, far: float = FAR) -> None:
    bound = references.state_bound
    axes.set_xlim(-far * bound, far * bound)
    axes.set_ylim(-far * bound, far * bound)
    axes.set_aspect("equal")
    axes.set_xticks([-bound, 0.0, bound])
    axes.set_yticks([-bound, 0.0, bound])
    axes.set_xlabel("$x_1$")
    style.tidy(axes)


def _surface(axes: Axes, table: pd.DataFrame, references: References) -> Any:
    """Draw the input as colours, and the lines |u| = 1; beyond them the input constraint is violated."""
    values = table.pivot_table(index="x2", columns="x1", values="u")
    x1, x2, u = values.columns.to_numpy(), values.index.to_numpy(), values.to_numpy()
    bound = references.input_bound
    norm = TwoSlopeNorm(0.0, -1.5 * bound, 1.5 * bound)
    image = axes.pcolormesh(x1, x2, u, cmap="RdBu_r", norm=norm, shading="nearest", rasterized=True)
    axes.contour(x1, x2, u, levels=[-bound, bound], colors=style.INK, linewidths=0.8, linestyles="solid")
    outline = np.vstack([references.arrays["vertices"], references.arrays["vertices"][:1]])
    axes.plot(outline[:, 0], outline[:, 1], color=style.INK, linewidth=0.7, linestyle=(0, (5, 2)))
    axes.set_xlim(x1[0], x1[-1])
    axes.set_ylim(x2[0], x2[-1])
    axes.set_xticks([x1[0], 0.0, x1[-1]])
    axes.set_yticks([x2[0], 0.0, x2[-1]])
    return image


def _slice(axes: Axes, runs: Scenario, references: References) -> None:
    x, gain = references.state_bound * np.array([-1.0, 1.0]), float(references.figures["gain"][0])
    for sign in (-1.0, 1.0):
        axes.axhline(sign * references.input_bound, color=style.INK, linewidth=0.8)
    axes.plot(x, -gain * x, color=BACKUP, linewidth=1.0, linestyle=(0, (3, 1.5)))
    for method in reversed(SHOWN):
        for run in runs.get(method, ()):
            table = run.exhibits["surface"]
            row = table[np.isclose(table["x2"], 0.0)].sort_values("x1")
            axes.plot(row["x1"], row["u"], color=style.COLOURS[method], linewidth=0.9, alpha=0.7)
    axes.set_ylim(-2.2 * references.input_bound, 2.2 * references.input_bound)
    style.tidy(axes)


def _certified(axes: Axes, found: Certificate) -> None:
    """Colour the certified and the refuted cells."""
    for mask, colours in ((found.mask, "Blues"), (found.refuted, "Reds")):
        shown = np.where(mask.T, 1.0, np.nan)
        axes.pcolormesh(found.x1, found.x2, shown, cmap=colours, vmin=0.0, vmax=2.2, rasterized=True, zorder=0)
    style.note(axes, f"certified {found.area:.1f}", x=0.97, y=0.085)


def _safety(axes: Axes, run: Run, colour: str) -> None:
    """Draw the highest raw metric of each bin; a dot marks a bin that holds an unsafe iterate."""
    centres, high = run.series["epoch"] * run.summary["updates"] / run.epochs, run.series["max_g_high"]
    axes.plot(centres, high, color=colour, **THIN)
    unsafe = high > 0.0
    axes.plot(centres[unsafe], high[unsafe], ".", color=colour, markersize=3, zorder=3)


def _capped(scenarios: Mapping[str, Scenario], metric: str, cap: float) -> list[float]:
    runs = [run for of in scenarios.values() for seeds in of.values() for run in seeds]
    return [min(cap, float(run.evaluations[metric].max())) for run in runs]


def _count_unsafe(axes: Axes, runs: Scenario) -> None:
    """Write how many iterates were unsafe beside the line of zero: of SCPO on the bound below, of others above."""
    for method, side, above in (("scpo", "top", -2.5), ("unconstrained", "bottom", 2.5)):
        if method in runs:
            unsafe, updates = (sum(run.summary[key] for run in runs[method]) for key in ("unsafe_iterates", "updates"))
            text = style.spaced(f"{unsafe:,} of {updates:,} unsafe")
            look: dict[str, Any] = {"color": style.COLOURS[method], "fontsize": 7.5, "ha": "right", "va": side}
            place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
            axes.annotate(text, (0.985, 0.0), (0.0, above), **place, **look)


def _both_and_backup() -> dict[str, str]:
    return {"backup": BACKUP} | {style.LABELS[name]: style.COLOURS[name] for name in SHOWN}


def _legend(figure: Figure, entries: Mapping[str, str], place: Place = "outside upper center") -> None:
    from matplotlib.lines import Line2D

    dashed = ("backup", "MPC")
    handles = [
        Line2D([], [], color=colour, linewidth=1.4, linestyle=(0, (3, 1.5)) if label in dashed else "-", label=label)
        for label, colour in entries.items()
    ]
    figure.legend(handles=handles, loc=place, ncols=len(handles), handlelength=1.8)
