"""Grid of cells over the state box, and the two fixed points on it.

A cell is a closed box; neighbours share their faces, so the cells cover the state box.  A successor box is covered by
the cells of an index range; whether all of them belong to a set is one look-up in a summed-area table, and a sweep
over all cells costs O(cells).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scpo.certificate.intervals import Array, Interval
from scpo.errors import ConfigurationError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """Cells of a box in the plane, given by their edges.

    Args:
        edges: ascending float64 per axis; cell (i, j) is [edges[0][i], edges[0][i+1]] x [edges[1][j], edges[1][j+1]].
    """

    edges: tuple[Array, Array]

    @classmethod
    def over(cls, bound: Array, cells: int) -> Grid:
        """Return ``cells`` x ``cells`` cells over |x_i| <= bound_i, the outermost edges exactly on the bounds."""
        if cells < 2 or bound.shape != (2,):
            raise ConfigurationError(f"grid: needs two states and at least 2 cells, got {bound.shape} and {cells}")
        lines = [np.linspace(-size, size, cells + 1) for size in bound]
        return cls((lines[0], lines[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along each axis."""
        return len(self.edges[0]) - 1, len(self.edges[1]) - 1

    def boxes(self) -> Interval:
        """Return all cells as boxes (N, 2), the second axis running fastest."""
        low = np.meshgrid(self.edges[0][:-1], self.edges[1][:-1], indexing="ij")
        high = np.meshgrid(self.edges[0][1:], self.edges[1][1:], indexing="ij")
        return Interval(np.stack([x.ravel() for x in low], axis=-1), np.stack([x.ravel() for x in high], axis=-1))

    def cover(self, box: Interval) -> Cover:
        """Return the range of cells that covers each box (N, 2).

        The first cell's lower edge is the last edge <= lo, the last cell's upper edge the first edge >= hi: exact
        comparisons.  NaN sorts behind every edge, so that a box without bounds counts as outside.
        """
        first, last = np.empty(box.lo.shape, dtype=np.intp), np.empty(box.lo.shape, dtype=np.intp)
        for axis, edges in enumerate(self.edges):
            first[:, axis] = np.searchsorted(edges, box.lo[:, axis], side="right") - 1
            last[:, axis] = np.searchsorted(edges, box.hi[:, axis], side="left") - 1
        size = np.array(self.shape)
        inside: Mask = np.all((first >= 0) & (first < size) & (last >= 0) & (last < size), axis=1)
        last = np.maximum(first, last)
        return Cover(np.where(inside[:, None], first, 0), np.where(inside[:, None], last + 1, 1), inside)

    def area(self, mask: Mask) -> float:
        """Return the area of the cells in ``mask``, computed to rounding."""
        widths = [np.diff(edges) for edges in self.edges]
        return float(widths[0] @ mask @ widths[1])


@dataclass(frozen=True)
class Cover:
    """Index ranges [first, end) of cells (N, 2); ``inside`` is false where a box leaves the grid."""

    first: NDArray[np.intp]
    end: NDArray[np.intp]
    inside: Mask

    def within(self, mask: Mask) -> Mask:
        """Return for each box whether all cells that cover it are in ``mask``."""
        table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=np.int64)
        table[1:, 1:] = np.cumsum(np.cumsum(~mask, axis=0, dtype=np.int64), axis=1)
        (i0, j0), (i1, j1) = self.first.T, self.end.T
        missing = table[i1, j1] - table[i0, j1] - table[i1, j0] + table[i0, j0]
        complete: Mask = self.inside & (missing == 0)
        return complete

    def select(self, rows: NDArray[np.intp]) -> Cover:
        """Return the ranges of the boxes ``rows``."""
        return Cover(self.first[rows], self.end[rows], self.inside[rows])


def greatest_invariant(admissible: Mask, cover: Cover, absorbed: Mask) -> Mask:
    """Return the largest set S of admissible cells whose successors all lie in S or in an absorbing safe set.

    Args:
        admissible: cells (p, q) over which all constraints are proven to hold.
        cover: of the successors of all p q cells.
        absorbed: (p, q), cells whose successors are proven to lie in the absorbing safe set.

    Returns:
        S (p, q): from S the constraints hold for all time (greatest fixed point, by removal).
    """
    inside = admissible.copy()
    while True:
        rows = np.flatnonzero(inside & ~absorbed)
        lost = rows[~cover.select(rows).within(inside)]
        if lost.size == 0:
            return inside
        inside.ravel()[lost] = False


def least_arrival(admissible: Mask, cover: Cover, absorbed: Mask) -> Mask:
    """Return the smallest set R of admissible cells with: absorbed cells are in R, and so are cells that map into R.

    Args:
        admissible: cells (p, q) over which all constraints are proven to hold.
        cover: of the successors of all p q cells.
        absorbed: (p, q), cells whose successors are proven to lie in the terminal set.

    Returns:
        R (p, q): from R the terminal set is reached in finitely many steps, and the constraints hold until then.
    """
    arrived = admissible & absorbed
    while True:
        rows = np.flatnonzero(admissible & ~arrived)
        new = rows[cover.select(rows).within(arrived)]
        if new.size == 0:
            return arrived
        arrived.ravel()[new] = True
