"""The gradients that past probes have shown, and the projected step that can be foreseen from them.

An update probes n directions.  More than n constraints may hold the step back.  In a random basis each direction then
meets one of them, and the policy stands still far from an optimum.  So the gradients of the
constraints nearest to their limits are kept from update to update, and corrected along the directions that are probed
anew (a secant update, as in Broyden's method).  The nominal step, projected onto the half-spaces of these gradients,
becomes one direction of the next basis.  This one direction takes all these gradients into account.

A memory that is wrong costs progress and never safety: the region is built on what the new probes show
(docs/method.md, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.errors import ConfigurationError
from scpo.pieces import Pieces

#: so many numbers (half a MB) are kept at most, unless as many gradients as are recycled need more
NUMBERS = 2**16
#: and so many gradients times d: at most d constraints hold a step in a corner
CORNER = 2
#: gradients are carried over in parts of so many numbers (16 MB)
PART = 2**21
#: least eigenvalue of the Gram matrix of unit gradients that counts, over its largest
RANK_TOLERANCE = 1e-9
#: DAQP's tolerance for the rows, in units of the nominal step
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Memory:
    """Remembered gradients, of the constraint nearest to its limit first.

    Attributes:
        indices: which constraints they belong to (m,).
        gradients: the gradients (m, d), as far as probes have shown them.
        pieces: planes of constraints with kinks, or None.
    """

    indices: np.ndarray
    gradients: Tensor
    pieces: Pieces | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all entries as tensors."""
        state = {"indices": torch.from_numpy(self.indices.copy()), "gradients": self.gradients.clone()}
        return state if self.pieces is None else state | {"pieces": self.pieces.state_dict()}

    @classmethod
    def of_state(cls, state: dict[str, Any], values: int, theta: Tensor) -> Memory:
        """Return the memory that a :meth:`state_dict` holds; ``values`` is the number k of constraint values.

        Raises:
            ConfigurationError: the state belongs to other constraints or parameters.
        """
        pieces = state.get("pieces")
        for part in (state,) if pieces is None else (state, pieces):
            indices, gradients = part["indices"].cpu().numpy(), part["gradients"]
            named = np.append(indices, part["concave"].cpu().numpy()) if "concave" in part else indices
            known = bool(((named >= 0) & (named < values)).all())
            if tuple(gradients.shape) != (indices.size, theta.numel()) or not known:
                raise ConfigurationError(
                    f"state: gradients {tuple(gradients.shape)} of constraint values {named.tolist()}; here are "
                    f"{theta.numel()} parameters and {values} constraint values"
                )
        kept = None if pieces is None else Pieces.of_state(pieces, theta.device)
        return cls(state["indices"].cpu().numpy().copy(), state["gradients"].clone().to(theta.device), kept)

    @classmethod
    def nothing(cls, theta: Tensor) -> Memory:
        """Return a memory without gradients, for parameters like theta (d,)."""
        return cls(np.empty(0, dtype=np.int64), theta.new_zeros(0, theta.numel()))

    @property
    def planes(self) -> Pieces | None:
        """The planes of constraints with kinks; None if there are none."""
        return self.pieces if self.pieces is not None and self.pieces.indices.size else None

    def standing(self, theta: Tensor, values: Array) -> Memory:
        """Return the memory without the planes that lie above g (k,) at theta (d,)."""
        return self if self.pieces is None else replace(self, pieces=self.pieces.standing(theta, values))

    def with_pieces(self, theta: Tensor, values: Array, slack: Array) -> tuple[Memory, Array]:
        """Return the memory with planes as gradients of further constraints, and the slack of all: first (k,)."""
        planes = self.planes
        if planes is None:
            return self, slack
        more = slack.size + np.arange(planes.indices.size)
        every = Memory(np.append(self.indices, more), torch.cat([self.gradients, planes.gradients]))
        return every, np.append(slack, slack[planes.indices] + planes.below(theta, values))

    def at_pieces(self, vectors: Tensor, slopes: Array) -> Memory:
        """Return the memory with the gradients of the planes that are nearer to the slopes (k, n) along Q."""
        planes = self.planes
        if planes is None:
            return self
        gradients, along = self.gradients.clone(), (self.gradients @ vectors).cpu().numpy()
        for index in np.unique(planes.indices):
            place, found = np.flatnonzero(self.indices == index), planes.nearest(index, slopes[index], vectors)
            if place.size and found and found[1] < np.linalg.norm(along[place[0]] - slopes[index]):
                gradients[place[0]] = planes.gradients[found[0]]
        return replace(self, gradients=gradients)


