"""With many parameters the same numbers are made part by part, so that they are not held several times."""

import numpy as np
import pytest
import torch

import scpo
from scpo import basis, constraint, directions
from scpo.policies import ResidualPolicy

STATES = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64)[:, None]


def trained(updates=8, **options):
    generator = torch.Generator().manual_seed(0)
    policy = ResidualPolicy((1, 6, 6, 1), "tanh", generator=generator)

    def limits(parameters):
        return policy.stacked(parameters, STATES)[..., 0] - 0.3

    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    given = scpo.Constraint(limits, batched=True)
    safe = scpo.SafeOptimizer(optimizer, policy, given, directions=scpo.Tangent(STATES, count=8), **options)
    records = []
    for _ in range(updates):
        safe.zero_grad()
        (policy(STATES) - torch.sin(3.0 * STATES)).square().mean().backward()
        records.append(safe.step())
    return torch.cat([parameter.detach().reshape(-1) for parameter in policy.parameters()]), records


@pytest.mark.parametrize("numbers", [1, 100])
def test_parts_give_the_same_training(monkeypatch, numbers):
    whole, records = trained()
    monkeypatch.setattr(constraint, "TOGETHER", numbers)
    monkeypatch.setattr(directions, "TOGETHER", numbers)
    monkeypatch.setattr(basis, "PART", numbers)
    parts, others = trained()
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    assert [one.rollouts for one in others] == [one.rollouts for one in records]


def test_long_rows_are_overwritten_by_their_combinations(monkeypatch):
    generator = np.random.default_rng(0)
    rows, coefficients = torch.from_numpy(generator.normal(size=(5, 40))), generator.normal(size=(3, 5))
    expected = torch.from_numpy(coefficients) @ rows
    monkeypatch.setattr(basis, "PART", 35)
    place = rows.data_ptr()
    found = basis._combined(coefficients, rows)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found.data_ptr() == place
