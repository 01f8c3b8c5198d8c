"""Where to probe: sampled directions in weight space and their orthonormal basis Q.

g depends on theta only through the policy's outputs at visited states, so every gradient of g_i lies in the span of
the rows of d pi_theta(x) / d theta at those states.  Sampling there (tangent) lets few probes see most of each
gradient; Gaussian directions (isotropic) are the plain reading of "sampling-based".  Neither differentiates g.

Write your own sampler as an object with ``draw(context, count, generator) -> Directions``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.parameters import ParameterVector, all_finite, undisturbed

#: squared length of what must be left of unit vectors beyond the basis: 3e-5, where rounding is still a millionth
RANK_TOLERANCE = 1e-9
#: squared length of what is left from which one pass is enough for up to CLEAR_OF directions, or as many alike
CLEAR, CLEAR_OF = 1e-2, 32
#: how far Q^T Q may be from the identity: the bounds on a step take lengths in z for so much longer in theta
ORTHONORMAL = 1e-12
#: shorter directions are dropped: their squares would underflow
SHORTEST = 1e-140


@dataclass(frozen=True)
class SamplingContext:
    """What a sampler may look at: the policy at theta, the flat view of its parameters, the visited states."""

    policy: nn.Module
    vector: ParameterVector
    states: Callable[[], Tensor] | None


@dataclass(frozen=True)
class Directions:
    """Sampled directions.

    Attributes:
        vectors: (d, count), need not be orthogonal nor of full rank.
        checks: (d, c) further draws kept out of the basis, which measure the captured energy; None if that has
            no meaning for the sampler.
        exact: the vectors span all that the sampler could ever give.
    """

    vectors: Tensor
    checks: Tensor | None = None
    exact: bool = False


class Sampler(Protocol):
    """A source of directions."""

    def draw(self, context: SamplingContext, count: int, generator: torch.Generator) -> Directions:
        """Return at most ``count`` directions; all randomness comes from ``generator`` (CPU)."""
        ...


@dataclass(frozen=True)
class Isotropic:
    """Gaussian directions in R^d."""

    def draw(self, context: SamplingContext, count: int, generator: torch.Generator) -> Directions:
        """Return (d, count) independent Gaussian directions."""
        shape = (context.vector.dimension, count)
        noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return Directions(noise.to(context.vector.device))


@dataclass(frozen=True)
class Tangent:
    """Rows of d pi_theta(x) / d theta at visited states x: all of them, or a stratified sample when they are too many.

    A policy with a method ``output_jacobian(states) -> name -> (S, output, *shape)`` is asked for its rows
    (:class:`scpo.ResidualPolicy` has one); any other goes through autograd.

    Attributes:
        checks: further rows drawn per update to measure the captured energy.
    """

    checks: int = 4

    def draw(self, context: SamplingContext, count: int, generator: torch.Generator) -> Directions:
        """Return at most ``count`` directions in the span of the policy's derivatives.

        Raises:
            ConfigurationError: there are no states, or the policy's output does not depend on theta.
            NonFiniteError: a derivative is NaN or infinite.
        """
        if context.states is None:
            raise ConfigurationError("the tangent sampler needs the visited states: pass states=...")
        states = context.states()
        if not isinstance(states, Tensor) or states.ndim == 0 or states.shape[0] == 0:
            raise ShapeError("states: expected a tensor with at least one state along its first axis")
        chosen = torch.arange(states.shape[0])
        if states.shape[0] > count:
            strata = _strata(states.shape[0], count, generator), _strata(states.shape[0], self.checks, generator)
            chosen = torch.cat(strata)
        rows = _policy_rows(context, states[chosen.to(states.device)])
        if not all_finite(rows):
            raise NonFiniteError("the policy's derivative at the states is NaN or infinite")
        exact = rows.shape[0] <= count
        outputs = rows.shape[0] // chosen.numel()
        if states.shape[0] <= count and not exact:  # few states with many outputs: a sample of the rows
            strata = _strata(rows.shape[0], count, generator), _strata(rows.shape[0], self.checks, generator)
            rows = rows[torch.cat(strata).to(rows.device)]
        elif outputs > 1 and not exact:  # one output of each state, at random
            rows = rows.view(-1, outputs, rows.shape[1])
            rows = rows[torch.arange(rows.shape[0]), torch.randint(outputs, (rows.shape[0],), generator=generator)]
        return Directions(rows[:count].T, rows[count:].T if rows.shape[0] > count else None, exact)


def _strata(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` indices below ``size``, one at random from each of as many equal parts."""
    jitter = torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    places = ((np.arange(count) + jitter) * (size / max(count, 1))).astype(np.int64)
    return torch.from_numpy(np.minimum(places, size - 1))


