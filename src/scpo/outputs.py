"""The output of a policy as a tensor, whatever the policy returns and however it was compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from scpo.errors import ConfigurationError

#: (policy, states) -> the output that counts; a tensor, or something that holds one
Output = Callable[[Any, Any], Any]

#: what torch.compile puts before the names of a module's parameters
COMPILED = "_orig_mod."


def uncompiled(policy: nn.Module) -> nn.Module:
    """Return the module that torch.compile was given."""
    inner = getattr(policy, COMPILED.rstrip("."), policy)
    return inner if isinstance(inner, nn.Module) else policy


def eagerly() -> AbstractContextManager[Any]:
    """Return a context in which compiled modules, also those inside a policy, run as they were written."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    if set_stance is None or "torch._dynamo" not in sys.modules:  # old, or nothing can be compiled
        return nullcontext()
    stance: AbstractContextManager[Any] = set_stance("force_eager")
    return stance


def output_at(policy: nn.Module, states: Any, output: Output | None) -> Tensor:
    """Return the output of a policy at states, as a tensor.

    A tuple or a dictionary gives its first tensor.  A distribution gives its mean, or its logits if it is over classes.

    Args:
        policy: the policy.
        states: its argument.
        output: (policy, states) -> the output; None: what the policy itself returns.

    Raises:
        ConfigurationError: the output has no tensor, or the policy has no forward method.
    """
    policy = uncompiled(policy)
    if output is None and getattr(policy.forward, "__name__", "") == "_forward_unimplemented":
        raise ConfigurationError(
            f"{type(policy).__name__} has no forward method; say what it does at the states, as in "
            "scpo.Tangent(states, output=lambda policy, states: policy.act(states))"
        )
    returned = policy(states) if output is None else output(policy, states)
    found = _tensor_in(returned)
    if found is None:
        raise ConfigurationError(
            f"the policy returns {type(returned).__name__} at the states, without a tensor; say which output counts: "
            "scpo.Tangent(states, output=lambda policy, states: policy(states).action)"
        )
    return found


def _tensor_in(returned: Any) -> Tensor | None:
    """Return the first tensor in what a policy returned; None if there is none."""
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, torch.distributions.Distribution):
        while hasattr(returned, "base_dist"):  # of Independent, and of transformed ones, which have no mean
            returned = returned.base_dist
        mean: Tensor = returned.logits if hasattr(returned, "logits") else returned.mean
        return mean
    held: Sequence[Any] = ()
    if isinstance(returned, Mapping):
        held = list(returned.values())
    elif isinstance(returned, Sequence) and not isinstance(returned, (str, bytes)):
        held = returned
    return next((one for one in map(_tensor_in, held) if one is not None), None)
