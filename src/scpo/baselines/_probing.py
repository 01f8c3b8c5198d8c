"""Base classes of the baselines that estimate the slopes of g as SCPO does, with its directions and its probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.linalg import vector_norm

from scpo.arrays import Array, length_of
from scpo.baselines.unconstrained import Unconstrained
from scpo.basis import Basis, draw_basis, next_count
from scpo.directions import as_directions
from scpo.memory import Memory
from scpo.options import Constraint, StepOptions
from scpo.probing import Probes, learn, probe
from scpo.records import StepInfo
from scpo.sampling import Context, Directions
from scpo.smoothness import EstimatedSmoothness, Smoothness, as_smoothness
from scpo.snapshot import learned_arrays, learned_state
from scpo.state import Method, Start
from scpo.update import remembered


class Probing(Unconstrained):
    """Base of the methods that probe g along directions, take one step, and evaluate g after it.

    Args:
        optimizer: a torch.optim optimiser of parameters of ``policy``.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
        directions: where g is probed, as for :class:`scpo.SafeOptimizer`.
        smoothness: the constants L, as for :class:`scpo.SafeOptimizer`; they set the length of the probes.
        seed: the seed of the sampled directions.
    """

    probes = True

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        *,
        directions: Directions | None = None,
        smoothness: EstimatedSmoothness | Smoothness | ArrayLike | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, policy, constraint)
        self.policy = policy
        self._method = Method(
            evaluate=self.evaluate,
            context=Context(policy, self.vector),
            directions=as_directions(directions),
            smoothness=as_smoothness(smoothness),
            step=StepOptions(),
            look=None,
            descent=None,
            generator=torch.Generator().manual_seed(seed),
        )
        self._method.smoothness.start(self._values.size)
        self._rounding = self.evaluate.rounding_level(self.vector.read(), self._method.generator)
        self._memory: Memory | None = None
        self._count: int | None = None  # the most directions of the next update; None: N

    @property
    def _rate(self) -> float:
        """The learning rate: the length of a gradient step divided by the length of the gradient."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _probe(self, theta: Tensor, gradient: Tensor) -> tuple[Basis, Probes]:
        """Return the basis of an update at theta (d,) and its probes.

        The first direction is the step along the ``gradient`` (d,), which is the nominal step.
        """
        self.nominal = -self._rate * gradient
        start = Start(
            self.updates,
            theta,
            self._values,
            self.nominal,
            gradient,
            self._rounding,
            None,
            memory=self._memory,
            count=self._count,
        )
        basis, probes = probe(start, draw_basis(start, self._method), self._method)
        self._memory = remembered(start, basis, probes, self._method)
        self._count = next_count(basis, self._method.directions)
        return basis, probes

    def _take(self, theta: Tensor, after: Tensor, basis: Basis, probes: Probes) -> StepInfo:
        """Move from theta (d,) to ``after`` (d,), evaluate g there, and return the record."""
        values = self.evaluate(after[None])[0]
        bound = self._observe(values, basis.coordinates(after - theta), probes)
        self.vector.write(after)
        self._values, self.bound = values, bound
        return StepInfo(
            update=self.updates,
            slack=-float(values.max(initial=-np.inf)),
            proposals=1,
            unsafe_proposals=int((values > 0).any()),
            unsafe_probes=probes.unsafe,
            bound_misses=int((values > bound + 2.0 * self._rounding).sum()),
            directions=basis.size,
            nominal_norm=float(self.nominal.norm()) if self.nominal is not None else 0.0,
            step_norm=float(vector_norm(after - theta)),
            rollouts=self.evaluate.rollouts,
        )

    def _observe(self, values: Array, z: Array, probes: Probes) -> Array:
        """Tell the smoothness model the L that the step z (n,) needed, and return the step bound (k,)."""
        length, smoothness = length_of(z), probes.constants.smoothness
        if length > 0.0:
            learn(probes.required(z, values - self._values), length, smoothness, probes, self._method)
        bound = self._values + probes.slopes @ z + probes.error(smoothness) * length + 0.5 * smoothness * length**2
        return np.asarray(bound)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser and of the smoothness model, the values of g, counts and the generator."""
        learned = {"smoothness": learned_state(self._method), "rounding": torch.from_numpy(self._rounding.copy())}
        memory = None if self._memory is None else self._memory.state_dict()
        drawn = {"generator": self._method.generator.get_state(), "memory": memory, "count": self._count}
        return super().state_dict() | learned | drawn

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self._method.smoothness.load_state_dict(learned_arrays(state["smoothness"]))
        self._rounding = state["rounding"].numpy().copy()
        self._method.generator.set_state(state["generator"])
        memory = state["memory"]
        self._memory = None if memory is None else Memory.of_state(memory, self._values.size, self.vector.read())
        self._count = state["count"]


class Priced(Probing):
    """Base of the methods that add a price of violations to the loss and let the wrapped optimiser descend on both."""

    def step(self) -> StepInfo:
        """Take one step and return its record.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        gradient, theta = self.vector.gradient(), self.vector.read()
        self.updates += 1
        basis, probes = self._probe(theta, gradient)
        priced = gradient + basis.combine(probes.slopes.T @ self._prices(self._values + self._method.tightening))
        parts = priced.split_with_sizes(self.vector.sizes)
        for parameter, part in zip(self.vector.parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)
        self.optimizer.step()
        return self._take(theta, self.vector.read(), basis, probes)

    def _prices(self, tightened: Array) -> Array:
        """Return the factor (k,) on the slope of each constraint, for g + tightening (k,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _prices()")
