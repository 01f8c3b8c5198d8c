"""The certificate: states from which all constraints hold for all time and the trajectory converges to the origin.

It is a chain of three proofs.

1. In the terminal ellipsoid E the constraints hold and V decreases (:mod:`.terminal_set`).
2. From a certified cell in a small window around the origin, the trajectory passes only admissible cells and enters E
   in finitely many steps (:func:`.fixpoints.least_arrival`).
3. The same is proven over larger and larger windows, up to the state box, and then on finer and finer cells.  Every set
   that was proven before counts as arrived.

Nothing is sampled, and all rounding is accounted for.  A cell is admissible only if its enclosure proves
|u| <= input_limit; by construction it lies in the state box.

The opposite is proven as well: from a *refuted* cell every trajectory violates a constraint.  A cell that is neither
certified nor refuted is undecided, and only undecided cells are examined on a finer grid.  All statements are about
the closed loop in real arithmetic with the given float64 numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from replication.certificate.cells import ClosedLoop, enclose
from replication.certificate.fixpoints import Grid, Mask, greatest_invariant, least_arrival, possibly_safe
from replication.certificate.intervals import Interval, matmul
from replication.certificate.terminal_set import Ellipsoid, admissible, terminal_set, violating
from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError

WINDOWS = (6, 5, 4, 3, 2, 1)
"""Windows around the origin that come before the state box: the box halved so many times."""
COARSEST = 100
"""Fewest cells along each axis of a coarse grid: the finest number is halved as long as it stays at least this."""


class Sink(Protocol):
    """A set for which safety and convergence are proven already."""

    def contains(self, box: Interval) -> Mask:
        """Return True for each box (N, 2) that is proven to lie in the set."""
        ...


@dataclass(frozen=True)
class Region:
    """A union of cells.

    Args:
        grid: all cells.
        mask: the cells that belong to the union.
    """

    grid: Grid
    mask: Mask

    def contains(self, box: Interval) -> Mask:
        """Return for each box (N, 2) whether the cells of the union cover it."""
        return self.grid.cover(box).within(self.mask)


@dataclass(frozen=True)
class Certificate:
    """Everything that is proven about one closed loop.

    Args:
        grid: cells over the state box.
        mask: certified cells: the constraints hold for all time, and the trajectory converges to the origin.
        invariant: cells from which the constraints hold for all time; a superset of ``mask``.
        refuted: cells from which every trajectory is proven to violate a constraint.
        input_proven: cells over which |u| <= input_limit is proven.
        terminal: the terminal ellipsoid, or None.
        reasons: why nothing is certified; empty if something is.
    """

    grid: Grid
    mask: Mask
    invariant: Mask
    refuted: Mask
    input_proven: Mask
    terminal: Ellipsoid | None
    reasons: tuple[str, ...]

    @property
    def certified(self) -> bool:
        """True if any cell is certified; for a given set use :meth:`covers`."""
        return bool(self.mask.any())

    @property
    def area(self) -> float:
        """Area of the certified cells."""
        return self.grid.area(self.mask)

    def summary(self) -> dict[str, bool | int | float | str]:
        """Return the quantities for a record, in JSON types."""
        return {
            "certified": self.certified,
            "area": self.area,
            "invariant_area": self.grid.area(self.invariant),
            "refuted_area": self.grid.area(self.refuted),
            "cells": int(self.mask.size),
            "certified_cells": int(self.mask.sum()),
            "input_proven_cells": int(self.input_proven.sum()),
            "terminal_level": 0.0 if self.terminal is None else self.terminal.level,
            "terminal_area": 0.0 if self.terminal is None else self.terminal.area,
            "reasons": "; ".join(self.reasons),
        }

    def contains(self, states: Array) -> Mask:
        """Return True for each state (N, 2) that lies in a certified cell; cells include their edges."""
        states = np.asarray(states, dtype=np.float64)
        found = np.zeros(len(states), dtype=bool)
        padded = np.pad(self.mask, 1)
        (i0, i1), (j0, j1) = (_neighbours(e, x) for e, x in zip(self.grid.edges, states.T, strict=True))
        for i, j in product((i0, i1), (j0, j1)):  # a state on an edge belongs to the cells on both sides
            found |= padded[i, j]
        return found

    def covers(self, halfspaces: Array, level: float = 1.0) -> bool:
        """Return whether {x : h_j^T x <= level for all j} is proven to lie in the certified set.

        Every cell must be certified, or one of the rows must prove that it is disjoint from the polytope.  A ring of
        cells around the state box counts as not certified: the polytope is connected and contains the origin, so it
        cannot leave the box without meeting the ring.

        Args:
            halfspaces: rows h_j (q, 2).
            level: positive; rho for the set rho O_inf.

        Raises:
            ShapeError: the rows do not have two entries.
            ConfigurationError: the level is not positive.
        """
        halfspaces = np.asarray(halfspaces, dtype=np.float64)
        if halfspaces.ndim != 2 or halfspaces.shape[1] != 2:
            raise ShapeError(f"covers: halfspaces must be (q, 2), got {halfspaces.shape}")
        if not level > 0.0:
            raise ConfigurationError(f"covers: the level must be positive, got {level}")
        # each cell, and each of a ring around them, is certified or lies beyond one of the half-spaces
        ringed = [np.concatenate([[2 * e[0] - e[1]], e, [2 * e[-1] - e[-2]]]) for e in self.grid.edges]
        boxes = Grid((ringed[0], ringed[1])).boxes()
        disjoint = (matmul(boxes, halfspaces.T).lo > level).any(axis=1)
        return bool((np.pad(self.mask, 1).ravel() | disjoint).all())


def _neighbours(edges: Array, x: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the cells on both sides of each coordinate, in a mask that is padded by one cell."""
    last = len(edges)
    left, right = np.searchsorted(edges, x, side="left"), np.searchsorted(edges, x, side="right")
    return np.minimum(left, last), np.minimum(right, last)


