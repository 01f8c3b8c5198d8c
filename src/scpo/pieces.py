"""The linear pieces of constraints with kinks, which past updates have shown: further limits of a step.

Where a constraint is a maximum or a norm, the probes show the piece at theta alone.  A step along the limit of this
piece runs into another one, and the policy stands still far from an optimum.  So planes of earlier iterates are kept,

    g_i(theta') >= g_i(theta_j) + gradient_j^T (theta' - theta_j)   where g_i is convex,

and the bound of a step must hold for each of them.  They make the region of a step smaller, never larger: planes that
are wrong cost progress and never safety (docs/method.md, section 7).  A plane that lies above a value of g is dropped,
and so are all planes of a constraint that a step has shown not to be convex.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.errors import ConfigurationError

#: planes are found where L lets a slope turn by the share TURN of itself in a step, and by SHARP times itself within
#: the length of theta, a curvature as of a kink; they are kept as long as the second holds
TURN, SHARP = 0.01, 20.0
#: a constraint whose slope has fallen by more than this share of itself within a step, on average, is not convex
CONCAVE = 0.5 * TURN
#: a plane touches g at theta if it does so within so many lengths of a probe
BESIDE = 2.0
#: after a step of at most this share of the nominal one the planes are dropped: they may hold it back
STILL = 1e-9
#: slopes that differ by no more than this share are those of one piece
SAME = 0.01
#: a plane lies above a value of g if it does so by this share of its own terms, which rounding does not reach
ABOVE = 1e-9


@dataclass(frozen=True)
class Pieces:
    """Planes below constraints, the latest last.

    Attributes:
        indices: which constraints they belong to (m,).
        gradients: their gradients (m, d).
        offsets: their values (m,) at theta = 0.
        concave: the constraints that are not convex, as a step has shown; they get no planes.
    """

    indices: np.ndarray
    gradients: Tensor
    offsets: Array
    concave: np.ndarray

    @property
    def known(self) -> bool:
        """False if there are no planes, and no constraint is known not to be convex."""
        return bool(self.indices.size or self.concave.size)

    @classmethod
    def none(cls, theta: Tensor) -> Pieces:
        """Return no planes at all, for parameters like theta (d,)."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, theta.new_zeros(0, theta.numel()), np.empty(0), nothing)

    def at(self, theta: Tensor) -> Array:
        """Return the values (m,) of the planes at theta (d,)."""
        return np.asarray(self.offsets + (self.gradients @ theta).cpu().numpy())

    def some(self, chosen: np.ndarray) -> Pieces:
        """Return the planes that ``chosen`` (m,) marks or names."""
        rows = torch.from_numpy(chosen).to(self.gradients.device)
        return replace(self, indices=self.indices[chosen], gradients=self.gradients[rows], offsets=self.offsets[chosen])

    def standing(self, theta: Tensor, values: Array) -> Pieces:
        """Return the planes that do not lie above g (k,) at theta (d,)."""
        terms = np.abs(self.offsets) + (vector_norm(self.gradients, dim=1) * vector_norm(theta)).cpu().numpy()
        return self.marked(self.at(theta) <= values[self.indices] + ABOVE * terms)

    def marked(self, chosen: np.ndarray) -> Pieces:
        """Return the planes that ``chosen`` (m,) marks."""
        return self if chosen.all() else self.some(chosen)

    def without(self, concave: np.ndarray) -> Pieces:
        """Return the planes of the other constraints, now that some of all (k,) are known not to be convex."""
        if not concave.any():
            return self
        every = np.union1d(self.concave, np.flatnonzero(concave))
        return replace(self, concave=every).marked(~np.isin(self.indices, every))

    def explain(self, theta: Tensor, values: Array, reach: float, end: Tensor, rise: Array) -> np.ndarray:
        """Return for which constraints (k,) a plane allows the rise, though the slopes that the probes show do not.

        A probe may end beyond a kink beside theta.  Its slope then belongs to the piece there.

        Args:
            theta: where the step began (d,).
            values: g (k,) there.
            reach: how far from theta a plane may touch g.
            end: where the step ended (d,).
            rise: g (k,) there, less g at theta.
        """
        step, sizes = end - theta, vector_norm(self.gradients, dim=1).cpu().numpy()
        touching = self.below(theta, values) <= reach * sizes
        lower = (self.gradients @ step).cpu().numpy() - CONCAVE * sizes * float(vector_norm(step))
        allowed = lower <= rise[self.indices]
        return np.isin(np.arange(values.size), self.indices[touching & allowed])

    def nearest(self, index: int, slope: Array, vectors: Tensor) -> tuple[int, float] | None:
        """Return which plane of a constraint has the slope nearest to ``slope`` (n,) along Q (d, n), and how near."""
        own = np.flatnonzero(self.indices == index)
        if own.size == 0:
            return None
        along = (self.gradients[torch.from_numpy(own).to(vectors.device)] @ vectors).cpu().numpy()
        far = np.linalg.norm(along - slope, axis=1)
        latest = far.size - 1 - int(np.argmin(far[::-1]))
        return int(own[latest]), float(far[latest])

    def below(self, theta: Tensor, values: Array) -> Array:
        """Return how far (m,) the planes lie below g (k,) at theta (d,), at least 0."""
        return np.asarray(np.maximum(values[self.indices] - self.at(theta), 0.0))

    def rows(self, theta: Tensor, vectors: Tensor, values: Array, slopes: Array) -> Rows | None:
        """Return the rows of the planes along Q (d, n); None if all are like the slopes (k, n) that the probes showed.

        Args:
            theta: where the step begins (d,).
            vectors: Q (d, n).
            values: g (k,) there.
            slopes: the slopes (k, n).
        """
        along, present = (self.gradients @ vectors).cpu().numpy(), slopes[self.indices]
        others = np.linalg.norm(along - present, axis=1) > SAME * np.linalg.norm(present, axis=1)
        if not others.any():
            return None
        return Rows(self.indices[others], along[others], self.below(theta, values)[others])

    def extended(self, found: Iterable[tuple[int, Tensor, float, int | None]], most: int) -> Pieces:
        """Return the ``most`` latest planes after more were found.

        Args:
            found: the index, the gradient (d,), the offset, and which plane it replaces, of each of them.
            most: so many are kept.
        """
        new = list(found)
        kept = self.some(np.setdiff1d(np.arange(self.indices.size), [old for *_, old in new if old is not None]))
        indices = np.append(kept.indices, [index for index, *_ in new]).astype(np.int64)
        gradients = torch.cat([kept.gradients, *(gradient[None] for _, gradient, *_ in new)])
        offsets = np.append(kept.offsets, [offset for _, _, offset, _ in new])
        return Pieces(indices[-most:], gradients[-most:], offsets[-most:], self.concave)

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all entries as tensors."""
        numbers = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("indices", "offsets", "concave")}
        return numbers | {"gradients": self.gradients.clone()}

    @classmethod
    def of_state(cls, state: dict[str, Any], device: torch.device) -> Pieces:
        """Return the planes that a :meth:`state_dict` holds.

        Raises:
            ConfigurationError: it has another number of offsets than of planes.
        """
        indices, offsets, concave = (state[name].cpu().numpy().copy() for name in ("indices", "offsets", "concave"))
        if indices.shape != offsets.shape:
            raise ConfigurationError(f"state: {offsets.size} offsets of {indices.size} planes")
        return cls(indices, state["gradients"].clone().to(device), offsets, concave)


@dataclass(frozen=True)
class Rows:
    """Planes in the coordinates of a step.

    Attributes:
        indices: which constraints they belong to (m,).
        slopes: Q^T gradient (m, n).
        below: how far they lie below g at theta (m,).
    """

    indices: np.ndarray
    slopes: Array
    below: Array
