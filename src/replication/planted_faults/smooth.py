"""Smooth constraints with proven constants L, and checks of the guarantees that must hold for them.

The library's tests use this module, so it needs nothing but the library and its dependencies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scpo.arrays import Array
from scpo.optimizer import SafeOptimizer
from scpo.records import StepInfo

#: max |tanh''|
TANH_CURVATURE = 4.0 / (3.0 * np.sqrt(3.0))


class Vector(nn.Module):
    """A policy whose only parameter is a vector theta."""

    def __init__(self, theta: Any, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.as_tensor(np.array(theta), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return x theta."""
        return x @ self.theta


@dataclass(frozen=True)
class Smooth:
    """A smooth constraint with k values that is satisfied at theta = 0.

    Attributes:
        dimension: d, the length of theta.
        values: the function g, (m, d) -> (m, k).
        constants: L (k,), Lipschitz constants of the gradients, proven.
        gradients: the gradients of g, (d,) -> (k, d).
    """

    dimension: int
    values: Callable[[Array], Array]
    constants: Array
    gradients: Callable[[Array], Array]

    def constraint(self, policy: Vector) -> Array:
        """Return g (k,) of a policy."""
        return np.asarray(self.values(policy.theta.numpy().astype(np.float64)[None])[0])

    def batched(self, stacked: Mapping[str, Tensor]) -> Array:
        """Return g (m, k) of m policies."""
        return self.values(stacked["theta"].numpy().astype(np.float64))


