"""Sources of directions: where in weight space the constraint is probed.

g depends on theta only through the policy's outputs at visited states.  So every gradient of g_i lies in the span of
the rows of d pi_theta(x) / d theta at these states.  Directions drawn there (:class:`Tangent`) let few probes see most
of each gradient.  Gaussian directions (:class:`Isotropic`) are what "sampling-based" means at first reading.  Neither
needs a derivative of g.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch import Tensor

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.options import option
from scpo.outputs import COMPILED, Output, eagerly, output_at
from scpo.parameters import ParameterVector, all_finite
from scpo.rest import undisturbed
from scpo.sampling import Context, Directions, Sample

#: a policy's own derivatives are asked for so many numbers at a time (16 MB), or for one state
TOGETHER = 2**21
#: the states of a policy (S, ...), or several kinds of them by name
States = Tensor | Mapping[str, Tensor]


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
        states: the visited states (S, ...), or a dictionary of them if the policy takes one; or a callable that returns
            the present ones.
        output: (policy, states) -> the output to differentiate, for policies without a forward method or with several
            outputs; None: the first tensor that the policy returns, or the mean of a distribution.
    """

    states: States | Callable[[], States]
    _: KW_ONLY
    output: Output | None = None
    checks: int = option(4, "further rows per update that measure the captured energy", ge=0)

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return at most ``count`` directions in the span of the policy's derivatives.

        Raises:
            ShapeError: there are no states, or a dictionary holds different numbers of them.
            ConfigurationError: the policy's output does not depend on theta.
            NonFiniteError: a derivative is NaN or infinite.
        """
        states = self.states() if callable(self.states) else self.states
        size = _number_of(states)
        chosen = torch.arange(size)
        if size > count:
            chosen = self._strata(size, count, generator)
        rows = _policy_rows(context, _at(states, chosen), self.output)
        if not all_finite(rows):
            raise NonFiniteError("the policy's derivative at the states is NaN or infinite")
        exact = rows.shape[0] <= count
        outputs = rows.shape[0] // chosen.numel()
        if size <= count and not exact:  # few states with many outputs: a sample of the rows
            rows = rows[self._strata(rows.shape[0], count, generator).to(rows.device)]
        elif outputs > 1 and not exact:  # one output of each state, at random
            rows = rows.view(-1, outputs, rows.shape[1])
            rows = rows[torch.arange(rows.shape[0]), torch.randint(outputs, (rows.shape[0],), generator=generator)]
        return Sample(rows[:count].T, rows[count:].T if rows.shape[0] > count else None, exact)

    def _strata(self, size: int, count: int, generator: torch.Generator) -> Tensor:
        """Return ``count`` indices below ``size``, one from each of ``count`` equal parts, and then ``checks`` more."""
        return torch.cat([_strata(size, count, generator), _strata(size, self.checks, generator)])


@dataclass(frozen=True, eq=False)
class Mixed(Tangent):
    """A share of tangent directions; the others are isotropic.

    Attributes:
        states: as for :class:`Tangent`.
    """

    share: float = option(0.5, "share of tangent directions", ge=0, le=1)

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return both kinds side by side; the captured energy is that of the policy's derivatives."""
        tangent = round(self.share * count)
        if tangent == 0 and self.checks == 0:
            return Sample(_gaussian(context.vector, count, generator))
        inside = super().draw(context, tangent, generator)
        outside = _gaussian(context.vector, count - inside.vectors.shape[1], generator)
        vectors = torch.cat([inside.vectors, outside], dim=1)
        if inside.exact and outside.shape[1] and self.checks:  # more could be drawn, but no more derivatives
            return Sample(vectors, inside.vectors)
        return Sample(vectors, inside.checks, inside.exact and outside.shape[1] == 0)


def as_directions(given: Directions | None) -> Directions:
    """Return ``given``, or isotropic directions with a warning if it is None.

    Raises:
        ConfigurationError: ``given`` is no source of directions.
    """
    if given is None:
        warnings.warn(
            "directions: none given, so isotropic ones are used, which see little of a gradient in many dimensions; "
            "give directions=scpo.Tangent(states) with the states that rollouts visit, or directions=scpo.Isotropic()",
            stacklevel=3,
        )
        return Isotropic()
    if not isinstance(given, Directions):
        hint = "; for states give scpo.Tangent(states)" if hasattr(given, "__array__") else ""
        raise ConfigurationError(
            f"directions: expected Tangent, Isotropic, Mixed or your own, got {type(given).__name__}{hint}"
        )
    return given


def _gaussian(vector: ParameterVector, count: int, generator: torch.Generator) -> Tensor:
    noise = torch.randn(vector.dimension, count, generator=generator, dtype=torch.float64)
    return noise.to(vector.device)


