"""Rollouts that diverge: NaN and infinity are unsafe, end no run, and teach nothing of L."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from replication.planted_faults.smooth import Vector
from scpo.errors import NonFiniteError
from scpo.optimizer import SafeOptimizer
from scpo.records import StepInfo

from .small_networks import assemble

WISH = torch.tensor([1.0, 0.3], dtype=torch.float64)
OUTCOMES = [np.nan, np.inf, -np.inf]


def wall(outcome: float, at: float = 0.9, limit: float = 0.8) -> Callable[[Vector], list[float]]:
    """A disc and x <= ``limit``; the simulation ends with ``outcome`` beyond x = ``at``."""

    def constraint(policy: Vector) -> list[float]:
        x, y = policy.theta.tolist()
        return [x * x + y * y - 1.0, x - limit] if x <= at else [outcome, outcome]

    return constraint


def build(constraint: Callable[..., Any], rate: float = 0.05, **options: Any) -> SafeOptimizer:
    policy = Vector(np.zeros(2))
    optimizer = options.pop("inner", torch.optim.SGD)(policy.parameters(), lr=rate)
    return assemble(optimizer, policy, constraint, **{"directions": "isotropic", "look": False} | options)


def steps(safe: SafeOptimizer, updates: int) -> list[StepInfo]:
    infos = []
    for _ in range(updates):
        safe.zero_grad()
        (safe.policy.theta - WISH).square().sum().backward()
        infos.append(safe.step())
    return infos


def left(safe: SafeOptimizer) -> float:
    return float((safe.vector.read() - WISH).square().sum())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the last 50 steps")  # of 150, the last are taken at the optimum
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("rate", [0.05, 0.5])
@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.Adam])
def test_a_wall_behind_the_limit_does_not_keep_from_the_optimum(
    outcome: float, look: bool, rate: float, inner: Any
) -> None:
    safe = build(wall(outcome, at=0.801), rate, look=look, inner=inner)
    infos = steps(safe, 150)
    assert all(info.slack >= 0 for info in infos)
    assert left(safe) == pytest.approx(0.04, abs=1e-3)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("look", [True, False])
def test_a_wall_without_a_slope_is_met_and_never_crossed(outcome: float, look: bool) -> None:
    safe = build(wall(outcome, at=0.7), look=look, smoothness=2.0)
    infos = steps(safe, 60)
    assert all(info.slack >= 0 for info in infos)
    assert sum(info.unsafe_looks if look else info.unsafe_proposals for info in infos) > 0
    assert 0.69 < safe.vector.read()[0] <= 0.7
    assert all(info.smoothness_max == 2.0 for info in infos)


def test_a_diverged_proposal_halves_the_next() -> None:
    def runs(at: float) -> tuple[StepInfo, dict[str, Any], float]:
        safe = build(wall(np.inf, at=at), rate=0.2)
        (info,) = steps(safe, 1)
        return info, safe.smoothness.state_dict(), float(safe.vector.read()[0])

    free, told, end = runs(0.9)
    info, learned, halved = runs(end - 1e-6)
    assert free.unsafe_proposals == 0
    assert (info.proposals, info.unsafe_proposals) == (2, 1)
    assert halved == pytest.approx(0.5 * end, rel=1e-6)
    assert learned["observed"].max() == pytest.approx(told["observed"].max(), rel=2e-3)  # one proposal of decay
    assert info.step_norm == pytest.approx(0.5 * free.step_norm, rel=1e-6)


@pytest.mark.parametrize("look", [True, False])
def test_on_the_bound_alone_an_unsafe_iterate_is_left_again(look: bool) -> None:
    safe = build(wall(np.nan, at=0.7), verify=False, look=look, smoothness=2.0)
    infos = steps(safe, 60)
    unsafe = [index for index, info in enumerate(infos[:-1]) if info.slack < 0]
    assert unsafe
    for index in unsafe:
        assert infos[index].slack == -np.inf
        assert infos[index].unsafe_proposals == 1
        assert infos[index + 1].returned and infos[index + 1].slack >= 0
        if index + 2 < len(infos):
            assert infos[index + 2].step_norm <= 0.5 * infos[index].step_norm * (1 + 1e-9)
    assert all(info.smoothness_max == 2.0 for info in infos if not info.returned)


def test_the_way_back_and_its_length_survive_a_checkpoint() -> None:
    def fresh() -> SafeOptimizer:
        return build(wall(np.nan, at=0.7), verify=False, smoothness=2.0)

    safe, twin = fresh(), fresh()
    while steps(safe, 1)[0].slack >= 0:
        pass
    disk = io.BytesIO()
    torch.save({"policy": safe.policy.state_dict(), "safe": safe.state_dict()}, disk)
    disk.seek(0)
    stored = torch.load(disk, weights_only=True)
    twin.policy.load_state_dict(stored["policy"])
    twin.load_state_dict(stored["safe"])
    paths = [[info.step_norm for info in steps(one, 5)] for one in (safe, twin)]
    assert paths[0] == paths[1]
    assert torch.equal(twin.vector.read(), safe.vector.read())


def test_a_direction_whose_probe_diverges_is_dropped() -> None:
    def constraint(policy: Vector) -> list[float]:
        x, y = policy.theta.tolist()
        return [y - 0.2] if abs(x) < 1e-12 else [np.inf]  # any move of x

    policy = Vector([0.0, 0.0])
    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(inner, policy, constraint, directions="isotropic", smoothness=0.0)
    policy.theta.grad = torch.tensor([0.0, -1.0], dtype=torch.float64)  # Q is the nominal direction and the x axis
    info = safe.step()
    assert info.unsafe_probes == 1
    assert policy.theta.tolist() == pytest.approx([0.0, 0.1])
    assert info.slack == pytest.approx(0.1)


def test_where_every_probe_diverges_theta_stays_with_a_warning() -> None:
    policy = Vector([0.0, 0.0])

    def constraint(policy: Vector) -> list[float]:
        return [np.nan] if policy.theta.any() else [-1.0]

    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(inner, policy, constraint, directions="isotropic", rounding=1e-12)
    for _ in range(2):
        policy.theta.grad = torch.ones(2, dtype=torch.float64)
        with pytest.warns(UserWarning, match="every probe"):
            info = safe.step()
        assert policy.theta.tolist() == [0.0, 0.0]
        assert (info.step_norm, info.slack) == (0.0, 1.0)
    assert info.unsafe_probes == 2


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_start_that_diverges_is_refused(outcome: float) -> None:
    with pytest.raises(NonFiniteError, match="value 0"):
        build(wall(outcome, at=-1.0))


@pytest.mark.parametrize("verify", [True, False])
def test_a_constraint_that_diverges_after_a_change_is_an_error(verify: bool) -> None:
    at = [0.9]
    safe = build(lambda policy: wall(np.inf, at=at[0])(policy), verify=verify)
    steps(safe, 3)
    at[0] = -1.0
    with pytest.raises(NonFiniteError):
        safe.refresh()
    with pytest.raises(NonFiniteError):
        steps(safe, 1)
    at[0] = 0.9
    assert steps(safe, 1)[0].slack >= 0


def test_the_target_that_is_left_descends_in_the_metric_too() -> None:
    """Where the column of the nominal step is lost, what is taken still goes down the loss."""
    moved = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        push, metric = (torch.from_numpy(entries) for entries in (rng.normal(size=3), np.exp(rng.normal(size=3))))
        nominal, policy = -push / metric, Vector(np.zeros(3))

        def constraint(policy: Vector, nominal: torch.Tensor = nominal) -> list[float]:
            theta = policy.theta.detach()
            along = float(theta @ nominal / nominal.norm())
            return [np.nan if along > 0.9 * float(theta.norm()) else 1e-3 * along - 1.0]

        class Scaled(torch.optim.SGD):
            def step(self, closure: Any = None, nominal: torch.Tensor = nominal) -> None:  # type: ignore[override]
                with torch.no_grad():
                    self.param_groups[0]["params"][0].add_(nominal)

        options = {"smoothness": 1.0, "metric": metric, "descent": False, "seed": seed, "count": 3, "rounding": 1e-12}
        inner = Scaled(policy.parameters(), lr=1.0)
        safe = assemble(inner, policy, constraint, directions="isotropic", **options)
        policy.theta.grad = push.clone()
        assert safe.step().unsafe_probes > 0
        taken = policy.theta.detach()
        moved += bool(taken.norm() > 1e-9)
        assert float(push @ taken) <= 1e-12
    assert moved > 0
