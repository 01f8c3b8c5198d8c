"""An optimiser around another one: to schedulers, gradient scalers and hooks it is one, and it can propose steps."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.optim import optimizer as torch_optimizer

from scpo.errors import ConfigurationError, NonFiniteError
from scpo.parameters import ParameterVector


class Wrapper(torch.optim.Optimizer):
    """An optimiser whose parameter groups, state and defaults are those of the optimiser that it wraps.

    Raises:
        ConfigurationError: ``optimizer`` is no torch.optim optimiser, or is a wrapper itself.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigurationError(f"optimizer: expected a torch.optim optimiser, got {type(optimizer).__name__}")
        if isinstance(optimizer, Wrapper):
            raise ConfigurationError(
                f"optimizer: is a {type(optimizer).__name__} already, and the steps of a second one would break its "
                "constraint; let one constraint return the values of both"
            )
        # not Optimizer.__init__, which would lay out groups and a state of its own
        self.__setstate__({"optimizer": optimizer})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy.  As for any optimiser, hooks and a scheduler's marks are left out."""
        left_out = ("step", "_opt_called")
        return {k: v for k, v in self.__dict__.items() if k not in left_out and not k.startswith("_optimizer_")}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the wrapped optimiser."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:
        """The state of the wrapped optimiser, parameter -> its entries."""
        return self.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        self.optimizer.state = state

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the wrapped optimiser's parameter groups."""
        return self.optimizer.defaults

    @defaults.setter
    def defaults(self, defaults: dict[str, Any]) -> None:
        self.optimizer.defaults = defaults

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, as the wrapped optimiser does."""
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def _held(self) -> list[Tensor]:
        """Return all parameters that the wrapped optimiser holds."""
        return [parameter for group in self.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class Nominal:
    """The step that an optimiser proposed, and that was taken back.

    Attributes:
        step: p (d,).
        gradient: the gradient of the loss (d,).
        loss: what the closure returned at theta; NaN without a closure, or if it returned no number.
        run_post_hooks: runs the optimiser's own post-step hooks, after the projected step has been taken.
    """

    step: Tensor
    gradient: Tensor
    loss: float
    run_post_hooks: Callable[[], None]


def propose(
    optimizer: torch.optim.Optimizer, vector: ParameterVector, theta: Tensor, closure: Callable[[], float] | None
) -> Nominal:
    """Return the step that ``optimizer`` proposes at ``theta`` (d,); afterwards the policy is at theta again.

    Parameters that are not the policy's (a critic's) keep their steps.

    Raises:
        ConfigurationError: there is no gradient, or the optimiser did not call the closure.
        NonFiniteError: the loss, its gradient or the step is NaN or infinite.
    """
    gradients: list[Tensor] = []
    losses: list[float] = []
    groups = optimizer.param_groups
    ascending = [p for group in groups if group.get("maximize") for p in group["params"]]
    held = [p for group in groups for p in group["params"]]

    def first_at_theta() -> float:  # LBFGS goes on calling it elsewhere
        assert closure is not None
        loss = closure()
        if loss is not None and not torch.isfinite(torch.as_tensor(loss)).all():
            raise NonFiniteError("the loss that the closure returned is NaN or infinite; the step was not taken")
        if not gradients:
            gradients.append(vector.gradient(ascending, beside=held))
            losses.append(_number(loss))
        return loss

    with _post_hooks_held_back(optimizer) as run_post_hooks, _without_global_hooks(optimizer):
        if closure is None:
            gradients.append(vector.gradient(ascending, beside=held))
            optimizer.step()
        else:
            optimizer.step(first_at_theta)
    step = vector.read() - theta
    vector.write(theta)
    name = type(optimizer).__name__
    if not gradients:
        raise ConfigurationError(f"{name} did not call the closure; call backward() and step() without one")
    if not math.isfinite(float(vector_norm(step))):
        raise NonFiniteError(f"{name} proposed a step with NaN or infinite entries, or too long to be squared")
    return Nominal(step, gradients[0], losses[0] if losses else math.nan, run_post_hooks)


@contextmanager
def _post_hooks_held_back(optimizer: torch.optim.Optimizer) -> Iterator[Callable[[], None]]:
    """Keep an optimiser from running its own post-step hooks in the block; yield a function that runs them later."""
    calls: list[tuple[Any, ...]] = []
    hooks = getattr(optimizer, "_optimizer_step_post_hooks", None)  # wrappers of other libraries may have none
    if not hooks:
        yield lambda: None
        return

    def run() -> None:
        for call in calls:
            for hook in hooks.values():
                hook(*call)

    optimizer._optimizer_step_post_hooks = OrderedDict({0: lambda *call: calls.append(call)})
    try:
        yield run
    finally:
        optimizer._optimizer_step_post_hooks = hooks


def _number(loss: Any) -> float:
    """Return a loss as a number; NaN if it is none."""
    if isinstance(loss, Tensor):
        return loss.item() if loss.numel() == 1 else math.nan
    return math.nan if loss is None else float(loss)


class _Unless:
    """A hook of all optimisers that does not run for one that only proposes a step: the wrapper runs it later."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, optimizer: torch.optim.Optimizer, *call: Any) -> Any:
        return None if id(optimizer) in _PROPOSING else self.hook(optimizer, *call)


#: the optimisers that are proposing a step, by their id
_PROPOSING: set[int] = set()


@contextmanager
def _without_global_hooks(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Keep an optimiser from running the hooks that torch has for all optimisers, in the block.

    Torch reads them from two tables that all threads share, so none is removed.  Each is replaced once, for good, by a
    hook that skips the optimisers that only propose a step.
    """
    for hooks in (torch_optimizer._global_optimizer_pre_hooks, torch_optimizer._global_optimizer_post_hooks):
        for key, hook in list(hooks.items()):
            if not isinstance(hook, _Unless) and key in hooks:
                hooks[key] = _Unless(hook)
    _PROPOSING.add(id(optimizer))
    try:
        yield
    finally:
        _PROPOSING.discard(id(optimizer))


def check_arguments(policy: object, seed: object) -> None:
    """Refuse what is no policy, and a seed that torch's generator does not take.

    Raises:
        ConfigurationError: the policy is not a module, or the seed is not an integer of 64 bits.
    """
    if not isinstance(policy, nn.Module):
        raise ConfigurationError(f"policy: expected an nn.Module, got {type(policy).__name__}")
    if not isinstance(seed, (int, np.integer)) or not -(2**63) <= seed < 2**64:
        raise ConfigurationError(f"seed: expected an integer of 64 bits, got {seed!r}")