def _strata(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` indices below ``size``, a random one from each of ``count`` equal parts of the range."""
    jitter = torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    places = ((np.arange(count) + jitter) * (size / max(count, 1))).astype(np.int64)
    return torch.from_numpy(np.minimum(places, size - 1))


def _number_of(states: States) -> int:
    """Return the number S of states.

    Raises:
        ShapeError: there are no states, or the tensors hold different numbers of them.
    """
    parts = list(states.values()) if isinstance(states, Mapping) else [states]
    if not parts or any(not isinstance(part, Tensor) or part.ndim == 0 for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise ShapeError(
            "states: expected a tensor with at least one state along its first axis, or a dict of tensors, got "
            f"{kinds or 'nothing'}; torch.as_tensor makes a tensor of an array or a list"
        )
    sizes = {part.shape[0] for part in parts}
    if len(sizes) != 1 or 0 in sizes:
        raise ShapeError(f"states: expected at least one state, as many in each tensor; got {sorted(sizes)}")
    return int(sizes.pop())


def _at(states: States, chosen: Tensor) -> States:
    if isinstance(states, Mapping):
        return {name: part[chosen.to(part.device)] for name, part in states.items()}
    return states[chosen.to(states.device)]


def _policy_rows(context: Context, states: States, output: Output | None) -> Tensor:
    """Return d pi(x) / d theta, shape (S * outputs, d), float64."""
    analytic = getattr(context.policy, "output_jacobian", None)
    if analytic is None or output is not None:
        return _autograd_rows(context, states, output)
    together = max(1, TOGETHER // context.vector.dimension)
    if not isinstance(states, Tensor) or states.shape[0] <= together:
        return _analytic_rows(context, analytic(states))
    first = _analytic_rows(context, analytic(states[:together]))
    outputs = first.shape[0] // together
    rows = first.new_empty(states.shape[0] * outputs, first.shape[1])
    rows[: first.shape[0]] = first
    for start in range(together, states.shape[0], together):
        part = _analytic_rows(context, analytic(states[start : start + together]))
        rows[start * outputs : start * outputs + part.shape[0]] = part
    return rows


def _analytic_rows(context: Context, parts: dict[str, Tensor]) -> Tensor:
    """Return the rows of a policy's own ``output_jacobian``, name -> (S, output, *shape), side by side."""
    vector = context.vector
    names = [name.removeprefix(COMPILED) for name in vector.names]
    if absent := [name for name in names if name not in parts]:
        raise ConfigurationError(f"output_jacobian lacks {', '.join(absent)}; add them to it, or freeze them")
    columns = [
        parts[name].reshape(parts[name].shape[0], -1, size) for name, size in zip(names, vector.sizes, strict=True)
    ]
    return torch.cat(columns, dim=2).reshape(-1, vector.dimension).to(torch.float64)


def _autograd_rows(context: Context, states: States, output: Output | None) -> Tensor:
    """Return the rows by back-propagation, in one pass; the policy and the random generators stay as they are."""
    vector = context.vector
    devices = [vector.device] if vector.device.type == "cuda" else []  # whose random numbers dropout draws
    keeper = vector.keeper(context.policy)
    with torch.enable_grad(), undisturbed(context.policy, keeper, True), torch.random.fork_rng(devices), eagerly():
        outputs = output_at(context.policy, states, output)
        if not outputs.requires_grad:
            raise ConfigurationError(
                "the policy's output at the states does not depend on its parameters; if it has several outputs, say "
                "which counts: scpo.Tangent(states, output=lambda policy, states: ...)"
            )
        rows = _jacobian(outputs.reshape(-1), vector)
    return torch.cat([row.to(torch.float64) for row in rows], dim=1)


def _jacobian(outputs: Tensor, vector: ParameterVector) -> list[Tensor]:
    """Return d outputs / d parameter, shape (outputs, size), of each parameter."""
    directions = torch.eye(outputs.numel()).to(outputs)

    def back(direction: Tensor, batched: bool) -> list[Tensor]:
        found = torch.autograd.grad(
            outputs,
            vector.parameters,
            grad_outputs=direction,
            retain_graph=True,
            is_grads_batched=batched,
            allow_unused=True,
        )
        shape = (outputs.numel(), -1) if batched else (1, -1)
        return [
            torch.zeros(parameter.numel(), dtype=torch.float64, device=vector.device).expand(shape)
            if row is None
            else row.to_dense().reshape(shape)
            for row, parameter in zip(found, vector.parameters, strict=True)
        ]

    try:
        return back(directions, batched=True)
    except (RuntimeError, NotImplementedError):  # sparse gradients, and operations that know no batches
        apart = [back(direction, batched=False) for direction in directions]
        return [torch.cat(rows) for rows in zip(*apart, strict=True)]
