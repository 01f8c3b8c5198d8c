"""Conditions on the residual that suffice for stability of a linear system (claim 5 of the abstract; derived here).

Closed loop: x+ = A_K x + B phi~(x), with A_K = A - B K stable, phi~(x) = phi(x) - phi(0) and |phi~(x)| <= gamma |x|
for all x.  A Lipschitz constant of phi is such a gamma.  With V(x) = x^T P x,

    V(x+) - V(x) = x^T (A_K^T P A_K - P) x + 2 x^T A_K^T P B phi~ + phi~^T B^T P B phi~.                     (1)

*Lyapunov condition.*  Take the backup's own P: A_K^T P A_K - P = -W.  With mu_0 the smallest eigenvalue of W,
mu_1 = |A_K^T P B| and mu_2 = |B^T P B| (spectral norms), (1) is at most -(mu_0 - 2 mu_1 gamma - mu_2 gamma^2) |x|^2:
negative for

    gamma < gamma_1 = (-mu_1 + sqrt(mu_1^2 + mu_0 mu_2)) / mu_2.

*Tightest quadratic condition.*  By the S-procedure some P makes (1) negative for every |phi~| <= gamma |x| iff

    [[A_K^T P A_K - P + gamma^2 I,  A_K^T P B], [B^T P A_K,  B^T P B - I]] < 0                               (2)

has a solution, which by the bounded real lemma holds iff gamma < gamma_2 = 1 / max_{|y| = 1} |(y I - A_K)^-1 B|;
then (1) is at most -(gamma_2^2 - gamma^2) |x|^2.  gamma_1 <= gamma_2.  For the double integrator gamma_2 = K_1, the
backup's position feedback: a residual phi~(x) = K_1 x_1 cancels it and leaves an eigenvalue 1, so no condition on
|phi~| alone can admit more.

Below either bound V decreases by a fixed share each step, so the origin is globally exponentially stable for the
linear dynamics.  The limits of states and inputs need an argument of their own (the set-based certificate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from replication.tasks.double_integrator.system import spectral_radius
from scpo.arrays import Array
from scpo.errors import ConfigurationError
from scpo.policies import ResidualPolicy

#: bounds are lowered by this share, so that rounding cannot make them too large
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ResidualCondition:
    """A condition on the gain gamma of the residual, |phi~(x)| <= gamma |x|, under which V = x^T P x decreases.

    It says that V(x+) - V(x) <= -(mu_0 - 2 mu_1 gamma - mu_2 gamma^2) |x|^2.

    Attributes:
        lyapunov: P, positive definite.
        coefficients: (mu_0, 2 mu_1, mu_2) with mu_0, mu_2 > 0 and mu_1 >= 0.
    """

    lyapunov: Array
    coefficients: tuple[float, float, float]

    @property
    def bound(self) -> float:
        """The largest gain gamma for which V decreases, reduced by a relative 1e-9."""
        constant, linear, square = self.coefficients
        root = (math.sqrt(linear**2 + 4.0 * square * constant) - linear) / (2.0 * square)
        return (1.0 - _ROUNDING) * root

    def decay(self, gain: float) -> float:
        """Return the largest share of V that one step leaves at a residual gain; below 1 for gains up to ``bound``."""
        constant, linear, square = self.coefficients
        decrease = constant - linear * gain - square * gain**2
        return 1.0 - decrease / float(np.linalg.eigvalsh(self.lyapunov)[-1])

    def holds(self, policy: ResidualPolicy) -> bool:
        """Return whether the residual's Lipschitz constant is at most ``bound``: sufficient, not necessary."""
        return policy.anchored and residual_lipschitz(policy) <= self.bound


def _check_stable(closed_loop: Array) -> None:
    radius = spectral_radius(closed_loop)
    if radius >= 1.0:
        raise ConfigurationError(f"backup: its closed loop is not stable, spectral radius {radius}")


