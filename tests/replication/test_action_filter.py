"""The action filter: with it every policy keeps limits and contraction, and the backup is left as it is."""

import itertools

import numpy as np
import pytest
import torch

from replication.tasks.double_integrator.action_filter import ActionFilter
from replication.tasks.double_integrator.constraints import RolloutConstraint
from replication.tasks.double_integrator.rollout import rollout_policy
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.starts import training_starts, uniform
from replication.tasks.double_integrator.task import backup_module
from scpo.policies import ResidualPolicy

CONTRACTION, HORIZON = 0.5, 20
FILTER = ActionFilter(CONTRACTION, HORIZON)


@pytest.fixture(scope="module")
def starts():
    region = backup_invariant_set().scaled(0.95)
    points = np.vstack(
        [training_starts(region, DoubleIntegratorConfig().starts), uniform(region, 500, np.random.default_rng(0))]
    )
    return torch.from_numpy(points)


def policy(size):
    """Return the backup with a random residual, whose last layer has weights of this size."""
    generator = torch.Generator().manual_seed(0)
    found = ResidualPolicy((2, 16, 1), "tanh", backup=backup_module(), anchored=True, generator=generator)
    with torch.no_grad():
        found.weights[1].copy_(size * torch.randn(16, 1, generator=generator, dtype=torch.float64))
    return found


def values(trajectories):
    facets = torch.from_numpy(backup_invariant_set().facets.copy())
    return RolloutConstraint(facets, CONTRACTION, "max")(trajectories)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_every_policy_keeps_limits_and_contraction(starts, size):
    assert values(rollout_policy(policy(size), starts, HORIZON)).max() > 0
    assert values(rollout_policy(policy(size), starts, HORIZON, FILTER)).max() <= 0


def test_the_backup_is_not_changed(starts):
    plain, filtered = (rollout_policy(policy(0.0), starts, 2 * HORIZON, chosen) for chosen in (None, FILTER))
    torch.testing.assert_close(filtered.inputs, plain.inputs, rtol=0, atol=1e-8)


def test_it_starts_again_after_the_horizon(starts):
    later = rollout_policy(policy(30.0), starts, 3 * HORIZON, FILTER)
    region = backup_invariant_set()
    gauges = [region.gauge(later.states[0, t * HORIZON].numpy()) for t in range(4)]
    for before, after in itertools.pairwise(gauges):
        assert (after <= CONTRACTION * before + 1e-12).all()
