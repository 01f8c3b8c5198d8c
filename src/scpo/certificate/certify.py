"""The certificate: from which states all constraints hold for all time and the origin is approached.

Three proofs are chained.  (1) In the terminal ellipsoid E constraints hold and V decreases (:mod:`.local`).  (2) From a
certified cell of a small window around the origin the trajectory passes admissible cells only and enters E in finitely
many steps (:func:`.fixpoints.least_arrival`).  (3) The same over the next larger window, up to the state box, where
whatever was proven before counts as arrived.  Nothing is sampled and no rounding is left out: a cell is admissible only
if its enclosure proves |u| <= input_bound, and it lies in the state box by construction.

The statement is about the closed loop in real arithmetic with the given float64 numbers.  A cell that is not certified
is undecided, not proven unsafe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from scpo.certificate.cells import ClosedLoop, enclose
from scpo.certificate.fixpoints import Grid, Mask, greatest_invariant, least_arrival
from scpo.certificate.intervals import Array, Interval, matmul, point
from scpo.certificate.local import Ellipsoid, admissible, terminal_set
from scpo.errors import ConfigurationError, ShapeError

WINDOWS = (3, 2, 1)
"""Windows around the origin tried before the state box: the box halved so many times."""
WINDOW_CELLS = 100
"""Cells along each axis of a window."""


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
        input_proven: cells over which |u| <= input_bound is proven.
        terminal: the terminal ellipsoid, or None.
        reasons: why nothing is certified; empty if something is.
    """

    grid: Grid
    mask: Mask
    invariant: Mask
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
        cells: along each axis of the state box; four times the cells cost four times the time.

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
                window = _solve(loop, Grid.over(loop.state_bound * 0.5**halvings, WINDOW_CELLS), sinks)
                sinks.append(Region(window.grid, window.mask))
        found = _solve(loop, Grid.over(loop.state_bound, cells), sinks)
    reasons = [] if terminal is not None else [f"terminal set: {reason}"]
    if not found.input_proven.any():
        reasons.append(f"inputs: |u| <= {loop.input_bound} is proven over no cell")
    elif not found.invariant.any():
        reasons.append("invariance: no set of cells is proven to be left never")
    elif not found.mask.any():
        reasons.append("arrival: no cell is proven to reach the terminal set")
    return Certificate(found.grid, found.mask, found.invariant, found.input_proven, terminal, tuple(reasons))


@dataclass(frozen=True)
class _Solution:
    grid: Grid
    mask: Mask
    invariant: Mask
    input_proven: Mask


def _solve(loop: ClosedLoop, grid: Grid, sinks: Sequence[Sink]) -> _Solution:
    """Solve both fixed points on one grid; a cell that lies in a sink, or is mapped into one, has arrived."""
    boxes = grid.boxes()
    known = enclose(loop, boxes)
    safe = admissible(loop, known.inputs)
    absorbed = np.zeros(len(safe), dtype=bool)
    for sink in sinks:
        inside = sink.contains(boxes)
        safe = safe | inside
        absorbed = absorbed | inside | sink.contains(known.successor)
    cover = grid.cover(known.successor)
    safe, absorbed = safe.reshape(grid.shape), absorbed.reshape(grid.shape)
    return _Solution(grid, least_arrival(safe, cover, absorbed), greatest_invariant(safe, cover, absorbed), safe)
