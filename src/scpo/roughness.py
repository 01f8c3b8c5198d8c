"""Measures how rough g is at the scale of the probes, if there are signs that it is coarser than float64.

A value in float32, or one that a simulator prints with a few decimals, changes in jumps.  A perturbation of theta by
one unit roundoff shows little or nothing of them.  So g is evaluated at equal distances along a random direction.
Third differences remove the smooth part; the rest is the rounding (Moré and Wild, Estimating computational noise,
SIAM J. Sci. Comput. 33, 2011).  The distance grows until values move.  The rounding is at least the width of the grid
that the values lie on: stairs whose steps happen to be even have no third differences.  Where they lie on no grid
there is none: what third differences show then is a kink of a function in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.constraint import ConstraintEvaluator
from scpo.smoothness import safe_length
from scpo.state import Method, Start

#: points at equal distances at which g is evaluated, and the order of the differences
POINTS, ORDER = 8, 3
#: rounding over the root mean square of those differences, each divided by that of independent errors of size 1
ROUGHNESS_FACTOR = 6.0
#: the distance grows by this factor, at most so many times, until at least half of the values differ from the last one
WIDENING, MOST_WIDENINGS = 8.0, 6
#: more than so many widths of the grid are no rounding but a kink: a float32 parameter has that many digits
MOST_STEPS = 2.0**24
#: where probes must be safe, the points lie this many unit roundoffs of theta or p apart, or less
SHORT = 8.0

#: a value is on a grid if it is a multiple of this share of its size, binary or decimal
FINEST = {2: 2.0**-32, 10: 1e-10}
#: to within this share of the grid
ON_GRID = 2.0**-16
#: probes of which the basis has rounding errors are taken to lie on a grid to within this share of it
NEAR_GRID = 2.0**-8
#: smaller differences, over the size of the value, show no grid
SHOWN = 2.0**-34
#: the size of a value of 0
TINY = float(np.finfo(np.float64).tiny)
#: so many different values must be on a grid
FEWEST = 2


@dataclass(frozen=True)
class Roughness:
    """What the points along a line have shown.

    Attributes:
        level: the rounding (k,); 0 where no value changed.
        moved: some value changed.
        unsafe: the number of unsafe points.
    """

    level: Array
    moved: bool
    unsafe: int


def grid_width(values: Array, base: Array, within: float = ON_GRID) -> Array:
    """Return for each column of ``values`` (n, k) the width of the grid that its differences from ``base`` lie on.

    It is 0 where there is no grid, or no difference that shows one.  Float32 numbers and numbers of a few decimals are
    on a grid, also after a constant is subtracted from all of them.

    Args:
        values: some numbers.
        base: (k,) or (n, k).
        within: differences may miss the grid by this share of its width.
    """
    differences, shown, largest = _seen(values, base)
    widest, found = 1.5 * differences.max(axis=0, initial=0.0), np.zeros_like(largest)
    for root in FINEST:
        width, on = _finest(root, largest), shown.any(axis=0)
        while on.any():
            on &= _multiples(differences, shown, width, within).all(axis=0)
            found = np.where(on, np.maximum(found, width), found)
            width = width * root
            on &= width <= widest  # wider than all differences it would show nothing
    return np.asarray(found)


def _seen(values: Array, base: Array) -> tuple[Array, np.ndarray, Array]:
    """Return the differences (n, k), which of them show a grid if there is one, and the sizes (k,) of the values."""
    size, differences = np.maximum(np.abs(values), np.abs(base)), np.abs(values - base)
    return differences, differences > SHOWN * size, np.maximum(size.max(axis=0, initial=0.0), TINY)


def _finest(root: int, size: Array) -> Array:
    """Return the width of the finest grid that numbers of this ``size`` (k,) can show."""
    return np.asarray(FINEST[root] * float(root) ** np.ceil(np.log(size) / math.log(root)))


def _multiples(differences: Array, shown: np.ndarray, width: Array, within: float) -> np.ndarray:
    """Return which differences are multiples of ``width``; those that are not ``shown`` count as such."""
    multiples = differences / width
    return np.asarray((np.abs(multiples - np.rint(multiples)) <= within) | ~shown)


def on_a_grid(values: Array, base: Array, least: int = 0, within: float = ON_GRID) -> np.ndarray:
    """Return for each column of ``values`` (n, k) whether its differences from ``base`` are on a grid.

    At least ``least`` differences must not be 0 (by default FEWEST, or 1 for a single column).
    """
    differences, shown, largest = _seen(values, base)
    enough = shown.sum(axis=0) >= (least or min(FEWEST, values.shape[1]))
    found = np.zeros_like(enough)
    for root in FINEST:
        width = _finest(root, largest)
        on = enough & _multiples(differences[:1], shown[:1], width, within).all(axis=0)  # mostly none
        if on.any():
            on &= _multiples(differences, shown, width, within).all(axis=0)
        found |= on
    return np.asarray(found)


def measure(
    start: Start, distance: float, longest: float, evaluate: ConstraintEvaluator, generator: torch.Generator
) -> Roughness:
    """Return the roughness of g along a random direction at theta.

    Args:
        start: theta, and g there.
        distance: the distance between the first points.
        longest: the largest distance of a point from theta.
        evaluate: the evaluator of g.
        generator: the source of the random direction.
    """
    direction = torch.randn(start.dimension + 1, generator=generator, dtype=torch.float64)
    distance *= 0.5 + 0.5 * math.exp(-float(direction[-1].abs()))  # no multiple of a grid, by chance or by design
    along = (direction[:-1] / vector_norm(direction[:-1])).to(start.theta.device)
    level, known, unsafe, moved = np.zeros_like(start.values), np.zeros(start.values.size, dtype=bool), 0, False
    places = torch.arange(1, POINTS + 1, dtype=torch.float64, device=along.device)[:, None]
    for _ in range(MOST_WIDENINGS + 1):
        values = evaluate.attempt(start.theta + distance * places * along)
        unsafe += int((values > 0).any(axis=1).sum())
        if not np.isfinite(values).all():
            break
        values = np.vstack([start.values, values])
        jumps = np.abs(np.diff(values, axis=0))
        seen = (jumps > 0).sum(axis=0) >= POINTS // 2
        moved = moved or bool(jumps.any())
        width = grid_width(values[1:], start.values)
        found = np.where(width > 0, np.clip(_level(values, jumps, seen), width, MOST_STEPS * width), 0.0)
        level = np.where(known, level, found)
        known |= seen
        distance *= WIDENING
        if known.all() or POINTS * distance > longest:
            break
    return Roughness(level, moved, unsafe)


def _level(values: Array, jumps: Array, seen: np.ndarray) -> Array:
    """Return the rounding (k,) that values at equal distances show; the largest jump, if few of the values change."""
    rest = np.diff(values, n=ORDER, axis=0)
    noise = np.sqrt((rest**2).mean(axis=0) / math.comb(2 * ORDER, ORDER))
    return np.asarray(np.where(seen, ROUGHNESS_FACTOR * noise, jumps.max(axis=0)))


def resolved(start: Start, method: Method, probe_length: float) -> tuple[Start, int]:
    """Return the start with the rounding at the scale of the probes, and the number of unsafe points.

    It is measured only if g is coarse: at once, and again whenever the number of updates has doubled, because numbers
    that were near 0 at first grow as theta moves.  The points span two probe lengths.
    """
    if not start.coarse or start.values.size == 0 or start.update < 2.0 * start.rough_at:
        return start, 0
    unit = start.scale or 1.0
    distance, longest = 2.0 * probe_length / POINTS, min(unit, method.smoothness.radius(), start.longest)
    if method.directions.safe_probes:
        distance, longest = SHORT * method.evaluate.roundoff * unit, 0.0
        if start.gradient_bound is not None and not start.unsafe:
            model, slack = method.smoothness, np.maximum(-start.values, 0.0)
            safe = safe_length(start.gradient_bound + model.kinks(), np.asarray(model.constants()), slack)
            distance = min(distance, safe / POINTS)
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())  # the method's own draws stay as they are
    found = measure(start, distance, longest, method.evaluate, generator)
    rounding = np.maximum(start.rounding, found.level)
    return replace(start, rounding=rounding, rough_at=start.update), found.unsafe
