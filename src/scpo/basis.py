"""The orthonormal basis Q of an update: the nominal step, the foreseen one, recycled gradients, fresh directions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ScpoError, ShapeError
from scpo.memory import foreseen
from scpo.sampling import Directions, Sample
from scpo.state import Method, Start

#: squared length that must be left of a unit vector beyond the basis: 3e-5, where rounding is still a millionth
RANK_TOLERANCE = 1e-9
#: squared length left from which one pass is enough for up to CLEAR_OF directions, or as many alike
CLEAR, CLEAR_OF = 1e-2, 32
#: largest error of Q^T Q; the bounds on a step allow for lengths in theta that exceed those in z by as much
ORTHONORMAL = 1e-12
#: shorter directions are dropped: their squares would underflow
SHORTEST = 1e-140
#: fewest directions: the nominal step, the foreseen one, a recycled gradient and a fresh direction
FEWEST = 4
#: products of more numbers than these (16 MB) are formed in parts
PART = 2**21
#: share of the directions that must be missing before others are orthogonalised in a second pass
WORTH_A_PASS = 0.25


@dataclass(frozen=True)
class Basis:
    """Directions of one update.

    Attributes:
        vectors: Q (d, n), orthonormal columns; the nominal step is in their span unless its probe diverged.
        energy: share of fresh policy derivatives in the span of Q; NaN if unknown.
        complete: the span holds everything that the source could draw, or all of R^d.
        holds_nominal: the nominal step is in the span.
    """

    vectors: Tensor
    energy: float
    complete: bool
    holds_nominal: bool = True

    @property
    def size(self) -> int:
        """The number n of directions."""
        return self.vectors.shape[1]

    @property
    def whole(self) -> bool:
        """True if Q spans R^d."""
        return self.size == self.vectors.shape[0]

    def without(self, columns: np.ndarray) -> Basis:
        """Return the basis without some of its ``columns`` (n,), a mask.  The nominal step may be among them."""
        return Basis(
            self.vectors[:, torch.from_numpy(~columns).to(self.vectors.device)],
            float("nan"),
            False,
            holds_nominal=False,
        )

    def in_coordinates(self, diagonal: Tensor) -> Array:
        """Return Q^T diag Q (n, n) for a positive ``diagonal`` (d,)."""
        rows = self.vectors.T * diagonal.sqrt()
        return _on_cpu(product(rows, rows.T))

    def coordinates(self, vector: Tensor) -> Array:
        """Return Q^T ``vector`` (n,)."""
        return np.asarray((self.vectors.T @ vector).cpu().numpy())

    def combine(self, coordinates: Array) -> Tensor:
        """Return Q ``coordinates`` (d,)."""
        return self.vectors @ torch.from_numpy(coordinates).to(self.vectors)


def draw_basis(start: Start, method: Method) -> Basis:
    """Return the basis of an update.

    The directions come in this order: the nominal step; the loss gradient, if a descent row or a metric needs it; the
    step that is foreseen from the remembered gradients; recycled gradients; fresh directions.
    """
    count = min(start.count or method.directions.count, method.directions.count, start.dimension)
    leading = [start.nominal]
    if count > 1 and (start.metric is not None or method.may_rise(start)):
        leading.append(start.gradient)
    if count > len(leading) + 1 and (step := foreseen_step(start, method)) is not None:
        leading.append(step)
    vectors = orthonormal_basis(torch.stack(leading, dim=1))
    places = count - vectors.shape[1]
    if places <= 0:
        return Basis(vectors, float("nan"), vectors.shape[1] == start.dimension)
    recycled = start.theta.new_zeros(start.dimension, 0)
    if start.memory is not None:  # at least one direction is fresh
        recycled = start.memory.gradients[: min(method.directions.recycled, places - 1)].T
    fresh = _fresh(start, method, places - recycled.shape[1])
    vectors = extend_basis(vectors, recycled, fresh.vectors)
    if fresh.exact:
        return Basis(vectors, 1.0, True)
    if recycled.shape[1] and vectors.shape[1] < (1.0 - WORTH_A_PASS) * count:  # too many depended on others
        vectors = extend_basis(vectors, _fresh(start, method, count - vectors.shape[1]).vectors)
    energy = float("nan") if fresh.checks is None else captured_energy(vectors, fresh.checks.to(start.theta))
    return Basis(vectors, energy, vectors.shape[1] == start.dimension)


def foreseen_step(start: Start, method: Method) -> Tensor | None:
    """Return the nominal step projected onto the remembered half-spaces up to the buffer; None if it lies in them."""
    if start.memory is None or start.unsafe:
        return None
    slack = -(start.values + method.tightening_at(start) + method.step.buffer)
    memory, slack = start.memory.with_pieces(start.theta, start.values, slack)
    return foreseen(memory, start.nominal, method.step.kappa * slack, start.metric)


def next_count(basis: Basis, directions: Directions) -> int:
    """Return how many directions the next update uses: about the fewest that hold the energy asked for.

    The number falls by one if the last basis held enough, and rises by a quarter if it did not.  If the energy is not
    known, the number is N.  The choice of directions decides how far a step can go, not whether the bound holds.
    """
    most = directions.count
    if directions.energy == 1.0 or basis.complete or np.isnan(basis.energy):
        return most
    if basis.energy < directions.energy:
        return min(most, basis.size + 1 + basis.size // 4)
    return min(most, max(basis.size - 1, FEWEST))


def _fresh(start: Start, method: Method, count: int) -> Sample:
    """Return at most ``count`` directions of the source, after checking them."""
    source, name = method.directions, type(method.directions).__name__
    try:
        sample = source.draw(method.context, count, method.generator)
    except ScpoError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{name} cannot draw directions, {type(error).__name__}: {error}; the states must suit the policy, and its "
            "derivatives must exist (directions=scpo.Isotropic() needs neither)"
        ) from error
    if not isinstance(sample, Sample):
        raise ConfigurationError(f"{name}.draw returned {type(sample).__name__}, expected scpo.sampling.Sample")
    vectors = sample.vectors.to(start.theta)
    if vectors.ndim != 2 or vectors.shape[0] != start.dimension or vectors.shape[1] > count:
        raise ShapeError(
            f"{name} drew directions of shape {tuple(vectors.shape)}, expected ({start.dimension}, m) with m <= {count}"
        )
    if not np.isfinite(float(vector_norm(vectors))):
        raise NonFiniteError(f"{name} drew directions with NaN or infinite entries, or too long to be squared")
    return replace(sample, vectors=vectors)


def orthonormal_basis(leading: Tensor, *blocks: Tensor) -> Tensor:
    """Return Q (d, n) with orthonormal columns: first the span of ``leading``, then the spans of the ``blocks``.

    Args:
        leading: (d, l) directions that must lie in the span, in order; zero or dependent ones add nothing.
        blocks: (d, m) each, further directions, see :func:`extend_basis`.
    """
    rows: list[Tensor] = []  # (1, d) each
    for direction in leading.T:
        size = left = float(vector_norm(direction))
        for row in rows * 2:  # twice is enough
            direction = direction - (row[0] @ direction) * row[0]
            left = float(vector_norm(direction))
        if left > 1e-8 * size:
            rows.append((direction / left)[None])
    basis = (torch.cat(rows) if rows else leading.T[:0]).T
    return extend_basis(basis, *blocks)


def extend_basis(basis: Tensor, *blocks: Tensor) -> Tensor:
    """Return Q (d, n + m') that begins with ``basis`` (d, n) and spans the directions of ``blocks`` (d, m) as well.

    A direction that depends on the others, up to RANK_TOLERANCE of its squared length, is dropped.  That only makes
    the subspace of the step smaller.  Everything is a product of the directions or of their Gram matrix, because
    Householder's QR is slow here.  After one pass, the error of a direction is the roundoff divided by the share of its
    length that the others left.  A second pass corrects the directions of which little was left.

    Raises:
        NonFiniteError: the directions are too long to be squared.
    """
    leading = basis.shape[1]
    if leading == basis.shape[0] or not any(block.shape[1] for block in blocks):
        return basis
    rows = torch.cat([basis.T, *(block.T for block in blocks)])  # contiguous, which the products below need
    with np.errstate(over="ignore", invalid="ignore"):
        gram = _on_cpu(product(rows, rows.T))
        shares = gram[leading:, :leading]
        sizes = np.sqrt(gram.diagonal()[leading:])
        units = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > SHORTEST)
        beyond = units[:, None] * (gram[leading:, leading:] - shares @ shares.T) * units
    if not np.isfinite(beyond).all():
        raise NonFiniteError("directions too long to be squared cannot be orthogonalised; scale what you draw")
    values, vectors = np.linalg.eigh(beyond)
    values, vectors = values[::-1], vectors[:, ::-1]
    limits = RANK_TOLERANCE, CLEAR * max(1.0, values[0] / CLEAR_OF)
    rank, clear = (int((values > limit).sum()) for limit in limits)
    if rank == 0:
        return basis
    new = (vectors[:, :rank] / np.sqrt(values[:rank])).T * units  # of the blocks, less their part along the basis
    combined = np.eye(leading + rank, rows.shape[0])
    combined[leading:] = np.hstack([-new @ shares, new])
    rows = _combined(combined, rows)
    if clear < rank:
        _orthogonalise_again(rows, leading + clear)
    return rows.T


def _combined(coefficients: Array, rows: Tensor) -> Tensor:
    """Return ``coefficients`` (n, m) @ ``rows`` (m, d) for n <= m.  Long rows are overwritten, to save memory."""
    left, count = torch.from_numpy(coefficients).to(rows), coefficients.shape[0]
    width = max(1, PART // rows.shape[0])
    if rows.shape[1] <= width:
        return product(left, rows)
    for part in rows.split(width, dim=1):
        part[:count] = product(left, part)
    return rows[:count]


def _orthogonalise_again(rows: Tensor, first: int) -> None:
    """Make the ``rows`` (n, d) from the row ``first`` on orthonormal to all others, in place, in a second pass."""
    weak = rows[first:]
    gram = _on_cpu(product(weak, rows.T))
    shares, count = gram[:, :first], weak.shape[0]
    inverse = np.linalg.inv(np.linalg.cholesky(gram[:, -count:] - shares @ shares.T))
    again = inverse @ np.hstack([-shares, np.eye(count)])
    left = torch.from_numpy(again).to(rows)
    for part in rows.split(max(1, PART // rows.shape[0]), dim=1):
        part[first:] = product(left, part)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left`` @ ``right``; NumPy computes a Gram matrix on a CPU with half of the work."""
    if left.device.type != "cpu":
        return left @ right
    return torch.from_numpy(left.numpy(force=True) @ right.numpy(force=True))


def _on_cpu(matrix: Tensor) -> Array:
    """Return a small matrix as a NumPy array."""
    return np.asarray(matrix.numpy(force=True))


def captured_energy(basis: Tensor, checks: Tensor) -> float:
    """Return the share of the squared length of ``checks`` (d, c) that lies in the span of ``basis`` (d, n)."""
    total = float(vector_norm(checks)) ** 2
    return float(vector_norm(product(basis.T, checks))) ** 2 / total if total > 0 else 1.0
