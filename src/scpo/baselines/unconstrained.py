"""The unconstrained baseline: it takes every nominal step, and evaluates g only for the record."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scpo.arrays import Array
from scpo.constraint import ConstraintEvaluator
from scpo.options import Constraint, as_constraint
from scpo.parameters import ParameterVector
from scpo.records import StepInfo


class Unconstrained:
    """The method that takes every nominal step, and evaluates g after it.

    Args:
        optimizer: any torch.optim optimiser of parameters of ``policy``.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
    """

    #: True if the method takes directions and smoothness constants, and probes g
    probes = False

    #: the name of the argument, and of the setting, that holds the options of the method's own
    options: str | None = None

    #: the step bound U (k,) that the last step promised at the iterate, of methods that have one
    bound: Array | None = None

    #: always empty: nearly every iterate is unsafe, so none are kept
    unsafe_proposals: tuple[Tensor, ...] = ()

    def __init__(
        self, optimizer: torch.optim.Optimizer, policy: nn.Module, constraint: Callable[[Any], Any] | Constraint
    ) -> None:
        self.optimizer = optimizer
        self.vector = ParameterVector(policy, (p for group in optimizer.param_groups for p in group["params"]))
        self.evaluate = ConstraintEvaluator(policy, self.vector, as_constraint(constraint))
        self.updates = 0
        self.nominal: Tensor | None = None
        self._values: Array = self.evaluate.checked(self.vector.read())

    @property
    def values(self) -> Array:
        """The values of g at the current iterate, shape (k,)."""
        return self._values.copy()

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad()

    def step(self) -> StepInfo:
        """Take the nominal step and return its record.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        _, nominal = self._propose()
        self._values = self.evaluate(self.vector.read()[None])[0]
        length, unsafe = float(nominal.norm()), bool((self._values > 0).any())
        return StepInfo(
            update=self.updates,
            slack=-float(self._values.max(initial=-np.inf)),
            proposals=1,
            unsafe_proposals=int(unsafe),
            nominal_norm=length,
            step_norm=length,
            rollouts=self.evaluate.rollouts,
        )

    def _propose(self) -> tuple[Tensor, Tensor]:
        """Take the nominal step p (d,), and return theta (d,) before it together with p."""
        self.vector.gradient()
        before = self.vector.read()
        self.optimizer.step()
        self.nominal = self.vector.read() - before
        self.updates += 1
        return before, self.nominal

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser, the values of g and the counts."""
        return {
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "values": torch.from_numpy(self._values.copy()),
            "updates": self.updates,
            "rollouts": self.evaluate.rollouts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._values = state["values"].numpy().copy()
        self.updates = int(state["updates"])
        self.evaluate.rollouts = int(state["rollouts"])
