"""Sources of directions: where in weight space the constraint is probed.

g depends on theta only through the policy's outputs at visited states.  So every gradient of g_i lies in the span of
the rows of d pi_theta(x) / d theta at these states.  Directions drawn there (:class:`Tangent`) let few probes see most
of each gradient.  Gaussian directions (:class:`Isotropic`) are the plain reading of "sampling-based".  Neither needs a
derivative of g.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch import Tensor

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.options import option
from scpo.parameters import ParameterVector, all_finite
from scpo.rest import undisturbed
from scpo.sampling import Context, Directions, Sample


@dataclass(frozen=True, kw_only=True)
class Isotropic(Directions):
    """Gaussian directions in R^d."""

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return (d, count) independent Gaussian directions."""
        return Sample(_gaussian(context.vector, count, generator))


@dataclass(frozen=True, eq=False)
class Tangent(Directions):
    """Rows of d pi_theta(x) / d theta at visited states x: all of them, or a stratified sample if there are too many.

    A policy with a method ``output_jacobian(states) -> name -> (S, output, *shape)`` computes its rows itself
    (:class:`scpo.ResidualPolicy` does).  For other policies autograd computes them.

    Attributes:
        states: the visited states (S, ...), or a callable that returns the present ones.
    """

    states: Tensor | Callable[[], Tensor]
    _: KW_ONLY
    checks: int = option(4, "further rows per update that measure the captured energy", ge=0)

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return at most ``count`` directions in the span of the policy's derivatives.

        Raises:
            ShapeError: there are no states.
            ConfigurationError: the policy's output does not depend on theta.
            NonFiniteError: a derivative is NaN or infinite.
        """
        states = self.states() if callable(self.states) else self.states
        if not isinstance(states, Tensor) or states.ndim == 0 or states.shape[0] == 0:
            raise ShapeError("states: expected a tensor with at least one state along its first axis")
        chosen = torch.arange(states.shape[0])
        if states.shape[0] > count:
            chosen = self._strata(states.shape[0], count, generator)
        rows = _policy_rows(context, states[chosen.to(states.device)])
        if not all_finite(rows):
            raise NonFiniteError("the policy's derivative at the states is NaN or infinite")
        exact = rows.shape[0] <= count
        outputs = rows.shape[0] // chosen.numel()
        if states.shape[0] <= count and not exact:  # few states with many outputs: a sample of the rows
            rows = rows[self._strata(rows.shape[0], count, generator).to(rows.device)]
        elif outputs > 1 and not exact:  # one output of each state, at random
            rows = rows.view(-1, outputs, rows.shape[1])
            rows = rows[torch.arange(rows.shape[0]), torch.randint(outputs, (rows.shape[0],), generator=generator)]
        return Sample(rows[:count].T, rows[count:].T if rows.shape[0] > count else None, exact)

    def _strata(self, size: int, count: int, generator: torch.Generator) -> Tensor:
        """Return ``count`` indices below ``size``, one from each of as many equal parts, and then ``checks`` more."""
        return torch.cat([_strata(size, count, generator), _strata(size, self.checks, generator)])


@dataclass(frozen=True, eq=False)
class Mixed(Tangent):
    """A share of tangent directions; the others are isotropic.

    Attributes:
        states: as for :class:`Tangent`.
    """

    share: float = option(0.5, "share of tangent directions", ge=0, le=1)

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return both kinds side by side; the captured energy is that of the tangent part."""
        inside = super().draw(context, round(self.share * count), generator)
        outside = _gaussian(context.vector, count - inside.vectors.shape[1], generator)
        return Sample(torch.cat([inside.vectors, outside], dim=1), inside.checks, inside.exact)


def as_directions(given: Directions | None) -> Directions:
    """Return ``given``; isotropic directions with a warning for None.

    Raises:
        ConfigurationError: ``given`` is no source of directions.
    """
    if given is None:
        warnings.warn(
            "directions: none given, so they are isotropic and see little of a gradient in many dimensions; give "
            "directions=scpo.Tangent(states) with the states that rollouts visit, or directions=scpo.Isotropic()",
            stacklevel=3,
        )
        return Isotropic()
    if not isinstance(given, Directions):
        raise ConfigurationError(f"directions: expected Tangent, Isotropic, Mixed or your own, got {given!r}")
    return given


def _gaussian(vector: ParameterVector, count: int, generator: torch.Generator) -> Tensor:
    noise = torch.randn(vector.dimension, count, generator=generator, dtype=torch.float64)
    return noise.to(vector.device)


def _strata(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` indices below ``size``, one at random from each of as many equal parts."""
    jitter = torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    places = ((np.arange(count) + jitter) * (size / max(count, 1))).astype(np.int64)
    return torch.from_numpy(np.minimum(places, size - 1))


def _policy_rows(context: Context, states: Tensor) -> Tensor:
    """Return d pi(x) / d theta, shape (S * outputs, d), float64."""
    analytic = getattr(context.policy, "output_jacobian", None)
    return _autograd_rows(context, states) if analytic is None else _analytic_rows(context, analytic(states))


def _analytic_rows(context: Context, parts: dict[str, Tensor]) -> Tensor:
    """Return the rows of a policy's own ``output_jacobian``, name -> (S, output, *shape), side by side."""
    vector = context.vector
    if absent := [name for name in vector.names if name not in parts]:
        raise ConfigurationError(f"output_jacobian gives no rows for {', '.join(absent)}; freeze or add them")
    columns = [
        parts[name].reshape(parts[name].shape[0], -1, size)
        for name, size in zip(vector.names, vector.sizes, strict=True)
    ]
    return torch.cat(columns, dim=2).reshape(-1, vector.dimension).to(torch.float64)


def _autograd_rows(context: Context, states: Tensor) -> Tensor:
    """Return the rows by back-propagation, one pass for all outputs; the policy and its random numbers stay."""
    vector = context.vector
    devices = [vector.device] if vector.device.type == "cuda" else []  # whose random numbers dropout draws
    keeper = vector.keeper(context.policy)
    with torch.enable_grad(), undisturbed(context.policy, keeper, True), torch.random.fork_rng(devices):
        outputs = context.policy(states)
        if not isinstance(outputs, Tensor) or not outputs.requires_grad:
            raise ConfigurationError("the policy's output at the states does not depend on its parameters")
        outputs = outputs.reshape(-1)
        rows = torch.autograd.grad(
            outputs,
            vector.parameters,
            grad_outputs=torch.eye(outputs.numel()).to(outputs),
            is_grads_batched=True,
            allow_unused=True,
        )
    columns = [
        torch.zeros(outputs.numel(), size, dtype=torch.float64, device=vector.device)
        if row is None
        else row.reshape(outputs.numel(), -1).to(torch.float64)
        for row, size in zip(rows, vector.sizes, strict=True)
    ]
    return torch.cat(columns, dim=1)
