"""A grid of cells over the state box, and the fixed points of sets of cells.

A cell is a closed box.  Neighbours share their faces, so the cells cover the state box.  A successor box is covered by
a rectangle of cells.  A summed-area table tells in one look-up whether all of them belong to a set, so a sweep over all
cells takes O(cells).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replication.certificate.intervals import Interval
from scpo.arrays import Array
from scpo.errors import ConfigurationError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """A grid of cells in the plane, given by its edges.

    Args:
        edges: ascending float64 per axis; cell (i, j) is [edges[0][i], edges[0][i+1]] x [edges[1][j], edges[1][j+1]].
    """

    edges: tuple[Array, Array]

    @classmethod
    def over(cls, limit: Array, cells: int) -> Grid:
        """Return ``cells`` x ``cells`` cells over |x_i| <= limit_i; the outermost edges are exactly the limits."""
        if cells < 2 or limit.shape != (2,):
            raise ConfigurationError(f"grid: needs two states and at least 2 cells, got {limit.shape} and {cells}")
        lines = [np.linspace(-size, size, cells + 1) for size in limit]
        return cls((lines[0], lines[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """The number of cells along each axis."""
        return len(self.edges[0]) - 1, len(self.edges[1]) - 1

    def boxes(self) -> Interval:
        """Return all cells as boxes (N, 2); the second axis changes fastest."""
        low = np.meshgrid(self.edges[0][:-1], self.edges[1][:-1], indexing="ij")
        high = np.meshgrid(self.edges[0][1:], self.edges[1][1:], indexing="ij")
        return Interval(np.stack([x.ravel() for x in low], axis=-1), np.stack([x.ravel() for x in high], axis=-1))

    def cover(self, box: Interval) -> Cover:
        """Return the range of cells that covers each box (N, 2).

        The lower edge of the first cell is the last edge <= lo; the upper edge of the last cell is the first edge
        >= hi.  These comparisons are exact.  A box with a NaN may reach anywhere.
        """
        first, end = np.empty(box.lo.shape, dtype=np.intp), np.empty(box.lo.shape, dtype=np.intp)
        inside, outside = np.ones(len(box.lo), dtype=bool), np.zeros(len(box.lo), dtype=bool)
        for axis, edges in enumerate(self.edges):
            lo, hi, size = box.lo[:, axis], box.hi[:, axis], len(edges) - 1
            lo, hi = np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi)
            low, high = np.searchsorted(edges, lo, side="right") - 1, np.searchsorted(edges, hi, side="left") - 1
            inside &= (low >= 0) & (low < size) & (high >= 0) & (high < size)
            outside |= (lo > edges[-1]) | (hi < edges[0])
            first[:, axis] = np.clip(low, 0, size - 1)
            end[:, axis] = np.clip(np.maximum(low, high), 0, size - 1) + 1
        return Cover(first, end, inside, outside)

    def area(self, mask: Mask) -> float:
        """Return the area of the cells in ``mask``, up to rounding."""
        widths = [np.diff(edges) for edges in self.edges]
        return float(widths[0] @ mask @ widths[1])


@dataclass(frozen=True)
class Cover:
    """Index ranges [first, end) of the cells that cover N boxes, cut to the grid; none is empty.

    Args:
        first: index of the first cell along each axis (N, 2).
        end: index after the last cell along each axis (N, 2).
        inside: False where a box may leave the grid (N,).
        outside: True where a box has no point in common with the grid (N,).
    """

    first: NDArray[np.intp]
    end: NDArray[np.intp]
    inside: Mask
    outside: Mask

    def within(self, mask: Mask) -> Mask:
        """Return True for each box that lies in the grid and whose cells are all in ``mask``."""
        complete: Mask = self.inside & (self._count(~mask) == 0)
        return complete

    def avoids(self, mask: Mask) -> Mask:
        """Return True for each box that meets no cell of ``mask`` or lies outside the grid."""
        free: Mask = self.outside | (self._count(mask) == 0)
        return free

    def _count(self, mask: Mask) -> NDArray[np.int32]:
        """Return the number of cells of each range that are in ``mask``."""
        table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=np.int32)
        table[1:, 1:] = np.cumsum(np.cumsum(mask, axis=0, dtype=np.int32), axis=1)
        (i0, j0), (i1, j1) = self.first.T, self.end.T
        found: NDArray[np.int32] = table[i1, j1] - table[i0, j1] - table[i1, j0] + table[i0, j0]
        return found

    def arrays(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Mask, Mask]:
        """Return the four arrays."""
        return self.first, self.end, self.inside, self.outside

    def select(self, rows: NDArray[np.intp]) -> Cover:
        """Return the ranges of the boxes ``rows``."""
        return Cover(self.first[rows], self.end[rows], self.inside[rows], self.outside[rows])


def greatest_invariant(admissible: Mask, cover: Cover, absorbed: Mask) -> Mask:
    """Return the largest set S of admissible cells whose successors lie in S or in an absorbing safe set.

    Args:
        admissible: cells (p, q) over which all constraints are proven to hold.
        cover: the cells that cover the successors of all p q cells.
        absorbed: cells (p, q) whose successors are proven to lie in the absorbing safe set.

    Returns:
        S (p, q), from which the constraints hold for all time.  It is the greatest fixed point, found by removal.
    """
    inside = admissible.copy()
    while True:
        rows = np.flatnonzero(inside & ~absorbed)
        lost = rows[~cover.select(rows).within(inside)]
        if lost.size == 0:
            return inside
        inside.ravel()[lost] = False


def possibly_safe(allowed: Mask, cover: Cover) -> Mask:
    """Return the largest set P of allowed cells whose successors all meet P.

    Args:
        allowed: cells (p, q) over which no violation is proven.
        cover: the cells that cover the successors of all p q cells.

    Returns:
        P (p, q).  From every state in any other cell a constraint is violated in finitely many steps: its successor
        violates one, or lies in a cell that was removed before.
    """
    inside = allowed.copy()
    while True:
        rows = np.flatnonzero(inside)
        lost = rows[cover.select(rows).avoids(inside)]
        if lost.size == 0:
            return inside
        inside.ravel()[lost] = False


def least_arrival(admissible: Mask, cover: Cover, absorbed: Mask) -> Mask:
    """Return the smallest set R of admissible cells that contains the absorbed cells and all cells that map into R.

    Args:
        admissible: cells (p, q) over which all constraints are proven to hold.
        cover: the cells that cover the successors of all p q cells.
        absorbed: cells (p, q) whose successors are proven to lie in the terminal set.

    Returns:
        R (p, q), from which the terminal set is reached in finitely many steps; the constraints hold until then.
    """
    arrived = admissible & absorbed
    while True:
        rows = np.flatnonzero(admissible & ~arrived)
        new = rows[cover.select(rows).within(arrived)]
        if new.size == 0:
            return arrived
        arrived.ravel()[new] = True
