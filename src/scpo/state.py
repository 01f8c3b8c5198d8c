"""The state that an update starts from, and the method that it applies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.constraint import ConstraintEvaluator
from scpo.memory import Memory
from scpo.options import Descent, Look, StepOptions
from scpo.sampling import Context, Directions
from scpo.smoothness import Smoothness

#: a nominal step p (in a metric M^-1 p) this parallel to -grad loss needs no descent row: its projection descends
PARALLEL = 1.0 - 1e-12


@dataclass(frozen=True)
class Refuge:
    """The last safe iterate, to which an update goes back from an unsafe one.

    After a rollout that diverged it is the iterate before, safe or not: an infinite g shows no way to go on.

    Attributes:
        theta: its parameters (d,).
        values: g (k,) there.
        gradient_bound: a bound (k,) on |grad g_i| there, or None if it is not known.
    """

    theta: Tensor
    values: Array
    gradient_bound: Array | None

    def state_dict(self) -> dict[str, Tensor | None]:
        """Return copies of all entries as tensors."""
        bound = self.gradient_bound
        return {
            "theta": self.theta.clone(),
            "values": torch.from_numpy(self.values.copy()),
            "gradient_bound": None if bound is None else torch.from_numpy(bound.copy()),
        }

    @classmethod
    def of_state(cls, state: dict[str, Any], device: torch.device) -> Refuge:
        """Return the iterate of a :meth:`state_dict`."""
        bound = state["gradient_bound"]
        return cls(
            state["theta"].clone().to(device),
            state["values"].cpu().numpy().copy(),
            None if bound is None else bound.cpu().numpy().copy(),
        )


@dataclass(frozen=True)
class Start:
    """The state at the start of an update.

    Attributes:
        update: the number of the update, from 1.
        theta: the parameters (d,).
        values: g (k,) at theta.
        nominal: the nominal step p (d,), which the wrapped optimiser proposes.
        gradient: the gradient of the batch loss (d,).
        rounding: the rounding eps_g (k,) of g.
        gradient_bound: a bound (k,) on |grad g_i| at theta, or None if it is not known.
        memory: gradients that the probes so far have shown, or None.
        count: the largest number of directions of this update; None: N.
        metric: the diagonal of M^-1 (d,), in whose norm the step is projected; None: Euclidean.
        refuge: the last safe iterate if theta is unsafe and the constraint is still the same, else None.
        raised: a lower bound (k,) on L that an unsafe step from here has shown, or None.
        longest: the longest step that is allowed, because a rollout diverged at twice this length.
        coarse: g is known to be coarser than float64, and its rounding is not given.
        rough_at: the update that measured the roughness of g (:mod:`scpo.roughness`); -infinity: none.
        probed: since the start or the last refresh, probes have changed a value, or covered a whole basis in vain.
    """

    update: int
    theta: Tensor
    values: Array
    nominal: Tensor
    gradient: Tensor
    rounding: Array
    gradient_bound: Array | None
    memory: Memory | None = None
    count: int | None = None
    metric: Tensor | None = None
    refuge: Refuge | None = None
    raised: Array | None = None
    longest: float = math.inf
    coarse: bool = False
    rough_at: float = -math.inf
    probed: bool = False

    @property
    def dimension(self) -> int:
        """The number d of parameters."""
        return self.theta.numel()

    @cached_property
    def nominal_norm(self) -> float:
        """The length |p| of the nominal step."""
        return float(vector_norm(self.nominal))

    @cached_property
    def gradient_norm(self) -> float:
        """The length of the gradient."""
        return float(vector_norm(self.gradient))

    @cached_property
    def scale(self) -> float:
        """A length to compare lengths in weight space with: |theta| or |p|, whichever is larger."""
        return max(float(vector_norm(self.theta)), self.nominal_norm)

    @cached_property
    def unsafe(self) -> bool:
        """True if theta violates a constraint.  Then the update is a restoring step."""
        return bool((self.values > 0).any())


@dataclass(frozen=True)
class Method:
    """The parts of the method that all updates share.  Only ``smoothness`` and ``generator`` have a state."""

    evaluate: ConstraintEvaluator
    context: Context
    directions: Directions
    smoothness: Smoothness
    step: StepOptions
    look: Look | None
    descent: Descent | None
    generator: torch.Generator

    @property
    def tightening(self) -> float:
        """The tightening, which is added to g in training."""
        return self.evaluate.constraint.tightening

    def tightening_at(self, start: Start) -> Array | float:
        """Return the tightening (k,) of a step; if g is coarse it includes the rounding, which may hide violations."""
        return self.tightening + start.rounding if start.coarse else self.tightening

    def may_rise(self, start: Start) -> bool:
        """Return True if the projected step could raise the loss, so that the projection needs the descent row.

        It is False for p = -eta M grad loss with a diagonal M, projected in the norm of M^-1, if the loss has a
        smoothness constant L with eta L <= 2 min(M^-1): every such projection descends.
        """
        if self.descent is None:
            return False
        force, nominal, least = start.nominal, start.nominal_norm, 1.0
        if start.metric is not None:
            force, least = start.metric * force, float(start.metric.min())
            nominal = float(vector_norm(force))
        gradient = start.gradient_norm
        parallel = float(-force @ start.gradient) >= PARALLEL * nominal * gradient
        return not (parallel and self.descent.loss_smoothness * nominal <= 2.0 * least * gradient)
