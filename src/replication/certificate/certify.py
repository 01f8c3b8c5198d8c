"""The certificate: from which states all constraints hold for all time and the origin is approached.

Three proofs are chained.  (1) In the terminal ellipsoid E constraints hold and V decreases (:mod:`.local`).  (2) From a
certified cell of a small window around the origin the trajectory passes admissible cells only and enters E in finitely
many steps (:func:`.fixpoints.least_arrival`).  (3) The same over the next larger window, up to the state box, where
whatever was proven before counts as arrived, then again on ever finer cells.  Nothing is sampled and no rounding is
left out: a cell is admissible only if its enclosure proves |u| <= input_bound, and it lies in the state box by
construction.

The converse is proven too: from a *refuted* cell every trajectory violates a constraint.  Finer cells are examined only
where coarser ones decided neither.  The statements are about the closed loop in real arithmetic with the given float64
numbers.  A cell that is neither certified nor refuted is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from replication.certificate.cells import ClosedLoop, enclose
from replication.certificate.fixpoints import Grid, Mask, greatest_invariant, least_arrival, possibly_safe
from replication.certificate.intervals import Interval, matmul, point
from replication.certificate.terminal_set import Ellipsoid, admissible, terminal_set, violating
from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError

WINDOWS = (6, 5, 4, 3, 2, 1)
"""Windows around the origin tried before the state box: the box halved so many times."""
COARSEST = 100
"""Cells along each axis of the coarsest grids: each halving of the finest number that is at least this is solved."""


class Sink(Protocol):
    """A set from which safety and convergence are proven already."""

    def contains(self, box: Interval) -> Mask:
        """Return for each box (N, 2) whether it is proven to lie in the set."""
        ...


@dataclass(frozen=True)
class Region:
    """A union of cells.

    Args:
        grid: all cells.
        mask: those that belong to the union.
    """

    grid: Grid
    mask: Mask

    def contains(self, box: Interval) -> Mask:
        """Return for each box (N, 2) whether cells of the union cover it."""
        return self.grid.cover(box).within(self.mask)


@dataclass(frozen=True)
class Certificate:
    """What is proven of one closed loop.

    Args:
        grid: cells over the state box.
        mask: certified cells: all constraints for all time, and convergence to the origin.
        invariant: cells from which all constraints are proven for all time; holds ``mask``.
        refuted: cells from which every trajectory is proven to violate a constraint.
        input_proven: cells over which |u| <= input_bound is proven.
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
        """Whether any cell is certified; ask :meth:`covers` about a set that matters."""
        return bool(self.mask.any())

    @property
    def area(self) -> float:
        """Area of the certified cells."""
        return self.grid.area(self.mask)

    def summary(self) -> dict[str, bool | int | float | str]:
        """Return the figures for a record, JSON types only."""
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
        """Return for states (N, 2) whether each lies in a certified cell; cells are closed."""
        states = np.asarray(states, dtype=np.float64)
        found = np.zeros(len(states), dtype=bool)
        padded = np.pad(self.mask, 1)
        (i0, i1), (j0, j1) = (_neighbours(e, x) for e, x in zip(self.grid.edges, states.T, strict=True))
        for i, j in product((i0, i1), (j0, j1)):  # a state on an edge lies in the cells on both sides
            found |= padded[i, j]
        return found

    def covers(self, halfspaces: Array, level: float = 1.0) -> bool:
        """Return whether {x : h_j^T x <= level for all j} is proven to lie in the certified set.

        Every cell must be certified or proven disjoint from the polytope by one of its rows.  A ring of cells around
        the state box counts as not certified: the polytope is connected and holds the origin, so it cannot leave the
        box without meeting the ring.

        Args:
            halfspaces: rows h_j (q, 2).
            level: positive, for example rho for rho O_inf.

        Raises:
            ShapeError: rows do not have two entries.
            ConfigurationError: the level is not positive.
        """
        halfspaces = np.asarray(halfspaces, dtype=np.float64)
        if halfspaces.ndim != 2 or halfspaces.shape[1] != 2:
            raise ShapeError(f"covers: halfspaces must be (q, 2), got {halfspaces.shape}")
        if not level > 0.0:
            raise ConfigurationError(f"covers: the level must be positive, got {level}")
        return self._covers(halfspaces, np.full(len(halfspaces), level))

    def covers_hull(self, vertices: Array) -> bool:
        """Return whether the convex hull of vertices (q, 2), not all on a line, is proven to lie in the certified set.

        Separating directions are the hull's facet normals and the axes; their supports over the vertices are enclosed,
        so that the directions themselves need not be exact.

        Raises:
            ShapeError: vertices do not have two entries.
        """
        vertices = np.asarray(vertices, dtype=np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 2:
            raise ShapeError(f"covers_hull: vertices must be (q, 2), got {vertices.shape}")
        lines = self.grid.edges
        if not all(((v >= line[0]) & (v <= line[-1])).all() for v, line in zip(vertices.T, lines, strict=True)):
            return False
        directions = np.concatenate([ConvexHull(vertices).equations[:, :2], np.eye(2), -np.eye(2)])
        return self._covers(directions, matmul(point(vertices), directions.T).hi.max(axis=0))

    def _covers(self, directions: Array, supports: Array) -> bool:
        ringed = [np.concatenate([[2 * e[0] - e[1]], e, [2 * e[-1] - e[-2]]]) for e in self.grid.edges]
        boxes = Grid((ringed[0], ringed[1])).boxes()
        disjoint = (matmul(boxes, directions.T).lo > supports).any(axis=1)
        return bool((np.pad(self.mask, 1).ravel() | disjoint).all())


def _neighbours(edges: Array, x: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices, into a mask padded by one, of the cells on both sides of each coordinate."""
    last = len(edges)
    left, right = np.searchsorted(edges, x, side="left"), np.searchsorted(edges, x, side="right")
    return np.minimum(left, last), np.minimum(right, last)


def certify(loop: ClosedLoop, cells: int = 200) -> Certificate:
    """Prove what can be proven of a closed loop with two states on ``cells`` x ``cells`` cells.

    Args:
        loop: the closed loop with its constraints.
        cells: along each axis of the state box.  Coarser cells come first, those with half as many along each axis and
            so on while the number is even and at least COARSEST, and only what they leave open is refined.  Windows
            have half as many, but not fewer than COARSEST unless the box has fewer itself.

    Returns:
        The certificate; a loop of which nothing can be proven gives one without certified cells, not an error.

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
                window = _refined(loop, loop.state_bound * 0.5**halvings, size, sinks, None)
                sinks.append(Region(window.grid, window.mask))
        found = _refined(loop, loop.state_bound, cells, sinks, ())
    reasons = [] if terminal is not None else [f"terminal set: {reason}"]
    if not found.input_proven.any():
        reasons.append(f"inputs: |u| <= {loop.input_bound} is proven over no cell")
    elif not found.invariant.any():
        reasons.append("invariance: no set of cells is proven to be left never")
    elif not found.mask.any():
        reasons.append("arrival: no cell is proven to reach the terminal set")
    return replace(found, terminal=terminal, reasons=tuple(reasons))


def _refined(
    loop: ClosedLoop, bound: Array, cells: int, sinks: Sequence[Sink], refuted: Sequence[Region] | None
) -> Certificate:
    """Solve on ever finer cells over |x_i| <= bound_i, each time only where the coarser ones left something open."""
    sizes = [cells]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= COARSEST:
        sizes.insert(0, sizes[0] // 2)  # edges of coarser grids are edges of the finer ones, exactly
    known = list(sinks)
    for size in sizes:
        found = _solve(loop, Grid.over(bound, size), known, refuted)
        if found.mask.all():
            break
        known = [*sinks, Region(found.grid, found.mask)]
        refuted = None if refuted is None else [Region(found.grid, found.refuted)]
    return found


def _solve(loop: ClosedLoop, grid: Grid, sinks: Sequence[Sink], refuted: Sequence[Region] | None = None) -> Certificate:
    """Solve the fixed points on one grid; a cell that lies in a sink, or is mapped into one, has arrived.

    Only cells that lie in no sink and are not refuted are enclosed.  Without ``refuted`` the grid is a window, which
    may be left: nothing is refuted then.
    """
    boxes = grid.boxes()
    proven, lost = _contained(sinks, boxes), _contained(refuted or (), boxes)
    rows = np.flatnonzero(~(proven | lost))
    known = enclose(loop, boxes[rows])
    safe, absorbed, allowed = proven.copy(), proven.copy(), ~lost
    safe[rows] = admissible(loop, known.inputs)
    absorbed[rows] = _contained(sinks, known.successor)
    allowed[rows] = ~violating(loop, known.inputs)
    cover = grid.cover(boxes)  # itself, where nothing is enclosed: no fixed point looks there again
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
    """Return for each box whether one of the regions is proven to contain it."""
    inside = np.zeros(len(boxes.lo), dtype=bool)
    for region in reversed(regions):  # the last ones hold most
        rest = np.flatnonzero(~inside)
        inside[rest] = region.contains(boxes[rest])
    return inside
