"""Figures of the double integrator over its state plane: trajectories, the learned input, and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replication.experiments.double_integrator.figures import REFERENCES, SHOWN, Scenario, line
from replication.experiments.double_integrator.read import (
    Certificate,
    References,
    read_certificates,
    read_references,
    read_scenarios,
)
from replication.results import frames
from replication.results.read import Run
from replication.typeset import parts, plots, style
from scpo.arrays import Array

CERTIFIED = ("unconstrained", "scpo", "scpo-verified")
FAR = 1.15  # edge of the phase portraits, in bounds of the state
SET: dict[str, Any] = {"color": style.INK, "linewidth": 0.8}  # the outline of O_inf


@parts.figure(
    "double-integrator-portraits",
    reads=[
        "double-integrator/references.*",
        "double-integrator/*-cooperative/*/[!c]*",
        "double-integrator/*-mixed/*/[!c]*",
        "double-integrator/*-hostile/*/[!c]*",
    ],
)
def portraits(results: Path) -> Figure:
    """Closed-loop trajectories of backup, SCPO and unconstrained training in the phase plane, first seeds."""
    references, scenarios = read_references(results), read_scenarios(results)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.8)
        grid = figure.subplots(1, len(scenarios), sharex=True, sharey=True, squeeze=False)[0]
        backup = references.arrays["backup_states"]
        for axes, (scenario, runs) in zip(grid, scenarios.items(), strict=True):
            _ground(axes, references)
            for path in backup.transpose(1, 0, 2):
                axes.plot(path[:, 0], path[:, 1], **(REFERENCES["backup"] | {"linewidth": 0.8}))
            for method in reversed(SHOWN):
                for path in _paths(runs[method][0]) if method in runs else ():
                    _trajectory(axes, path, style.COLOURS[method], references)
            axes.plot(backup[0, :, 0], backup[0, :, 1], "o", color=style.INK, markersize=2.4, zorder=4)
            axes.set_title(scenario)
            _plane(axes, references)
        grid[0].set_ylabel("$x_2$")
        style.letters(grid)
        starts = {"starts": {"color": style.INK, "marker": "o", "markersize": 2.4, "linestyle": ""}}
        lines = {style.LABELS[name]: line(name) for name in SHOWN}
        plots.legend(figure, lines | {"backup": REFERENCES["backup"], "$O_\\infty$": SET} | starts)
        return figure


@parts.figure(
    "double-integrator-policy",
    reads=[
        "double-integrator/references.*",
        "double-integrator/*-cooperative/*/[!c]*",
        "double-integrator/*-mixed/*/[!c]*",
        "double-integrator/*-hostile/*/[!c]*",
    ],
)
def policy(results: Path) -> Figure:
    """The learned input over the plane (first seeds), and its slice at x_2 = 0 (median, middle 90 % of seeds)."""
    references, scenarios = read_references(results), read_scenarios(results)
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
            bar.set_ticks([-references.numbers.input_bound, 0.0, references.numbers.input_bound])
        figure.align_ylabels(grid[:, 0])
        style.letters(grid)
        plots.name_last(grid[2], 1.15)
        return figure


@parts.figure(
    "double-integrator-certificate",
    reads=[
        "double-integrator/references.*",
        "double-integrator/*-cooperative/*/*",
        "double-integrator/*-mixed/*/*",
        "double-integrator/*-hostile/*/*",
    ],
)
def certificate(results: Path) -> Figure:
    """What is proven of final policies (first seed), and the areas proven safe over training (certified seeds)."""
    references, scenarios = read_references(results), read_scenarios(results)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 5.9)
        heights = {"height_ratios": [1.25, 1.25, 1.0]}
        grid = figure.subplots(3, len(scenarios), sharey="row", squeeze=False, gridspec_kw=heights)
        for column, scenario in zip(grid.T, scenarios, strict=True):
            for plane, method in zip(column[:2], SHOWN, strict=True):
                _ground(plane, references, fill=False)
                if found := read_certificates(results, f"{method}-{scenario}"):
                    _cells(plane, found[0])
                    style.note(plane, f"certified {found[0].numbers.final.area:.1f}", x=0.915, y=0.175)
                _plane(plane, references)
            for method in CERTIFIED:
                for one in read_certificates(results, f"{method}-{scenario}"):
                    _areas(column[2], one, method)
            column[0].set_title(scenario)
            column[2].axhline(
                float(references.numbers["area"]), label="area of $O_\\infty$", **SET | {"linestyle": style.DASHED}
            )
            column[2].set_xlabel("update")
            column[2].xaxis.set_major_locator(MaxNLocator(4))
            style.thousands(column[2])
        grid[2, 0].set_ylim(-2.0, 1.06 * float(references.numbers["area_control_invariant"]))
        for axes, method in zip(grid[:2, 0], SHOWN, strict=True):
            axes.set_ylabel(f"{style.LABELS[method]}\n\n$x_2$")
        grid[2, 0].set_ylabel("area proven safe")
        figure.align_ylabels(grid[:, 0])
        style.letters(grid)
        plots.name_last(grid[2], 1.1)
        _cells_legend(figure)
        return figure


def _paths(run: Run) -> Iterator[Array]:
    """Yield the states (T + 1, 2) of each trajectory of a run's final policy."""
    for _, rows in run.exhibits["trajectories"].groupby("start"):
        yield rows.sort_values("t")[["x1", "x2"]].to_numpy()


