"""A copy of everything that a step may change, to undo a failed step; and the learned state, to save and load it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scpo.arrays import Array
from scpo.errors import ConfigurationError
from scpo.rest import Rest
from scpo.state import Method


@dataclass(frozen=True)
class Snapshot:
    """A copy of everything that a step may change, except theta."""

    rest: Rest
    others: list[tuple[Tensor, Tensor]]  # parameters that are not the policy's, and copies of them
    gradients: list[tuple[Tensor, Tensor | None, Tensor | None]]  # with copies: some optimisers write to them
    state: dict[Any, Any]
    groups: list[dict[str, Any]]
    learned: dict[str, Any]
    generator: Tensor

    @classmethod
    def take(cls, optimizer: torch.optim.Optimizer, method: Method, known: Rest | str | None = None) -> Snapshot:
        """Return the present state of the wrapped ``optimizer``, of the policy and of the ``method``.

        ``known`` is an earlier copy of the policy's tensors outside theta; it is used again if it is still the same.
        """
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moved = {id(parameter) for parameter in method.context.vector.parameters}
        others = [parameter for parameter in held if id(parameter) not in moved]
        if others:  # a critic's, or frozen ones of the policy, which are in the rest
            ours = {id(parameter) for parameter in method.context.policy.parameters()}
            others = [parameter for parameter in others if id(parameter) not in ours]
        return cls(
            others=[(parameter, parameter.detach().clone()) for parameter in others],
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


def learned_state(method: Method) -> dict[str, Any]:
    """Return the state of the smoothness model with its arrays as tensors."""
    state = method.smoothness.state_dict()
    return {key: torch.from_numpy(one.copy()) if isinstance(one, np.ndarray) else one for key, one in state.items()}


def learned_arrays(state: dict[str, Any]) -> dict[str, Any]:
    """Return a :func:`learned_state` with arrays in place of tensors, as the smoothness model takes it."""
    return {key: one.cpu().numpy().copy() if isinstance(one, Tensor) else one for key, one in state.items()}


def array_of(state: dict[str, Any], name: str, k: int) -> Array:
    """Return an entry of a state as an array (k,).

    Raises:
        ConfigurationError: it has another shape.
    """
    array = np.array(state[name].cpu().numpy(), dtype=np.float64)
    if array.shape != (k,):
        raise ConfigurationError(f"state: {name} has shape {array.shape}, expected ({k},)")
    return array


def load_learned(state: dict[str, Any], optimizer: torch.optim.Optimizer, method: Method) -> None:
    """Load the states of the wrapped optimiser and of the smoothness model, or neither of them.

    Raises:
        ConfigurationError: they belong to another optimiser or another smoothness model.
    """
    before, learned = Snapshot.take(optimizer, method), method.smoothness.state_dict()
    try:
        given = learned_arrays(state["smoothness"])
        shapes = [{k: np.shape(v) for k, v in one.items()} for one in (given, learned)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"its smoothness has {shapes[0]}, here are {shapes[1]}")
        for one, other in zip(state["optimizer"]["param_groups"], optimizer.param_groups, strict=True):
            if unknown := sorted(one.keys() - other.keys()):
                raise ValueError(f"{type(optimizer).__name__} has no option {', '.join(unknown)}")
        optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        _keep_types_of_numbers(state["optimizer"], optimizer)
        method.smoothness.load_state_dict(given)
    except Exception as error:
        before.restore(optimizer, method)
        raise ConfigurationError(f"state: of another optimiser or smoothness, {error}") from error


def _keep_types_of_numbers(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Give single numbers the types that were saved; torch would load NAdam's float32 product as float64."""
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in zip(numbers, held, strict=True):
        for name, saved in state["state"].get(number, {}).items():
            loaded = optimizer.state[parameter][name]
            if isinstance(saved, Tensor) and isinstance(loaded, Tensor) and saved.dim() == 0:
                optimizer.state[parameter][name] = saved.to(loaded.device, saved.dtype, copy=True)