def certify(loop: ClosedLoop, cells: int = 200) -> Certificate:
    """Return the certificate of a closed loop with two states, on ``cells`` x ``cells`` cells.

    Args:
        loop: the closed loop with its constraints.
        cells: the number of cells along each axis of the state box.  Coarser grids come first: the number is halved
            while it is even and the half is at least COARSEST.  Only undecided cells are refined.  Windows have half
            as many cells, but at least COARSEST, or as many as the box if that has fewer.

    Returns:
        The certificate.  If nothing can be proven it has no certified cells, and says why.

    Raises:
        ConfigurationError: the loop does not have two states, or there are fewer than two cells.
    """
    if loop.a.shape != (2, 2):
        raise ConfigurationError(f"certify: needs two states, got {loop.a.shape[0]}")
    with np.errstate(over="ignore", invalid="ignore"):  # overflow ends in NaN, which proves nothing
        terminal, reason = terminal_set(loop)
        sinks: list[Sink] = []
        if terminal is not None:
            sinks.append(terminal)
            for halvings in WINDOWS:
                size = max(min(cells, COARSEST), cells // 2)
                window = _refined(loop, loop.state_limit * 0.5**halvings, size, sinks, None)
                sinks.append(Region(window.grid, window.mask))
        found = _refined(loop, loop.state_limit, cells, sinks, ())
    reasons = [] if terminal is not None else [f"terminal set: {reason}"]
    if not found.input_proven.any():
        reasons.append(f"inputs: |u| <= {loop.input_limit} is proven over no cell")
    elif not found.invariant.any():
        reasons.append("invariance: no set of cells is proven to be left never")
    elif not found.mask.any():
        reasons.append("arrival: no cell is proven to reach the terminal set")
    return replace(found, terminal=terminal, reasons=tuple(reasons))


def _refined(
    loop: ClosedLoop, bound: Array, cells: int, sinks: Sequence[Sink], refuted: Sequence[Region] | None
) -> Certificate:
    """Return the certificate over |x_i| <= bound_i from finer and finer grids; only undecided cells are refined."""
    sizes = [cells]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= COARSEST:
        sizes.insert(0, sizes[0] // 2)  # edges of a coarser grid are exactly edges of the finer one
    known = list(sinks)
    for size in sizes:
        found = _solve(loop, Grid.over(bound, size), known, refuted)
        if found.mask.all():
            break
        known = [*sinks, Region(found.grid, found.mask)]
        refuted = None if refuted is None else [Region(found.grid, found.refuted)]
    return found


def _solve(loop: ClosedLoop, grid: Grid, sinks: Sequence[Sink], refuted: Sequence[Region] | None = None) -> Certificate:
    """Return the certificate from the fixed points on one grid.  Cells in a sink, or mapped into one, count as arrived.

    Only cells that lie in no sink and are not refuted are enclosed.  If ``refuted`` is None the grid is a window, which
    trajectories may leave, so no cell can be refuted.
    """
    boxes = grid.boxes()
    proven, lost = _contained(sinks, boxes), _contained(refuted or (), boxes)
    rows = np.flatnonzero(~(proven | lost))
    known = enclose(loop, boxes[rows])
    safe, absorbed, allowed = proven.copy(), proven.copy(), ~lost
    safe[rows] = admissible(loop, known.inputs)
    absorbed[rows] = _contained(sinks, known.successor)
    allowed[rows] = ~violating(loop, known.inputs)
    cover = grid.cover(boxes)  # cells that are not enclosed map to themselves; no fixed point looks at them again
    part = grid.cover(known.successor)
    for whole, enclosed in zip(cover.arrays(), part.arrays(), strict=True):
        whole[rows] = enclosed
    safe, absorbed, allowed = (mask.reshape(grid.shape) for mask in (safe, absorbed, allowed))
    return Certificate(
        grid,
        least_arrival(safe, cover, absorbed),
        greatest_invariant(safe, cover, absorbed),
        np.zeros(grid.shape, dtype=bool) if refuted is None else ~possibly_safe(allowed, cover),
        safe,
        None,
        (),
    )


def _contained(regions: Sequence[Sink], boxes: Interval) -> Mask:
    """Return True for each box that one of the regions is proven to contain."""
    inside = np.zeros(len(boxes.lo), dtype=bool)
    for region in reversed(regions):  # the last regions contain most boxes
        rest = np.flatnonzero(~inside)
        inside[rest] = region.contains(boxes[rest])
    return inside