def _policy_rows(context: SamplingContext, states: Tensor) -> Tensor:
    """Return d pi(x) / d theta, shape (S * outputs, d), float64."""
    vector = context.vector
    analytic = getattr(context.policy, "output_jacobian", None)
    if analytic is not None:
        parts = analytic(states)
        count = states.shape[0]
        if absent := [name for name in vector.names if name not in parts]:
            raise ConfigurationError(f"output_jacobian gives no rows for {', '.join(absent)}; freeze or add them")
        return (
            torch.cat(
                [parts[name].reshape(count, -1, size) for name, size in zip(vector.names, vector.sizes, strict=True)],
                dim=2,
            )
            .reshape(-1, vector.dimension)
            .to(torch.float64)
        )
    devices = [vector.device] if vector.device.type == "cuda" else []  # whose random numbers dropout draws
    with torch.enable_grad(), undisturbed(context.policy, vector.parameters), torch.random.fork_rng(devices):
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
    return torch.cat(
        [
            torch.zeros(outputs.numel(), size, dtype=torch.float64, device=vector.device)
            if row is None
            else row.reshape(outputs.numel(), -1).to(torch.float64)
            for row, size in zip(rows, vector.sizes, strict=True)
        ],
        dim=1,
    )


@dataclass(frozen=True)
class Mixed:
    """A share of tangent directions, the rest isotropic."""

    share: float = 0.5
    tangent: Tangent = Tangent()

    def draw(self, context: SamplingContext, count: int, generator: torch.Generator) -> Directions:
        """Return both kinds side by side; the captured energy is that of the tangent part."""
        if not 0 <= self.share <= 1:
            raise ConfigurationError(f"share: must lie in [0, 1], got {self.share}")
        inside = self.tangent.draw(context, round(self.share * count), generator)
        outside = Isotropic().draw(context, count - inside.vectors.shape[1], generator)
        return Directions(torch.cat([inside.vectors, outside.vectors], dim=1), inside.checks, inside.exact)


SAMPLERS: dict[str, Callable[[], Sampler]] = {"tangent": Tangent, "isotropic": Isotropic, "mixed": Mixed}


def as_sampler(sampler: str | Sampler, states: object) -> Sampler:
    """Return the sampler of that name, or the object itself; isotropic, with a warning, where it lacks states."""
    if not isinstance(sampler, str):
        if isinstance(sampler, type) or not hasattr(sampler, "draw"):
            raise ConfigurationError(f"sampler: expected a name or an object with draw, got {sampler!r}")
        return sampler
    if sampler not in SAMPLERS:
        raise ConfigurationError(f"sampler: no {sampler!r}; there are {', '.join(SAMPLERS)}")
    if sampler != "isotropic" and states is None:
        warnings.warn(
            f"the {sampler} sampler needs states=..., the states that rollouts visit; using isotropic directions",
            stacklevel=3,
        )
        return SAMPLERS["isotropic"]()
    return SAMPLERS[sampler]()


