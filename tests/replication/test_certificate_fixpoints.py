"""The grid and both fixed points against plain loops over sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.certificate.fixpoints import Grid, greatest_invariant, least_arrival, possibly_safe
from replication.certificate.intervals import Interval
from scpo.errors import ConfigurationError

GRID = Grid.over(np.array([1.0, 2.0]), 6)
EDGE = st.sampled_from([float(x) for x in np.concatenate([GRID.edges[0], GRID.edges[1]])])
NUMBER = st.one_of(EDGE, st.floats(-2.5, 2.5))


def meets(box: Interval, row: int) -> set[tuple[int, int]] | None:
    """Return the cells that share inner points with the box, or None if it leaves the grid."""
    found = []
    for axis, edges in enumerate(GRID.edges):
        low, high = box.lo[row, axis], box.hi[row, axis]
        if low < edges[0] or high > edges[-1]:
            return None
        found.append([i for i in range(6) if edges[i] < high and edges[i + 1] > low])
    return {(i, j) for i in found[0] for j in found[1]}


@st.composite
def box(draw: st.DrawFn) -> Interval:
    corners = [sorted((draw(NUMBER), draw(NUMBER))) for _ in range(2)]
    return Interval(np.array([[c[0] for c in corners]]), np.array([[c[1] for c in corners]]))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(target=box(), seed=st.integers(0, 2**16))
def test_cover_needs_every_cell_that_the_box_meets(target: Interval, seed: int) -> None:
    mask = np.random.default_rng(seed).random((6, 6)) < 0.8
    cover = GRID.cover(target)
    cells = meets(target, 0)
    if cells is None:
        assert not cover.within(np.ones((6, 6), dtype=bool))[0]
        return
    if cover.within(mask)[0]:
        assert all(mask[cell] for cell in cells)
        for axis, edges in enumerate(GRID.edges):  # and the range does contain the box
            assert edges[cover.first[0, axis]] <= target.lo[0, axis]
            assert edges[cover.end[0, axis]] >= target.hi[0, axis]
    elif (target.lo < target.hi).all():
        assert not all(mask[cell] for cell in cells)


def test_a_box_without_bounds_is_outside() -> None:
    low = np.array([[np.nan, 0.0], [0.0, 0.0], [-np.inf, 0.0], [0.0, 0.0]])
    high = np.array([[0.1, 0.1], [0.1, np.nan], [0.1, 0.1], [np.inf, 0.1]])
    assert not GRID.cover(Interval(low, high)).within(np.ones((6, 6), dtype=bool)).any()


def test_cells_tile_the_box_exactly() -> None:
    for cells in (7, 100, 300):
        grid = Grid.over(np.array([5.0, 0.3]), cells)
        assert grid.edges[0][0] == -5.0
        assert grid.edges[1][-1] == 0.3
        boxes = grid.boxes()
        assert boxes.lo.shape == (cells * cells, 2)
        assert (boxes.lo < boxes.hi).all()
        assert grid.area(np.ones(grid.shape, dtype=bool)) == pytest.approx(6.0, rel=1e-12)
        own = grid.cover(boxes)
        assert own.inside.all()
        assert (own.end - own.first == 1).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([0.1, 0.5, 1.0]))
def test_fixed_points_match_plain_iteration(seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-1.0, 1.0, (36, 2)) * np.array([1.0, 2.0])
    half = reach * rng.uniform(0, 1, (36, 2))
    successor = Interval(middle - half, middle + half)
    admissible, absorbed = rng.random((6, 6)) < 0.9, rng.random((6, 6)) < 0.15
    cover = GRID.cover(successor)
    cells = [(i, j) for i in range(6) for j in range(6)]
    images = dict(zip(cells, (meets(successor, row) for row in range(36)), strict=True))

    def maps_into(cell: tuple[int, int], target: set[tuple[int, int]]) -> bool:
        image = images[cell]
        return bool(absorbed[cell]) or (image is not None and image <= target)

    invariant = {cell for cell in cells if admissible[cell]}
    while (smaller := {cell for cell in invariant if maps_into(cell, invariant)}) != invariant:
        invariant = smaller
    arrived: set[tuple[int, int]] = set()
    while (larger := {cell for cell in cells if admissible[cell] and maps_into(cell, arrived)}) != arrived:
        arrived = larger
    found_invariant = greatest_invariant(admissible, cover, absorbed)
    found_arrived = least_arrival(admissible, cover, absorbed)
    assert {cell for cell in cells if found_invariant[cell]} == invariant
    assert {cell for cell in cells if found_arrived[cell]} == arrived
    assert not (found_arrived & ~found_invariant).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([0.1, 0.5, 1.0]))
def test_cells_are_refuted_if_every_state_is_doomed(seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-1.5, 1.5, (36, 2)) * np.array([1.0, 2.0])
    half = reach * rng.uniform(0, 1, (36, 2))
    successor = Interval(middle - half, middle + half)
    allowed = rng.random((6, 6)) < 0.9
    possible = possibly_safe(allowed, GRID.cover(successor))
    assert not (possible & ~allowed).any()
    grid_box = Interval(np.array([[-1.0, -2.0]]), np.array([[1.0, 2.0]]))
    for row, cell in enumerate((i, j) for i in range(6) for j in range(6)):
        lo, hi = np.maximum(successor.lo[row], grid_box.lo[0]), np.minimum(successor.hi[row], grid_box.hi[0])
        image = meets(Interval(lo[None], hi[None]), 0) if (lo <= hi).all() else set()
        assert image is not None
        if possible[cell]:  # some successor may still be safe
            assert any(possible[other] for other in image)
        elif allowed[cell]:  # no successor can be
            assert not any(possible[other] for other in image)


def test_a_box_without_bounds_refutes_nothing() -> None:
    nan = np.full((36, 2), np.nan)
    everything = np.ones((6, 6), dtype=bool)
    assert possibly_safe(everything, GRID.cover(Interval(nan, nan))).all()
    far = Interval(np.full((36, 2), 9.0), np.full((36, 2), 9.5))
    assert not possibly_safe(everything, GRID.cover(far)).any()


def test_a_cycle_is_invariant_but_never_arrives() -> None:
    swap = GRID.boxes()
    successor = Interval(-swap.hi, -swap.lo)  # x+ = -x: safe for ever, converges nowhere
    everything, nothing = np.ones((6, 6), dtype=bool), np.zeros((6, 6), dtype=bool)
    cover = GRID.cover(successor)
    assert greatest_invariant(everything, cover, nothing).all()
    assert not least_arrival(everything, cover, nothing).any()


def test_unusable_grids_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="grid"):
        Grid.over(np.ones(2), 1)
    with pytest.raises(ConfigurationError, match="grid"):
        Grid.over(np.ones(3), 10)