def _trajectory(axes: Axes, path: Array, colour: str, references: References) -> None:
    """Draw a trajectory up to where it leaves the picture, with an arrow on its first step."""
    outside = np.flatnonzero(np.abs(path).max(axis=1) > 3.0 * references.numbers.state_bound)
    path = path[: outside[0] + 1] if outside.size else path
    axes.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.8, marker=".", markersize=1.6, alpha=0.9)
    head: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 0.0, "mutation_scale": 9}
    axes.annotate("", 0.35 * path[0] + 0.65 * path[1], path[0], arrowprops=head | {"shrinkA": 0, "shrinkB": 0})


def _ground(axes: Axes, references: References, *, fill: bool = True) -> None:
    """Draw the box of the constraints and O_inf."""
    box = references.numbers.state_bound * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    axes.plot(box[:, 0], box[:, 1], color=style.INK, linewidth=0.9)
    outline = _outline(references)
    if fill:
        axes.fill(outline[:, 0], outline[:, 1], color=style.SAND, alpha=0.3, linewidth=0)
    axes.plot(outline[:, 0], outline[:, 1], **SET)


def _outline(references: References) -> Array:
    """Return the corners of O_inf, the first one again at the end."""
    return np.vstack([references.arrays["vertices"], references.arrays["vertices"][:1]])


def _plane(axes: Axes, references: References) -> None:
    bound = references.numbers.state_bound
    axes.set_xlim(-FAR * bound, FAR * bound)
    axes.set_ylim(-FAR * bound, FAR * bound)
    axes.set_aspect("equal")
    axes.set_xticks([-bound, 0.0, bound])
    axes.set_yticks([-bound, 0.0, bound])
    axes.set_xlabel("$x_1$")


def _surface(axes: Axes, table: pd.DataFrame, references: References) -> Any:
    """Draw the input as colours, and the lines |u| = 1, beyond which the input violates its limit."""
    values = table.pivot_table(index="x2", columns="x1", values="u")
    x1, x2, u = values.columns.to_numpy(), values.index.to_numpy(), values.to_numpy()
    bound = references.numbers.input_bound
    norm = TwoSlopeNorm(0.0, -1.5 * bound, 1.5 * bound)
    image = axes.pcolormesh(x1, x2, u, cmap="BrBG", norm=norm, shading="nearest", rasterized=True)
    axes.contour(x1, x2, u, levels=[-bound, bound], colors=style.INK, linewidths=0.8, linestyles="solid")
    outline = _outline(references)
    axes.plot(outline[:, 0], outline[:, 1], **(SET | {"linestyle": style.DASHED}))
    axes.set_xlim(x1[0], x1[-1])
    axes.set_ylim(x2[0], x2[-1])
    axes.set_xticks([x1[0], 0.0, x1[-1]])
    axes.set_yticks([x2[0], 0.0, x2[-1]])
    return image


def _slice(axes: Axes, runs: Scenario, references: References) -> None:
    x, gain = references.numbers.state_bound * np.array([-1.0, 1.0]), float(references.numbers["gain"][0])
    for sign in (-1.0, 1.0):
        axes.axhline(sign * references.numbers.input_bound, color=style.INK, linewidth=0.8)
    axes.plot(x, -gain * x, label="backup", **REFERENCES["backup"])
    for method in reversed(SHOWN):
        if method in runs:
            data = frames.exhibit(runs[method], "surface")
            data = data[np.isclose(data["x2"], 0.0)]
            plots.spread(axes, data, "x1", "u", style.COLOURS[method], label=style.LABELS[method])
    axes.set_ylim(-2.2 * references.numbers.input_bound, 2.2 * references.numbers.input_bound)


def _cells(axes: Axes, found: Certificate) -> None:
    """Colour the certified and the refuted cells."""
    from matplotlib.colors import ListedColormap

    for mask, colour in ((found.mask, style.CERTIFIED), (found.refuted, style.REFUTED)):
        shown = np.where(mask.T, 1.0, np.nan)
        axes.pcolormesh(found.x1, found.x2, shown, cmap=ListedColormap([colour]), rasterized=True, zorder=0)


def _areas(axes: Axes, found: Certificate, method: str) -> None:
    """Draw the area that is proven safe for all time over training; all policies are certified on cells of one size."""
    rows = pd.DataFrame(found.numbers["over_training"])
    look: dict[str, Any] = line(method) | {"linewidth": 0.9, "alpha": 0.8}
    axes.plot(rows["update"], rows["invariant_area"], label=style.LABELS[method], **look)


def _cells_legend(figure: Figure) -> None:
    patch: dict[str, Any] = {"marker": "s", "markersize": 7, "linestyle": ""}
    cells = {
        "certified": patch | {"color": style.CERTIFIED},
        "refuted": patch | {"color": style.REFUTED},
        "undecided": patch | {"color": "white", "markeredgecolor": style.GREY},
        "$O_\\infty$": SET,
    }
    plots.legend(figure, cells)