def orthonormal_basis(leading: Tensor, *blocks: Tensor) -> Tensor:
    """Return Q (d, n) with orthonormal columns: first the span of ``leading``, then those of the ``blocks``.

    Args:
        leading: (d, l) directions that must lie in the span, in order; zero or dependent ones add nothing.
        blocks: (d, m) each, further directions, see :func:`extend_basis`.
    """
    rows: list[Tensor] = []  # (1, d) each
    for direction in leading.T:
        size = left = float(vector_norm(direction))
        for row in rows * 2:  # twice is enough
            direction = direction - (row[0] @ direction) * row[0]
            left = float(vector_norm(direction))
        if left > 1e-8 * size:
            rows.append((direction / left)[None])
    basis = (torch.cat(rows) if rows else leading.T[:0]).T
    return extend_basis(basis, *blocks)


def extend_basis(basis: Tensor, *blocks: Tensor) -> Tensor:
    """Return Q (d, n + m') that begins with ``basis`` (d, n) and spans the directions of ``blocks`` (d, m) as well.

    What of unit vectors depends on the others up to RANK_TOLERANCE (squared length) is dropped, which only makes the
    step's subspace smaller.  Everything is a product of the directions or of their Gram matrix, where Householder's
    QR is slow.  One pass leaves errors of roundoff over what was left; a second one mends where that was little.

    Raises:
        NonFiniteError: the directions are too long to be squared.
    """
    leading = basis.shape[1]
    if leading == basis.shape[0] or not any(block.shape[1] for block in blocks):
        return basis
    rows = torch.cat([basis.T, *(block.T for block in blocks)])  # contiguous, which the products below want
    with np.errstate(over="ignore", invalid="ignore"):
        gram = _small(product(rows, rows.T))
        shares = gram[leading:, :leading]
        sizes = np.sqrt(gram.diagonal()[leading:])
        units = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > SHORTEST)
        beyond = units[:, None] * (gram[leading:, leading:] - shares @ shares.T) * units
    if not np.isfinite(beyond).all():
        raise NonFiniteError("directions too long to be squared cannot be orthogonalised; scale the sampler's")
    values, vectors = np.linalg.eigh(beyond)
    values, vectors = values[::-1], vectors[:, ::-1]
    limits = RANK_TOLERANCE, CLEAR * max(1.0, values[0] / CLEAR_OF)
    found, clear = (int((values > limit).sum()) for limit in limits)
    if found == 0:
        return basis
    new = (vectors[:, :found] / np.sqrt(values[:found])).T * units  # of the blocks, less their part along the basis
    combined = np.eye(leading + found, rows.shape[0])
    combined[leading:] = np.hstack([-new @ shares, new])
    rows = product(torch.from_numpy(combined).to(rows), rows)
    if clear < found:
        weak = rows[leading + clear :]
        gram = _small(product(weak, rows.T))
        shares, count = gram[:, : leading + clear], found - clear
        inverse = np.linalg.inv(np.linalg.cholesky(gram[:, -count:] - shares @ shares.T))
        again = inverse @ np.hstack([-shares, np.eye(count)])
        weak.copy_(product(torch.from_numpy(again).to(rows), rows))
    return rows.T


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left`` @ ``right``; NumPy, on a CPU, does half of the work where that is a Gram matrix."""
    if left.device.type != "cpu":
        return left @ right
    return torch.from_numpy(left.numpy(force=True) @ right.numpy(force=True))


def _small(matrix: Tensor) -> Array:
    """Return a matrix for what is quicker on a CPU, small as it is."""
    return np.asarray(matrix.numpy(force=True))


def captured_energy(basis: Tensor, checks: Tensor) -> float:
    """Return the share of the squared length of ``checks`` (d, c) that lies in the span of ``basis`` (d, n)."""
    total = float(vector_norm(checks)) ** 2
    return float(vector_norm(product(basis.T, checks))) ** 2 / total if total > 0 else 1.0
