"""Small policies, their constraints and losses, and the fingerprint of everything that a step may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replication.planted_faults.smooth import Smooth, Vector
from scpo.directions import Isotropic, Mixed, Tangent
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.policies import ResidualPolicy
from scpo.records import StepInfo
from scpo.smoothness import EstimatedSmoothness, FixedSmoothness, Smoothness

STATES = torch.linspace(-2.0, 2.0, 6, dtype=torch.float64)[:, None]
TARGET = torch.sin(2.0 * STATES)

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda policy: torch.optim.SGD(policy.parameters(), lr=0.1),
    "momentum": lambda policy: torch.optim.SGD(policy.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda policy: torch.optim.Adam(policy.parameters(), lr=0.05),
    "amsgrad": lambda policy: torch.optim.AdamW(policy.parameters(), lr=0.05, amsgrad=True, weight_decay=0.1),
}


def residual(seed: int = 0, dtype: torch.dtype = torch.float64) -> ResidualPolicy:
    return ResidualPolicy((1, 4, 1), "tanh", generator=torch.Generator().manual_seed(seed), dtype=dtype)


def outputs_within(limit: float = 0.4) -> Callable[[nn.Module], np.ndarray]:
    """|pi(x)| <= limit at the states, computed by NumPy from here on."""

    def constraint(policy: nn.Module) -> np.ndarray:
        outputs = policy(STATES.to(next(policy.parameters()).dtype)).numpy().astype(np.float64).reshape(-1)
        return np.concatenate([outputs, -outputs]) - limit

    return constraint


def outputs_within_batched(policy: ResidualPolicy, limit: float = 0.4) -> Callable[[Mapping[str, Tensor]], Tensor]:
    def constraint(stacked: Mapping[str, Tensor]) -> Tensor:
        outputs = policy.stacked(stacked, STATES)[..., 0]
        return torch.cat([outputs, -outputs], dim=1) - limit

    return constraint


def loss(policy: nn.Module) -> Tensor:
    dtype = next(policy.parameters()).dtype
    return ((policy(STATES.to(dtype)) - TARGET.to(dtype)) ** 2).mean()


def assemble(
    optimizer: torch.optim.Optimizer, policy: nn.Module, constraint: Callable[..., Any], **options: Any
) -> SafeOptimizer:
    """Return a safe optimiser; the options of its constraint, directions and constants are given side by side."""

    def taken(*names: str) -> dict[str, Any]:
        return {name: options.pop(name) for name in names if name in options}

    black_box = Constraint(constraint, **taken("batched", "tightening", "timeout", "rounding", "may_be_flat"))
    probing = taken("count", "recycled", "probe_length", "safe_probes")
    states = options.pop("states", None)
    directions = options.pop("directions", "isotropic" if states is None else "tangent")
    if directions == "isotropic":
        directions = Isotropic(**probing)
    elif isinstance(directions, str):
        directions = {"tangent": Tangent, "mixed": Mixed}[directions](states, **probing)
    bound = options.pop("gradient_bound", None)
    if isinstance(options.get("smoothness"), Smoothness):
        options["smoothness"].gradient_bound = bound
    elif bound is not None:
        options["smoothness"] = FixedSmoothness(options["smoothness"], gradient_bound=bound)
    return SafeOptimizer(optimizer, policy, black_box, directions=directions, **options)


def wrap(policy: nn.Module, inner: str = "momentum", **options: Any) -> SafeOptimizer:
    options = {"constraint": outputs_within(), "states": STATES, "smoothness": 1.0} | options
    if isinstance(options.get("directions", ""), str):
        options = {"count": 5} | options
    return assemble(OPTIMIZERS[inner](policy), policy, **options)


def train(safe: SafeOptimizer, updates: int) -> list[Tensor]:
    """Take updates and return the iterates."""
    iterates = []
    for _ in range(updates):
        safe.zero_grad()
        loss(safe.policy).backward()
        safe.step()
        iterates.append(safe.vector.read())
    return iterates


def follow(
    problem: Smooth, smoothness: Smoothness | EstimatedSmoothness, push: np.ndarray, updates: int, **options: Any
) -> tuple[SafeOptimizer, list[StepInfo]]:
    """Take steps along ``push`` (updates, d) from the origin, on the bound alone and without a look by default."""
    policy = Vector(np.zeros(problem.dimension))
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=1.0),
        policy,
        constraint=problem.batched,
        batched=True,
        smoothness=smoothness,
        directions="isotropic",
        **{"count": problem.dimension, "probe_length": 1e-7, "rounding": 1e-15, "verify": False, "look": False}
        | options,
    )
    steps = []
    for direction in push[:updates]:
        policy.theta.grad = torch.from_numpy(-direction)
        steps.append(safe.step())
    return safe, steps


def as_bytes(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with all tensors as bytes."""
    return {name: as_bytes(one) if isinstance(one, dict) else one.numpy().tobytes() for name, one in state.items()}


def fingerprint(safe: SafeOptimizer) -> list[Any]:
    """Everything that must be as before when a step fails, as comparable bytes."""
    inner = safe.optimizer.state_dict()
    moments = [
        (key, name, value.numpy().tobytes() if isinstance(value, Tensor) else value)
        for key, entry in sorted(inner["state"].items())
        for name, value in sorted(entry.items())
    ]
    learned = [(name, np.asarray(value).tobytes()) for name, value in sorted(safe.smoothness.state_dict().items())]
    policy = [(name, value.numpy().tobytes()) for name, value in safe.policy.state_dict().items()]
    modes = [module.training for module in safe.policy.modules()]
    mine = safe.state_dict()
    own = [mine[name].numpy().tobytes() for name in ("theta", "values", "rounding", "generator")]
    memory = as_bytes(mine["memory"] or {})
    return [policy, modes, moments, inner["param_groups"], learned, own, memory, mine["count"], mine["updates"]]
