"""The drawing of one update: two made-up constraints over two weights, with the bound and the region of the method.

The region is drawn from its definition and the projection is found on a grid of points, so no solver is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from replication.typeset import parts, style
from scpo.arrays import Array

# two constraints g(x, y) = value + slope (x, y) + curvature (x^2, 2 x y, y^2) / 2, at theta = 0
VALUE = np.array([-0.75, -0.75])
SLOPE = np.array([[0.80, 0.15], [-0.10, 0.85]])
CURVATURE = np.array([[0.45, -0.20, 0.30], [0.15, 0.30, -0.35]])
SMOOTHNESS, PROBE_ERROR = np.array([0.85, 0.75]), 0.02
NOMINAL, RADIUS, PROBE, KAPPA = np.array([1.45, 0.85]), 1.2, 0.32, 0.8
WIDTH = 1.75  # of the pictures of the weights, to each side
UNSAFE: dict[str, Any] = {"color": style.INK, "alpha": 0.08, "linewidth": 0}


@parts.figure("update", reads=[])
def update(results: Path) -> Figure:
    """One update: probes around the weights, the local safe region, and the bound along the projected step."""
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.35)
        probing, region, along = figure.subplots(1, 3)
        step = projected()
        _probing_panel(probing)
        _region_panel(region, step)
        _along_panel(along, step)
        titles = ("Probe", "Project", "Along the step")
        for axes, title in zip((probing, region, along), titles, strict=True):
            axes.set_title(title, loc="left")
        style.letters([probing, region, along])
        return figure


def constraints(points: Array) -> Array:
    """Return both constraints (..., 2) at ``points`` (..., 2)."""
    x, y = points[..., :1], points[..., 1:]
    squares = np.concatenate([x * x, 2.0 * x * y, y * y], axis=-1)
    return np.asarray(VALUE + points @ SLOPE.T + 0.5 * squares @ CURVATURE.T)


def bound(steps: Array) -> Array:
    """Return the step bound U of both constraints (..., 2) at ``steps`` (..., 2)."""
    length = np.linalg.norm(steps, axis=-1, keepdims=True)
    return np.asarray(VALUE + steps @ SLOPE.T + PROBE_ERROR * length + 0.5 * SMOOTHNESS * length**2)


def inside(steps: Array) -> NDArray[np.bool_]:
    """Tell which of ``steps`` (..., 2) are in the local safe region."""
    held = (bound(steps) <= (1.0 - KAPPA) * VALUE).all(axis=-1)
    return np.asarray(held & (np.linalg.norm(steps, axis=-1) <= RADIUS))


def projected() -> Array:
    """Return the point of the region that is nearest to the nominal step, to a thousandth."""
    grid = _grid(0.0, RADIUS, 1201)
    distance = np.linalg.norm(grid - NOMINAL, axis=-1)
    nearest = np.where(inside(grid), distance, np.inf).argmin()
    return np.asarray(grid.reshape(-1, 2)[nearest])


def _grid(low: float, high: float, count: int) -> Array:
    ticks = np.linspace(low, high, count)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1)


def _ground(axes: Axes) -> None:
    """Tint the unsafe weights.  The method does not know their boundary."""
    grid = _grid(-WIDTH, WIDTH, 400)
    worst = constraints(grid).max(axis=-1)
    axes.contourf(grid[..., 0], grid[..., 1], worst, levels=[0.0, np.inf], colors=style.INK, alpha=0.08)
    axes.contour(grid[..., 0], grid[..., 1], worst, levels=[0.0], colors=style.INK, linewidths=0.9)
    axes.set(xlim=(-0.85 * WIDTH, WIDTH), ylim=(-0.85 * WIDTH, WIDTH), xticks=[], yticks=[], aspect="equal", anchor="N")
    axes.spines[:].set_visible(False)
    axes.text(0.92 * WIDTH, 0.94 * WIDTH, "unsafe", ha="right", va="top", fontsize=8)


def _arrow(axes: Axes, end: Array, **look: Any) -> None:
    head: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (float(end[0]), float(end[1])), (0.0, 0.0), arrowprops=head | look)


def _text(axes: Axes, place: Array, shift: tuple[float, float], text: str, **look: Any) -> None:
    x, y = np.add(place, shift).tolist()
    axes.text(x, y, text, **look)


def _start(axes: Axes) -> None:
    axes.plot(0.0, 0.0, "o", color=style.INK, markersize=4, zorder=5)
    axes.text(-0.12, -0.06, r"$\theta$", ha="right", va="top")


def _probing_panel(axes: Axes) -> None:
    _ground(axes)
    _arrow(axes, NOMINAL, color=style.VERMILION, linewidth=1.2)
    _text(axes, NOMINAL, (0.05, -0.08), "$p$", color=style.VERMILION, ha="left", va="top")
    along = NOMINAL / np.linalg.norm(NOMINAL)
    across = np.array([along[1], -along[0]])
    for direction, name, shift in (
        (along, r"$\theta+\nu q_1$", (-0.1, 0.1)),
        (across, r"$\theta+\nu q_2$", (-0.02, -0.24)),
    ):
        end = PROBE * 1.6 * direction
        axes.plot(*np.stack([np.zeros(2), end], axis=1), color=style.GREY, linewidth=0.8, zorder=3)
        axes.plot(*end, "o", color="white", markeredgecolor=style.INK, markeredgewidth=0.9, markersize=4, zorder=4)
        _text(axes, end, shift, name, fontsize=8, ha="left" if shift[0] > 0 else "right", va="center")
    _start(axes)
    axes.text(-0.8 * WIDTH, -0.78 * WIDTH, r"safe: $g\leq 0$" "\n(not known)", fontsize=8, va="bottom")


def _region_panel(axes: Axes, step: Array) -> None:
    _ground(axes)
    grid = _grid(-WIDTH, WIDTH, 700)
    rows = np.maximum((bound(grid) - (1.0 - KAPPA) * VALUE).max(axis=-1), np.linalg.norm(grid, axis=-1) - RADIUS)
    axes.contourf(grid[..., 0], grid[..., 1], rows, levels=[-np.inf, 0.0], colors=style.BLUE, alpha=0.18)
    axes.contour(grid[..., 0], grid[..., 1], rows, levels=[0.0], colors=style.BLUE, linewidths=1.0)
    _arrow(axes, NOMINAL, color=style.VERMILION, linewidth=1.0)
    axes.plot(*np.stack([NOMINAL, step], axis=1), color=style.GREY, linewidth=0.9, linestyle=style.DOTTED)
    _arrow(axes, step, color=style.BLUE, linewidth=1.4)
    _text(axes, NOMINAL, (-0.05, 0.06), r"$\theta+p$", color=style.VERMILION, fontsize=8, ha="right", va="bottom")
    _text(axes, step, (-0.26, -0.1), r"$\theta^{+}$", color=style.BLUE, ha="right", va="center")
    axes.text(-0.55, -0.55, r"$\theta+Q\mathcal{Z}$", color=style.BLUE, ha="center", va="center")
    _start(axes)


def _along_panel(axes: Axes, step: Array) -> None:
    """Draw the constraint that stops the step, and its bound, against the part of the step that is taken."""
    part = np.linspace(0.0, 1.75, 200)
    path = part[:, None] * step
    first = int((bound(step) - (1.0 - KAPPA) * VALUE).argmax())
    top = 0.55
    axes.axhspan(0.0, top, **UNSAFE)
    axes.axhline(0.0, color=style.INK, linewidth=0.9)
    kept = (1.0 - KAPPA) * VALUE[first]
    axes.axhline(kept, color=style.GREY, linewidth=0.9, linestyle=style.DOTTED)
    axes.plot(part, bound(path)[:, first], color=style.BLUE, linewidth=1.4)
    axes.plot(part, constraints(path)[:, first], color=style.INK, linewidth=1.2, linestyle=style.DASHED)
    axes.plot(1.0, kept, "o", color=style.BLUE, markersize=4)
    axes.text(1.50, 0.36, "$U_i$", color=style.BLUE, ha="right", va="bottom")
    axes.text(1.3, -0.3, "$g_i$", ha="left", va="top")
    axes.text(0.02, kept + 0.02, r"$(1-\kappa)\,g_i(\theta)$", fontsize=8, va="bottom")
    axes.text(0.05, top - 0.03, "unsafe", fontsize=8, va="top")
    axes.set(xlim=(0.0, 1.75), ylim=(1.15 * VALUE[first], top), xticks=[0.0, 1.0], yticks=[VALUE[first], 0.0])
    axes.set_xticklabels([r"$\theta$", r"$\theta^{+}$"])
    axes.set_yticklabels([r"$g_i(\theta)$", "$0$"])
    axes.set_box_aspect(0.9)
    axes.set_anchor("N")
