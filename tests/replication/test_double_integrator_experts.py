"""Experts and data sets: the MPC against a second solver and hand-checkable facts."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from replication.tasks.double_integrator import sets, starts, system
from replication.tasks.double_integrator.data import harmful_states
from replication.tasks.double_integrator.experts import PredictiveController, malicious
from scpo.errors import ConfigurationError, ShapeError

from .default_tasks import imitation

REGION = sets.backup_invariant_set().scaled(0.95)


def sample(count: int, seed: int = 0) -> np.ndarray:
    return starts.uniform(REGION, count, np.random.default_rng(seed))


def closed_loop_cost(controller, states: np.ndarray, steps: int = 100) -> np.ndarray:  # type: ignore[no-untyped-def]
    total = np.zeros(len(states))
    for _ in range(steps):
        inputs = controller(states)
        assert np.abs(states).max() <= 5.0 and np.abs(inputs).max() <= 1.0
        total += (states**2).sum(axis=1) + 0.1 * inputs[:, 0] ** 2
        states = system.step(states, inputs)
    assert np.abs(states).max() < 1e-3
    return total


def reference_plan(state: np.ndarray, horizon: int = 10) -> tuple[np.ndarray, float]:
    """Solve the same MPC with states and inputs as variables, in cvxpy."""
    gain, cost = system.lqr(0.1)
    terminal = sets.maximal_invariant_set(gain)
    x, u = cp.Variable((horizon + 1, 2)), cp.Variable((horizon, 1))
    objective = cp.sum_squares(x[:-1]) + 0.1 * cp.sum_squares(u) + cp.quad_form(x[-1], cp.psd_wrap(cost))
    constraints = [x[0] == state, x[1:] == x[:-1] @ system.A.T + u @ system.B.T, cp.abs(u) <= 1, cp.abs(x) <= 5]
    problem = cp.Problem(cp.Minimize(objective), [*constraints, terminal.facets @ x[-1] <= 1])
    problem.solve(solver=cp.CLARABEL)
    return np.asarray(u.value)[:, 0], float(problem.value)


def test_plan_agrees_with_cvxpy() -> None:
    controller = PredictiveController()
    states = np.vstack([sample(12), REGION.vertices[:5]])
    for state in states:
        plan = controller.plan(state)
        assert plan is not None
        expected, _ = reference_plan(state)
        np.testing.assert_allclose(plan, expected, atol=1e-5)


def test_plan_is_safe_and_ends_in_the_terminal_set() -> None:
    controller = PredictiveController()
    for state in sample(50, 3):
        plan = controller.plan(state)
        assert plan is not None and np.abs(plan).max() <= 1.0 + 1e-7
        for action in plan:
            state = system.step(state, np.array([action]))
            assert np.abs(state).max() <= 5.0 + 1e-7
        assert controller.terminal_set.gauge(state) <= 1.0 + 1e-7


def test_program_agrees_with_the_lqr_in_the_terminal_set() -> None:
    controller = PredictiveController()
    gain = system.lqr(0.1)[0]
    states = 0.999 * starts.boundary(controller.terminal_set, 20)
    inputs, fallbacks = controller(states)
    np.testing.assert_array_equal(inputs, np.clip(-states @ gain.T, -1.0, 1.0))
    assert fallbacks == 0
    for state in states:
        plan = controller.plan(state)
        assert plan is not None and plan[0] == pytest.approx(float(-(gain @ state)[0]), abs=5e-6)


def test_mpc_is_cheaper_than_the_backup_from_common_starts() -> None:
    """task2.md quotes 42.5 and 23.3 from its own sample; the backup's cost has an exact mean of 41.32."""
    states = sample(1000, 1)
    controller = PredictiveController()
    backup = closed_loop_cost(lambda x: -x @ system.backup_gain().T, states)
    mpc = closed_loop_cost(lambda x: controller(x)[0], states)
    assert (mpc <= backup + 1e-6).all()
    assert backup.mean() == pytest.approx(42.2, abs=0.1)
    assert mpc.mean() == pytest.approx(23.0, abs=0.1)


def test_infeasible_states_use_the_clipped_backup() -> None:
    controller = PredictiveController()
    outside = np.array([[4.0, 3.0], [6.0, 0.0], [0.1, 0.1]])
    inputs, fallbacks = controller(outside)
    assert fallbacks == 2
    np.testing.assert_allclose(inputs[:2], np.clip(-outside[:2] @ system.backup_gain().T, -1.0, 1.0))
    assert controller.plan(outside[0]) is None
    inside, none = controller(0.999 * sets.maximal_control_invariant_set().vertices)
    assert none == 0 and np.abs(inside).max() <= 1.0
    np.testing.assert_allclose(controller(sample(5))[0], PredictiveController()(sample(5))[0], atol=1e-7)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="horizon"):
        PredictiveController(0)
    with pytest.raises(ShapeError, match="states"):
        PredictiveController()(np.zeros(2))


def test_malicious_expert_thrusts_outwards() -> None:
    states = np.array([[1.0, 1.0], [-2.0, 1.0], [3.0, -4.0]])
    np.testing.assert_array_equal(malicious(states), [[1.0], [-1.0], [-1.0]])


def test_scenarios_share_states_and_differ_in_labels() -> None:
    data = {name: imitation(name, 7, 512) for name in ("cooperative", "mixed", "hostile")}
    for arrays in data.values():
        np.testing.assert_array_equal(arrays["inputs"], data["mixed"]["inputs"])
        np.testing.assert_array_equal(arrays["good_labels"], data["mixed"]["good_labels"])
        assert arrays["labels"].shape == (512, 1) and arrays["heldout_inputs"].shape == (1024, 2)
        assert int(arrays["fallbacks"]) == 0
        assert REGION.gauge(arrays["inputs"]).max() <= 1.0 + 1e-12
        assert np.abs(arrays["good_labels"]).max() <= 1.0
    np.testing.assert_array_equal(data["cooperative"]["labels"], data["cooperative"]["good_labels"])
    np.testing.assert_array_equal(data["hostile"]["labels"], malicious(data["hostile"]["inputs"]))
    mixed = data["mixed"]
    harmful = mixed["inputs"][:, 0] > 1.0
    np.testing.assert_array_equal(mixed["harmful"], harmful)
    np.testing.assert_array_equal(mixed["labels"][harmful], malicious(mixed["inputs"])[harmful])
    np.testing.assert_array_equal(mixed["labels"][~harmful], mixed["good_labels"][~harmful])
    assert 0.33 < harmful.mean() < 0.45
    assert [bool(data[name]["harmful"].all()) for name in data] == [False, False, True]


def test_bad_data_sets_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="hostil"):
        harmful_states("hostle", np.zeros((1, 2)))
    with pytest.raises(ConfigurationError, match="at least one"):
        imitation("mixed", 0, 0)
