"""One update: modes, counts, restoring, safe probes, rounding, the small cases."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from replication.planted_faults.smooth import INNER, Smooth, Vector, away, broken_guarantees, quadratics, run, waves
from scpo.errors import SolverError
from scpo.optimizer import SafeOptimizer
from scpo.projection.project import project_onto
from scpo.records import StepInfo
from scpo.smoothness import EstimatedSmoothness

from .small_networks import assemble, loss, outputs_within, residual, train, wrap


def vector(problem: Smooth, inner: str = "momentum", **options: Any) -> SafeOptimizer:
    policy = Vector(np.zeros(problem.dimension))
    options = {"smoothness": problem.constants, "directions": "isotropic", "count": 4} | options
    return assemble(INNER[inner](policy), policy, constraint=problem.batched, batched=True, **options)


def pushed(safe: SafeOptimizer, seed: int, updates: int) -> list[Any]:
    return run(safe, away(seed, safe.policy), updates)


# verified mode


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("samples", [1, 3, 6])
@pytest.mark.parametrize(("verify", "look"), [(True, False), (False, False), (True, True)])
def test_an_update_costs_its_probes_a_look_and_one_rollout(samples: int, verify: bool, look: bool) -> None:
    safe = vector(waves(0), count=samples, verify=verify, rounding=1e-14, look=look)
    before = safe.evaluate.rollouts
    for step in pushed(safe, 0, 5):
        assert step.info.step_norm > 0
        assert step.info.looks >= int(look)
        assert step.info.rollouts - before == samples + step.info.looks + 1
        before = step.info.rollouts


@pytest.mark.usefixtures("unwatched")
def test_verifications_rollout_is_the_next_base_value() -> None:
    policy = residual()
    evaluated: list[torch.Tensor] = []

    def constraint(module: nn.Module) -> np.ndarray:
        evaluated.append(torch.cat([p.detach().reshape(-1) for p in module.parameters()]).clone())
        return outputs_within()(module)

    safe = wrap(policy, constraint=constraint, directions="isotropic", recycled=0)
    for _ in range(4):
        evaluated.clear()
        train(safe, 1)
        assert len(evaluated) == 7  # a look among them
        assert torch.equal(evaluated[-1], safe.vector.read())
        assert not any(torch.equal(evaluated[0], other) for other in evaluated[1:])


@pytest.mark.parametrize("retries", [0, 2, 20])
def test_unsafe_proposals_raise_the_constants(retries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scpo.proposals.MAX_RETRIES", retries)
    problem = waves(3)
    safe = vector(problem, smoothness=1e-4 * problem.constants, kappa=1.0, look=False)
    stayed, rejected = 0, 0
    for step in pushed(safe, 3, 25):
        info = step.info
        assert (step.after <= 0).all()
        assert info.proposals <= retries + 1
        if info.step_norm == 0:
            stayed += 1
            assert not step.moved.any()
            assert np.array_equal(step.after, step.before)
            assert info.unsafe_proposals == info.proposals == retries + 1
        else:
            rejected += info.unsafe_proposals
            assert info.unsafe_proposals == info.proposals - 1
            factor = info.smoothness_max / (1e-4 * problem.constants.max())
            assert factor >= 2 ** (info.proposals - 1) * 0.2
    assert (stayed if retries == 0 else rejected) > 0


def test_estimated_constants_remember_a_rejection() -> None:
    rejections = 0
    for seed in range(4):
        safe = vector(waves(seed), smoothness=EstimatedSmoothness(), kappa=1.0, count=6, look=False)
        safe.smoothness.measure(np.full(3, 1e-4), 10.0)
        first = safe.smoothness.constants().max()
        steps = pushed(safe, seed, 10)
        assert all((step.after <= 0).all() for step in steps)
        if sum(step.info.unsafe_proposals for step in steps):
            rejections += 1
            assert safe.smoothness.constants().max() > 100 * first
    assert rejections > 0


def test_bound_only_takes_what_the_bound_says() -> None:
    problem = waves(3)
    safe = vector(problem, smoothness=1e-4 * problem.constants, verify=False, kappa=1.0, look=False)
    steps = pushed(safe, 3, 25)
    unsafe = [step for step in steps if step.info.unsafe_proposals]
    assert unsafe
    for step in unsafe:
        assert (step.after > 0).any()
        assert step.info.slack == -float(step.after.max()) < 0
        assert step.info.worst_miss > 0
        assert step.info.bound_misses > 0
        assert step.info.required_max > step.info.smoothness_max


# restoring


@pytest.mark.parametrize("seed", range(4))
def test_restoring_steps_lead_back_after_a_failed_bound(seed: int) -> None:
    problem = waves(seed)
    safe = vector(problem, smoothness=1e-2 * problem.constants, verify=False, kappa=1.0, count=6, look=False)
    steps = pushed(safe, seed, 40)
    unsafe = [index for index, step in enumerate(steps) if (step.after > 0).any()]
    assert unsafe
    for index, step in enumerate(steps[:-1]):
        assert steps[index + 1].info.restoring == (step.after > 0).any()
    last = unsafe[-1]
    tail = steps[last + 1 :] if last < len(steps) - 1 else pushed(safe, seed, 12)
    assert any((step.after <= 0).all() for step in tail)


def test_restoring_with_proven_constants_hurts_no_other() -> None:
    problem = quadratics(2)
    directions = np.random.default_rng(5).normal(size=(400, problem.dimension))
    values = problem.values(directions)
    start = next(t for t, g in zip(directions, values, strict=True) if (g > 0.3).sum() == 1)
    safe = vector(problem, verify=False, count=5)
    with torch.no_grad():
        safe.policy.theta.copy_(torch.from_numpy(start))
    before = problem.values(start[None])[0]
    back = False
    for _ in range(60):
        (step,) = pushed(safe, 2, 1)
        if not step.info.restoring:
            back = True
            break
        violated = before > 0
        assert (step.after[violated] < before[violated]).all()
        assert (step.after[~violated] <= 2 * safe.rounding[~violated]).all()
        assert step.info.bound_misses == 0
        before = step.after
    assert back


def test_restoring_works_with_safe_probes_on() -> None:
    problem = quadratics(1)
    start = next(t for t in np.random.default_rng(1).normal(size=(200, 5)) if problem.values(t[None]).max() > 0.2)
    safe = vector(problem, verify=False, count=5, safe_probes=True, gradient_bound=10.0)
    with torch.no_grad():
        safe.policy.theta.copy_(torch.from_numpy(start))
    steps = pushed(safe, 1, 40)
    assert steps[0].info.restoring
    assert (steps[-1].after <= 0).all()


# safe probes


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize(("seed", "samples"), [(0, 3), (1, 3), (1, 6), (2, 6)])
def test_safe_probes_are_safe_and_cost_no_rollouts(seed: int, samples: int) -> None:
    problem = waves(seed)
    gradient = np.linalg.norm(problem.gradients(np.zeros(problem.dimension)), axis=1)
    options: dict[str, Any] = {"kappa": 1.0, "count": samples, "verify": False, "probe_length": 0.05, "rounding": 1e-14}
    options["look"] = False
    count: dict[bool, int] = {}
    for safe_probes in (True, False):
        safe = vector(problem, safe_probes=safe_probes, gradient_bound=gradient, **options)
        steps = pushed(safe, seed, 60)
        count[safe_probes] = sum(step.info.unsafe_probes for step in steps)
        assert steps[-1].info.rollouts <= 2 + 60 * (samples + 1)  # the price is a larger e, hence a smaller step
        assert broken_guarantees(steps, 1.0, safe.rounding) == set()
    assert count[True] == 0
    assert count[False] > 0, "no probe was near the boundary, so the test shows nothing"


def test_carried_gradient_bound_covers_directions_never_probed() -> None:
    # two directions of six are probed at a time; what they show is no bound on the whole gradient
    for seed in range(3):
        problem = waves(seed)
        start = np.linalg.norm(problem.gradients(np.zeros(problem.dimension)), axis=1)
        safe = vector(problem, safe_probes=True, gradient_bound=start, count=2, verify=False)
        for _ in range(30):
            pushed(safe, seed, 1)
            true = np.linalg.norm(problem.gradients(safe.vector.read().numpy()), axis=1)
            assert (true <= safe.state_dict()["gradient_bound"].numpy()).all()


@pytest.mark.usefixtures("unwatched")
def test_without_a_gradient_bound_each_basis_is_probed_twice() -> None:
    safe = vector(waves(1), safe_probes=True, count=3, verify=False, rounding=1e-14, look=False)
    before = safe.evaluate.rollouts
    for step in pushed(safe, 1, 5):
        assert step.info.rollouts - before == 3 + 3 + 1
        assert step.info.unsafe_probes == 0
        before = step.info.rollouts
    full = vector(waves(1), safe_probes=True, count=6, verify=False, rounding=1e-14, look=False)  # n = d: all is seen
    first, second = pushed(full, 1, 2)
    assert second.info.rollouts - first.info.rollouts == 6 + 1


# rounding


def test_larger_parameters_are_measured_again_for_rounding() -> None:
    # a difference of parameters that grow together
    policy = Vector(np.zeros(2))
    inner = torch.optim.SGD(policy.parameters(), lr=1.0)
    safe = assemble(
        inner, policy, lambda p: [1e3 * (p.theta[0] - p.theta[1]).item() - 1.0], smoothness=0.0, directions="isotropic"
    )
    small = float(safe.rounding[0])
    extra = 0
    for _ in range(12):
        rollouts = safe.evaluate.rollouts
        safe.zero_grad()
        (-policy.theta.sum()).backward()
        info = safe.step()
        assert info.step_norm > 1.0
        extra += info.rollouts - rollouts - info.looks - 3
    assert float(safe.rounding[0]) > 100 * small
    assert 15 <= extra <= 20  # where |theta| has left 0 and where it has doubled, never at each update


def test_given_rounding_is_kept() -> None:
    safe = vector(waves(0), rounding=1e-9)
    pushed(safe, 0, 20)
    assert (safe.rounding == 1e-9).all()
    exact = vector(waves(0), rounding=0.0, smoothness=waves(0).constants)
    assert all(np.isfinite(step.info.step_bound) for step in pushed(exact, 0, 3))


def test_less_slack_than_rounding_means_staying() -> None:
    policy = Vector([0.0])
    inner = torch.optim.SGD(policy.parameters(), lr=1.0)
    safe = assemble(
        inner, policy, lambda p: [p.theta.item() - 1e-12], smoothness=0.0, directions="isotropic", rounding=1e-12
    )
    (-policy.theta.sum()).backward()
    info = safe.step()
    assert (info.step_norm, info.proposals, policy.theta.item()) == (0.0, 0, 0.0)
    safe.zero_grad()
    policy.theta.sum().backward()  # away from the boundary
    assert safe.step().step_norm > 0.1


# the small cases


def test_no_constraint_at_all() -> None:
    for inner in INNER:
        policy, free = Vector(np.ones(3)), Vector(np.ones(3))
        plain = INNER[inner](free)
        free_of = {"smoothness": 1.0, "directions": "isotropic", "may_be_flat": True}
        safe = assemble(INNER[inner](policy), policy, lambda p: [], descent=False, **free_of)
        for _ in range(5):
            for module, optimizer in ((policy, safe), (free, plain)):
                optimizer.zero_grad()
                (module.theta**2).sum().backward()
            plain.step()
            info = safe.step()
        assert torch.allclose(policy.theta, free.theta, rtol=1e-14, atol=1e-15)
        assert info.slack == math.inf
        assert not info.projected
        with_row = assemble(INNER[inner](policy), policy, lambda p: [], **free_of)
        (policy.theta**2).sum().backward()
        with_row.step()


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_one_parameter(samples: int) -> None:
    policy = Vector([0.0])
    inner = torch.optim.Adam(policy.parameters(), lr=0.4)
    safe = assemble(
        inner,
        policy,
        lambda p: [p.theta.item() - 1.0, -p.theta.item() - 1.0],
        smoothness=0.0,
        count=samples,
        directions="isotropic",
        kappa=1.0,
    )
    for _ in range(6):
        safe.zero_grad()
        (-policy.theta.sum()).backward()
        safe.step()
    assert 1.0 - 1e-6 < policy.theta.item() <= 1.0


@pytest.mark.usefixtures("unwatched")
def test_more_samples_than_parameters_span_everything() -> None:
    problem = waves(0, d=3)
    safe = vector(problem, count=50, verify=False, look=False)
    steps = pushed(safe, 0, 10)
    assert steps[1].info.rollouts - steps[0].info.rollouts == 3 + 1
    assert broken_guarantees(steps, 0.5, safe.rounding) == set()


def test_one_sample_is_the_nominal_direction() -> None:
    safe = vector(waves(0), "adam", count=1, verify=False)
    for step in pushed(safe, 0, 10):
        cosine = step.moved @ step.nominal / (np.linalg.norm(step.moved) * np.linalg.norm(step.nominal))
        assert cosine == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("samples", [1, 4])
def test_zero_gradient_moves_nothing(samples: int) -> None:
    safe = vector(waves(0), "sgd", count=samples, safe_probes=True)
    (0.0 * safe.policy.theta.sum()).backward()
    theta = safe.vector.read()
    info = safe.step()
    assert torch.equal(safe.vector.read(), theta)
    assert (info.step_norm, info.nominal_norm, info.proposals, info.projected) == (0.0, 0.0, 0, False)
    steps = pushed(safe, 0, 3)  # and nothing of it lingers
    assert all(step.info.step_norm > 1e-3 for step in steps)


def test_active_does_not_count_the_descent_row() -> None:
    policy = Vector([1.0, 0.0])
    inner = torch.optim.SGD(policy.parameters(), lr=0.5, momentum=0.9)
    safe = assemble(inner, policy, lambda p: [-1.0], smoothness=0.0, directions="isotropic", may_be_flat=True)
    infos = []
    for _ in range(6):
        safe.zero_grad()
        (0.5 * (policy.theta**2).sum()).backward()
        infos.append(safe.step())
    assert any(info.projected for info in infos), "momentum never turned against the gradient"
    assert all(info.active == 0 for info in infos)


def test_record_agrees_with_what_happened() -> None:
    safe = vector(waves(1), "adam", verify=False)
    for number in range(1, 9):
        (step,) = pushed(safe, 1, 1)
        info = step.info
        assert isinstance(info, StepInfo)
        assert info.update == number == safe.updates
        assert info.slack == -float(step.after.max())
        assert info.step_norm == pytest.approx(float(np.linalg.norm(step.moved)), rel=1e-9)
        assert info.nominal_norm == pytest.approx(float(np.linalg.norm(step.nominal)), rel=1e-9)
        assert info.worst_miss <= 0
        assert info.required_max <= info.smoothness_max
        assert info.step_bound >= float(step.after.max())


def test_loss_falls_and_outputs_stay_within_limits_end_to_end() -> None:
    policy = residual()
    safe = wrap(policy, "adam", smoothness=None, count=13)
    first = loss(policy).item()
    train(safe, 60)
    assert loss(policy).item() < 0.8 * first
    assert safe.values.max() <= 0


def test_an_unsolved_projection_leaves_theta(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise SolverError("planted")

    monkeypatch.setattr("scpo.proposals.project_onto", fail)
    safe = wrap(residual(), "sgd")
    before = safe.vector.read()
    with pytest.raises(SolverError, match="planted"):
        train(safe, 1)
    assert torch.equal(safe.vector.read(), before)


def test_the_solver_does_not_show_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both solvers give the same iterates, up to the tolerance of a solve times the updates."""

    ends = {}
    for backend in ("sqp", "clarabel"):
        monkeypatch.setattr("scpo.proposals.project_onto", partial(project_onto, backend=backend))
        safe = wrap(residual(), constraint=outputs_within(0.05), verify=False)
        ends[backend] = train(safe, 25)[-1]
    assert (safe.values > -0.01).any()  # the limits were felt
    assert (ends["sqp"] - ends["clarabel"]).norm() <= 1e-6 * ends["sqp"].norm()