def quadratics(seed: int, d: int = 5, k: int = 3) -> Smooth:
    """Return g_i = c_i + b_i^T theta + theta^T A_i theta / 2 with indefinite A_i; L_i = |A_i|_2."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, d, d))
    a = 0.5 * (a + a.transpose(0, 2, 1))
    b, c = rng.normal(size=(k, d)), -rng.uniform(0.05, 1.0, k)
    return Smooth(
        d,
        lambda t: c + t @ b.T + 0.5 * np.einsum("md,kde,me->mk", t, a, t),
        np.abs(np.linalg.eigvalsh(a)).max(axis=1),
        lambda t: b + np.einsum("kde,e->kd", a, t),
    )


def waves(seed: int, d: int = 6, k: int = 3, terms: int = 4) -> Smooth:
    """Return g_i = c_i + sum_m w_im sin(o_im^T theta + f_im); L_i = sum_m |w_im| |o_im|^2."""
    rng = np.random.default_rng(seed)
    w, o, f = rng.normal(size=(k, terms)), rng.normal(size=(k, terms, d)), rng.uniform(0, 6.3, (k, terms))
    at_zero = (w * np.sin(f)).sum(axis=1)
    c = -at_zero - rng.uniform(0.05, 1.0, k)
    return Smooth(
        d,
        lambda t: c + (w * np.sin(np.einsum("ktd,md->mkt", o, t) + f)).sum(axis=2),
        (np.abs(w) * (o**2).sum(axis=2)).sum(axis=1),
        lambda t: np.einsum("kt,ktd->kd", w * np.cos(o @ t + f), o),
    )


def network(seed: int, hidden: int = 3, states: int = 4) -> Smooth:
    """Return g_i = phi(x_i) - limit_i for a network phi(x) = sum_j v_j tanh(w_j x + b_j), theta = (w, b), v fixed.

    With h = (x, 1) the Hessian is block diagonal over j, with blocks v_j tanh''(.) h h^T.  Hence
    L_i = max |v_j| max |tanh''| |h_i|^2.
    """
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=states), rng.normal(size=hidden)
    w0, b0 = rng.normal(size=hidden), rng.normal(size=hidden)

    def inner(t: Array) -> Array:  # (m, states, hidden)
        return x[:, None] * (w0 + t[:, None, :hidden]) + b0 + t[:, None, hidden:]

    limits = np.tanh(inner(np.zeros((1, 2 * hidden)))[0]) @ v + rng.uniform(0.05, 0.5, states)

    def gradients(t: Array) -> Array:
        slope = v * (1 - np.tanh(inner(t[None])[0]) ** 2)
        return np.concatenate([slope * x[:, None], slope], axis=1)

    return Smooth(
        2 * hidden,
        lambda t: np.tanh(inner(t)) @ v - limits,
        np.abs(v).max() * TANH_CURVATURE * (1 + x**2),
        gradients,
    )


PROBLEMS: dict[str, Callable[[int], Smooth]] = {"quadratics": quadratics, "waves": waves, "network": network}


@dataclass(frozen=True)
class Step:
    """One update, as it is seen from outside the method.

    Attributes:
        info: the record that the optimiser returned.
        before: g (k,) before the update.
        after: g (k,) after it.
        moved: the step that was taken (d,).
        nominal: the step that the wrapped optimiser proposed (d,).
        gradient: the gradient of the loss before the update (d,).
        loss_before: the loss before the update.
        loss_after: the loss after it.
        metric: the diagonal of M^-1 (d,) in whose norm the step was projected; ones for the Euclidean norm.
    """

    info: StepInfo
    before: Array
    after: Array
    moved: Array
    nominal: Array
    gradient: Array
    loss_before: float
    loss_after: float
    metric: Array


def away(seed: int, policy: Vector, distance: float = 3.0) -> Callable[[], Tensor]:
    """Return a 1-smooth loss |theta - target|^2 / 2.  If the target is far away, training ends at the constraint."""
    target = torch.from_numpy(distance * np.random.default_rng([seed, 1]).normal(size=policy.theta.numel()))
    return lambda: 0.5 * ((policy.theta - target.to(policy.theta)) ** 2).sum()


#: name -> constructor of an optimiser to wrap
INNER: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda policy: torch.optim.SGD(policy.parameters(), lr=0.3),
    "momentum": lambda policy: torch.optim.SGD(policy.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda policy: torch.optim.Adam(policy.parameters(), lr=0.05),
}


def run(safe: SafeOptimizer, loss: Callable[[], Tensor], updates: int) -> list[Step]:
    """Take updates and return their records."""
    steps = []
    for _ in range(updates):
        before, theta = safe.values, safe.vector.read().numpy()
        safe.zero_grad()
        value = loss()
        value.backward()
        nominal, gradient = _nominal(safe), safe.vector.gradient().numpy()
        info = safe.step()
        moved = safe.vector.read().numpy() - theta
        with torch.no_grad():
            after_loss = float(loss())
        metric = np.ones_like(theta) if safe.metric is None else safe.metric.numpy()
        losses = float(value.detach()), after_loss
        steps.append(Step(info, before, safe.values, moved, nominal, gradient, *losses, metric))
    return steps


def _nominal(safe: SafeOptimizer) -> Array:
    """Return the step (d,) that the wrapped optimiser would take now; policy and optimiser stay as they are."""
    theta = safe.vector.read()
    state = copy.deepcopy(safe.optimizer.state_dict())
    safe.optimizer.step()
    nominal: Array = (safe.vector.read() - theta).numpy()
    safe.vector.write(theta)
    if state["state"]:
        safe.optimizer.load_state_dict(state)
    else:
        safe.optimizer.state.clear()
    return nominal


def broken_guarantees(steps: list[Step], kappa: float, rounding: Array) -> set[str]:
    """Return the names of the guarantees that some step broke.

    "safe": g <= 0; "bound": g is at most the bound U; "slack": a step uses at most the share kappa of the slack;
    "projection": |z|^2 <= z^T p in the norm of the projection, for the nominal step p; "descent": a step does not
    increase the loss to first order.
    """
    broken = set()
    for step in steps:
        if (step.after > 0).any():
            broken.add("safe")
        if step.info.bound_misses:
            broken.add("bound")
        if (step.after > (1 - kappa) * step.before + 2 * rounding).any():
            broken.add("slack")
        # theta + Q z is rounded, which matters if the step is tiny
        error = 1e-11 * float(np.linalg.norm(step.moved)) + 1e-14
        weighted = step.metric * step.moved
        excess = weighted @ step.moved - weighted @ step.nominal
        if not step.info.restoring and excess > error * np.linalg.norm(step.metric * step.nominal):
            broken.add("projection")
        if not step.info.restoring and step.gradient @ step.moved > error * np.linalg.norm(step.gradient):
            broken.add("descent")
    return broken