def renewed(
    memory: Memory | None,
    tightened: Array,
    slopes: Array,
    active: np.ndarray | None,
    vectors: Tensor,
    least: int,
) -> Memory:
    """Return the gradients of the constraints nearest to their limits, corrected by the last probes.

    Active constraints come first, then those with the least slack per slope.

    Args:
        memory: the gradients so far, or None.
        tightened: g + tightening (k,) where the probes were taken.
        slopes: the slopes (k, n) that they showed.
        active: True for the constraints (k,) that held the step back; None: not known.
        vectors: Q (d, n), the directions of the probes.
        least: the least number of gradients that are kept.
    """
    beyond = np.zeros(slopes.shape[0])  # |gradient|^2 outside the basis
    known, inside = np.empty(0, dtype=np.int64), slopes[:0]
    if memory is not None and memory.indices.size:
        known, inside = memory.indices, np.asarray((memory.gradients @ vectors).cpu().numpy())
        lengths = (vector_norm(memory.gradients, dim=1) ** 2).cpu().numpy()
        beyond[known] = np.maximum(lengths - (inside**2).sum(axis=1), 0.0)
    sizes = np.sqrt((slopes**2).sum(axis=1) + beyond)
    with np.errstate(over="ignore"):  # a flat constraint is infinitely far
        distance = -tightened / np.maximum(sizes, 1e-300)
    if active is not None:
        distance[active] = -np.inf
    dimension = vectors.shape[0]
    most = max(least, min(NUMBERS // dimension, CORNER * dimension))
    nearest = np.argsort(distance, kind="stable")[:most]
    places = np.full(slopes.shape[0], -1)
    places[known] = np.arange(known.size)
    old = places[nearest]
    along = slopes[nearest]
    along[old >= 0] -= inside[old[old >= 0]]  # of what is known, only the part along the basis changes
    gradients = torch.from_numpy(along).to(vectors) @ vectors.T
    if memory is not None and known.size:
        rows, kept = torch.from_numpy(np.flatnonzero(old >= 0)), torch.from_numpy(old[old >= 0])
        for some, those in zip(rows.split(height := max(1, PART // dimension)), kept.split(height), strict=True):
            gradients.index_add_(0, some.to(vectors.device), memory.gradients[those])
    return Memory(nearest, gradients)


def foreseen(memory: Memory, nominal: Tensor, slack: Array, metric: Tensor | None) -> Tensor | None:
    """Return the nominal step projected onto the half-spaces of the remembered gradients; None if it lies in them.

        argmin |v - p|   subject to   a_i^T v <= slack_i for each remembered a_i,

    in the norm of ``metric``.  Half-spaces that no step of length |p| can leave are left out.

    Args:
        memory: the gradients.
        nominal: p (d,).
        slack: how far each constraint (k,) may rise; a negative one counts as 0.
        metric: the diagonal of M^-1 (d,); None: Euclidean.
    """
    import daqp

    root = None if metric is None else metric.sqrt()
    step = nominal if root is None else root * nominal
    rows = memory.gradients if root is None else memory.gradients / root
    allowed, rise = np.maximum(slack[memory.indices], 0.0), (rows @ step).cpu().numpy()
    if (rise <= allowed).all():
        return None
    gram, length = (rows @ rows.T).cpu().numpy(), float(vector_norm(step))
    sizes = np.sqrt(gram.diagonal())
    near = sizes * length > allowed
    if not near.any():  # one rises by as much as it may, up to rounding
        return None
    scale = 1.0 / sizes[near]
    values, vectors = np.linalg.eigh(scale[:, None] * gram[np.ix_(near, near)] * scale)
    kept = values > RANK_TOLERANCE * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    target = (vectors.T @ (rise[near] * scale)) / (length * roots)  # of the step in an orthonormal basis of the rows
    found, _, flag, _ = daqp.solve(
        np.eye(target.size),
        -target,
        vectors * roots,
        allowed[near] * scale / length,
        np.full(scale.size, -1e30),
        np.zeros(scale.size, dtype=np.int32),
        primal_tol=TOLERANCE,
    )
    if flag != 1 or not np.isfinite(found).all():
        return None
    shift = np.zeros(sizes.size)
    shift[near] = length * scale * (vectors @ ((np.asarray(found) - target) / roots))
    step = step + rows.T @ torch.from_numpy(shift).to(rows)
    return step if root is None else step / root