def lyapunov_condition(closed_loop: Array, push: Array, weight: Array | None = None) -> ResidualCondition:
    """Return the condition |r(x)| <= gamma |x|, gamma < gamma_1, that the backup's own Lyapunov function proves.

    Args:
        closed_loop: A_K (n, n), stable.
        push: B (n, 1).
        weight: W (n, n), positive definite; identity by default.

    Raises:
        ConfigurationError: the closed loop is not stable, or W not positive definite.
    """
    _check_stable(closed_loop)
    weight = np.eye(len(closed_loop)) if weight is None else weight
    smallest = float(np.linalg.eigvalsh(weight)[0])
    if smallest <= 0.0:
        raise ConfigurationError(f"weight: W is not positive definite, smallest eigenvalue {smallest}")
    lyapunov = solve_discrete_lyapunov(closed_loop.T, weight)
    cross = float(np.linalg.norm(closed_loop.T @ lyapunov @ push, 2))
    square = float(np.linalg.norm(push.T @ lyapunov @ push, 2))
    return ResidualCondition(lyapunov, (smallest, 2.0 * cross, square))


def _decrease(closed_loop: Array, push: Array, lyapunov: Array, gamma: float) -> float:
    """Return the largest eigenvalue of the matrix in (2); it is negative if P proves gamma."""
    corner = closed_loop.T @ lyapunov @ closed_loop - lyapunov + gamma**2 * np.eye(len(closed_loop))
    cross = closed_loop.T @ lyapunov @ push
    square = push.T @ lyapunov @ push - np.eye(push.shape[1])
    return float(np.linalg.eigvalsh(np.block([[corner, cross], [cross.T, square]]))[-1])


def _bounded_real(closed_loop: Array, push: Array, gamma: float) -> Array | None:
    """Return a P > 0 that satisfies (2) strictly, from its Riccati equation; None if there is none."""
    try:  # a slightly larger gamma in the equation leaves strict slack in (2)
        weight = (gamma * (1.0 + 1e-6)) ** 2 * np.eye(len(closed_loop))
        lyapunov = solve_discrete_are(closed_loop, push, weight, -np.eye(push.shape[1]))
    except np.linalg.LinAlgError:
        return None
    if np.linalg.eigvalsh(lyapunov)[0] <= 0.0 or _decrease(closed_loop, push, lyapunov, gamma) >= 0.0:
        return None
    return np.asarray(lyapunov)


def tightest_condition(closed_loop: Array, push: Array, *, tolerance: float = 1e-5) -> ResidualCondition:
    """Return the condition |r(x)| <= gamma |x|, gamma < gamma_2, the weakest that a quadratic V can prove.

    gamma_2 is found by bisection; inequality (2) is checked for each accepted value, by eigenvalues.

    Args:
        closed_loop: A_K (n, n), stable.
        push: B (n, 1).
        tolerance: the relative tolerance of the bisection.

    Raises:
        ConfigurationError: the closed loop is not stable.
    """
    start = lyapunov_condition(closed_loop, push)
    low, best = 0.5 * start.bound, _bounded_real(closed_loop, push, 0.5 * start.bound)
    if best is None:
        return start
    high = 1.0 / float(np.linalg.norm(np.linalg.solve(np.eye(len(closed_loop)) - closed_loop, push), 2))  # w = 0
    while high - low > tolerance * low:
        middle = 0.5 * (low + high)
        lyapunov = _bounded_real(closed_loop, push, middle)
        if lyapunov is None:
            high = middle
        else:
            low, best = middle, lyapunov
    return ResidualCondition(best, (low**2, 0.0, 1.0))


@torch.no_grad()
def residual_lipschitz(policy: ResidualPolicy) -> float:
    """Return a Lipschitz constant of phi: the product of its weights' spectral norms.

    It is valid because relu, tanh and softplus are 1-Lipschitz.
    """
    return math.prod(float(torch.linalg.matrix_norm(weight, 2)) for weight in policy.weights)


def equilibrium_jacobian(policy: ResidualPolicy, matrix: Array, push: Array) -> Array:
    """Return A + B d pi(0)/dx (n, n), the Jacobian at the origin of the closed loop x+ = A x + B pi(x)."""
    origin = torch.zeros(1, len(matrix), dtype=torch.float64, requires_grad=True)
    (gain,) = torch.autograd.grad(policy(origin).sum(), origin)
    return np.asarray(matrix + push @ gain.numpy())
