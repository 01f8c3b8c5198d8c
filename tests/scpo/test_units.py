"""The path does not depend on the units of a constraint or of the parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scpo
from replication.planted_faults.smooth import Vector
from scpo.arrays import Array

D, K = 8, 3
RNG = np.random.default_rng(0)
BENDS = RNG.normal(size=(K, D, D))
BENDS = BENDS @ BENDS.transpose(0, 2, 1) / D
SLOPES, OFFSETS, GOAL = RNG.normal(size=(K, D)), -RNG.uniform(0.2, 1.0, K), 3.0 * RNG.normal(size=D)
UPDATES = 60


def path(units: float | Array, size: float, optimizer: str = "sgd", *, verify: bool = False) -> Array:
    """Return the iterates (UPDATES, d), in units of 1, of a run whose constraints and parameters have other units."""
    policy = Vector(np.zeros(D))

    def constraint(policy: Vector) -> Array:
        theta = policy.theta.detach().numpy() / size
        return units * (OFFSETS + SLOPES @ theta + 0.5 * np.einsum("kij,i,j->k", BENDS, theta, theta))

    if optimizer == "sgd":
        inner: torch.optim.Optimizer = torch.optim.SGD(policy.parameters(), lr=0.05 * size**2)
    else:
        inner = torch.optim.Adam(policy.parameters(), lr=0.02 * size, eps=1e-8 / size)
    safe = scpo.SafeOptimizer(inner, policy, constraint, directions=scpo.Isotropic(count=6), verify=verify)
    iterates = []
    for _ in range(UPDATES):
        safe.zero_grad()
        (0.5 * (policy.theta / size - torch.from_numpy(GOAL)).square().sum()).backward()
        assert safe.step().slack >= 0
        iterates.append(policy.theta.detach().numpy() / size)
    return np.array(iterates)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("units", [1e-9, 1.0, 1e9, np.array([1e-9, 1.0, 1e9])], ids=["small", "one", "large", "unlike"])
def test_the_path_is_the_same_in_other_units(units: float | Array, size: float) -> None:
    usual = path(1.0, 1.0)
    assert np.linalg.norm(usual[-1] - usual[0]) > 1.0
    assert path(units, size) == pytest.approx(usual, abs=1e-4)  # probe lengths follow the measured rounding


@pytest.mark.parametrize("size", [2.0**-20, 2.0**20])
@pytest.mark.parametrize("units", [2.0**-30, 2.0**30])
def test_units_that_round_alike_give_the_same_path(units: float, size: float) -> None:
    assert np.array_equal(path(units, size), path(1.0, 1.0))


@pytest.mark.parametrize(("units", "size"), [(1e-6, 1.0), (1.0, 1e6), (np.array([1e-9, 1.0, 1e9]), 1e-6)])
def test_the_path_of_adam_is_the_same_in_other_units(units: float | Array, size: float) -> None:
    assert path(units, size, "adam", verify=True) == pytest.approx(path(1.0, 1.0, "adam", verify=True), abs=1e-4)
