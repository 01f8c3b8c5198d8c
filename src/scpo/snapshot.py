"""A copy of everything that a step may change, so that a failed step can be undone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scpo.rest import Rest
from scpo.state import Method


@dataclass(frozen=True)
class Snapshot:
    """A copy of everything that a step may change, except theta."""

    rest: Rest
    others: list[tuple[Tensor, Tensor]]  # parameters that are not the policy's, and copies of them
    gradients: list[
        tuple[Tensor, Tensor | None, Tensor | None]
    ]  # of parameters, and copies; some optimisers write to them
    state: dict[Any, Any]
    groups: list[dict[str, Any]]
    learned: dict[str, Any]
    generator: Tensor

    @classmethod
    def take(cls, optimizer: torch.optim.Optimizer, method: Method, known: Rest | str | None = None) -> Snapshot:
        """Return the present state of the wrapped ``optimizer``, of the policy and of the ``method``.

        ``known`` is an earlier copy of the policy's rest, which need not be copied again if it is still the same.
        """
        ours = {id(parameter) for parameter in method.context.policy.parameters()}
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return cls(
            others=[(parameter, parameter.detach().clone()) for parameter in held if id(parameter) not in ours],
            gradients=[(p, p.grad, None if p.grad is None else p.grad.detach().clone()) for p in held],
            rest=method.context.vector.read_rest(method.context.policy, known),
            state={key: copy.deepcopy(value) for key, value in optimizer.state.items()},
            groups=[{k: copy.deepcopy(v) for k, v in one.items() if k != "params"} for one in optimizer.param_groups],
            learned=copy.deepcopy(method.smoothness.state_dict()),
            generator=method.generator.get_state(),
        )

    def restore(self, optimizer: torch.optim.Optimizer, method: Method) -> None:
        """Set everything back to this state."""
        method.context.vector.write_rest(method.context.policy, self.rest)
        with torch.no_grad():
            for parameter, kept in self.others:
                parameter.copy_(kept)
            for parameter, gradient, kept_gradient in self.gradients:
                parameter.grad = gradient
                if gradient is not None and kept_gradient is not None:
                    gradient.copy_(kept_gradient)
        optimizer.state.clear()
        optimizer.state.update(self.state)
        for group, options in zip(optimizer.param_groups, self.groups, strict=True):
            for added in group.keys() - options.keys() - {"params"}:
                del group[added]
            group.update(options)
        method.smoothness.load_state_dict(self.learned)
        method.generator.set_state(self.generator)
