"""The black-box constraint: what it sees, what it may return, what it may not disturb."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replication.planted_faults.smooth import Vector
from scpo.constraint import ConstraintEvaluator
from scpo.errors import ConfigurationError, ConstraintError, NonDeterministicConstraintError, NonFiniteError, ShapeError
from scpo.options import Constraint
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy

from .small_networks import STATES, outputs_within, outputs_within_batched, residual


def evaluator(policy: nn.Module, constraint: Any, **options: Any) -> ConstraintEvaluator:
    return ConstraintEvaluator(policy, ParameterVector(policy, policy.parameters()), Constraint(constraint, **options))


def thetas(policy: nn.Module, count: int, seed: int = 0) -> Tensor:
    vector = ParameterVector(policy, policy.parameters())
    noise = torch.randn(count, vector.dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vector.read() + noise


def test_single_and_batched_agree_and_leave_the_policy_alone() -> None:
    policy = residual()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    points = thetas(policy, 7)
    single = evaluator(policy, outputs_within())(points)
    batched = evaluator(policy, outputs_within_batched(policy), batched=True)(points)
    assert single.shape == batched.shape == (7, 12)
    assert np.allclose(single, batched, rtol=0, atol=1e-14)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())


def test_rollouts_are_counted_one_for_each_parameter_set() -> None:
    policy = residual()
    counted = evaluator(policy, outputs_within())
    counted(thetas(policy, 3))
    counted(thetas(policy, 4))
    assert counted.rollouts == 7
    counted.check_start(torch.zeros_like(thetas(policy, 1)[0]))
    assert counted.rollouts == 9


RETURNS: dict[str, Callable[[Vector], Any]] = {
    "list": lambda p: [p.theta[0].item(), 2.0],
    "tuple of numpy": lambda p: (np.float64(p.theta[0].item()), np.float32(2.0)),
    "array": lambda p: np.array([p.theta.numpy()[0], 2.0]),
    "tensor": lambda p: torch.stack([p.theta[0], torch.tensor(2.0, dtype=torch.float64)]),
    "list of tensors": lambda p: [p.theta[0], torch.tensor(2.0)],
    "low precision": lambda p: torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    "whole numbers": lambda p: torch.tensor([1, 2]),
    "parameter": lambda p: p.theta,
}


@pytest.mark.parametrize("name", RETURNS)
def test_what_a_constraint_may_return(name: str) -> None:
    policy = Vector([1.0, 2.0])
    values = evaluator(policy, RETURNS[name])(torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    assert values.dtype == np.float64
    assert values.tolist() == [[1.0, 2.0]]


def test_returned_values_are_copies() -> None:
    kept = np.zeros(2)

    def reuses_its_buffer(policy: Vector) -> np.ndarray:
        kept[:] = policy.theta.numpy()
        return kept

    policy = Vector([0.0, 0.0])
    found = evaluator(policy, reuses_its_buffer)(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert policy.theta.tolist() == [0.0, 0.0]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "matrix": (np.zeros((2, 2)), ShapeError, r"shape \(2, 2\), expected \(k,\)"),
    "dictionary": ({"g": 1.0}, ShapeError, "dict, not numbers"),
    "complex": (np.array([1j]), ShapeError, "not numbers"),
    "complex tensor": (torch.tensor([1j]), ShapeError, "not numbers"),
    "nan": ([0.0, np.nan], NonFiniteError, "value 1 is nan"),
    "parameters in a list": ([nn.Parameter(torch.ones(2))], ShapeError, "expected|not numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_constraint_may_not_return(name: str) -> None:
    value, expected, message = WRONG[name]
    policy = Vector([1.0])
    with pytest.raises(expected, match=message):
        evaluator(policy, lambda p: value)(torch.ones(1, 1, dtype=torch.float64))


def test_batched_shapes() -> None:
    policy = Vector([1.0])
    points = torch.ones(3, 1, dtype=torch.float64)
    for value, message in ((np.zeros(3), r"\(3,\)"), (np.zeros((2, 4)), r"\(2, 4\), expected \(3, k\)")):
        with pytest.raises(ShapeError, match=message):
            evaluator(policy, lambda stacked, value=value: value, batched=True)(points)


def test_length_is_fixed_by_the_first_call_and_within_one() -> None:
    lengths = iter([2, 2, 3, 2])
    policy = Vector([1.0])
    changing = evaluator(policy, lambda p: np.zeros(next(lengths)))
    point = torch.ones(1, 1, dtype=torch.float64)
    changing(point)
    changing(point)
    with pytest.raises(ConstraintError, match="3 values, and 2 before"):
        changing(point)
    lengths = iter([2, 3])
    with pytest.raises(ConstraintError, match="changed its length"):
        evaluator(policy, lambda p: np.zeros(next(lengths)))(torch.ones(2, 1, dtype=torch.float64))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x))


def test_every_probe_starts_from_the_same_buffers_and_mode() -> None:
    policy = Normalised().train()
    seen = []

    def constraint(module: nn.Module) -> Tensor:
        assert isinstance(module, Normalised)
        seen.append((module.norm.running_mean.tolist(), int(module.norm.num_batches_tracked), module.training))
        values = module(STATES)[0]
        module.eval()
        return values

    before = {name: buffer.clone() for name, buffer in policy.named_buffers()}
    found = evaluator(policy, constraint)
    with pytest.raises(ConstraintError, match="boom"):
        evaluator(policy, lambda module: (module(STATES), _boom()))(thetas(policy, 1))
    found(thetas(policy, 4))
    assert seen == [seen[0]] * 4
    assert policy.training
    assert policy.norm.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in policy.named_buffers())


def _boom() -> None:
    raise RuntimeError("boom")


def noisy(size: float, seed: int = 0) -> Callable[[Vector], np.ndarray]:
    """Return theta - 2 with uniform noise of at most ``size``."""
    rng = np.random.default_rng(seed)
    return lambda policy: policy.theta.numpy() - 2.0 + rng.uniform(-size, size, policy.theta.numel())


def test_determinism_is_checked() -> None:
    policy, theta = Vector([1.0]), torch.ones(1, dtype=torch.float64)
    with pytest.raises(NonDeterministicConstraintError, match="value 0"):
        evaluator(policy, noisy(1e-9)).check_start(theta)

    def common_random_numbers(p: Vector) -> np.ndarray:
        return noisy(0.1)(p)

    assert evaluator(policy, common_random_numbers).check_start(theta).shape == (1,)


def test_noise_is_accepted_as_far_as_the_rounding_covers_it() -> None:
    policy, theta = Vector([1.0, 1.0]), torch.ones(2, dtype=torch.float64)
    for rounding in (1e-3, [1e-3, 1e-3]):
        for seed in range(20):
            evaluator(policy, noisy(1e-3, seed), rounding=rounding).check_start(theta)
    with pytest.raises(NonDeterministicConstraintError, match="value 1"):
        for seed in range(20):
            evaluator(policy, noisy(1e-3, seed), rounding=[1e-3, 1e-6]).check_start(theta)


# the time limit


def test_limit_is_for_one_call_not_for_all_of_them() -> None:
    policy = Vector([1.0])
    slow = evaluator(policy, lambda p: (time.sleep(0.02), [0.0])[1], timeout=0.25)
    assert slow(torch.ones(20, 1, dtype=torch.float64)).shape == (20, 1)
    with pytest.raises(ConstraintError, match=r"timed out \(after 0\.1 s\)"):
        evaluator(policy, lambda p: time.sleep(20), timeout=0.1)(torch.ones(1, 1, dtype=torch.float64))
    assert policy.theta.item() == 1.0


def test_an_alarm_that_others_have_set_goes_on() -> None:
    rang = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    outer = signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        policy = Vector([1.0])
        evaluator(policy, lambda p: [0.0], timeout=5.0)(torch.ones(3, 1, dtype=torch.float64))
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        deadline = time.monotonic() + 5.0
        while not rang and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *outer)
    assert rang == [signal.SIGALRM]


def test_limit_in_another_thread_says_what_to_do() -> None:
    policy = Vector([1.0])
    raised: list[Exception] = []

    def body() -> None:
        try:
            evaluator(policy, lambda p: [0.0], timeout=1.0)(torch.ones(1, 1, dtype=torch.float64))
        except ConfigurationError as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


# rounding


def exact_outputs(vector: ParameterVector, theta: np.ndarray) -> np.ndarray:
    """The network in extended precision."""
    parts = np.split(theta.astype(np.longdouble), np.cumsum(vector.sizes)[:-1])
    w = {name: part.reshape(shape) for name, part, shape in zip(vector.names, parts, vector.shapes, strict=True)}
    x = STATES.numpy().astype(np.longdouble)
    return ((np.tanh(x @ w["weights.0"] + w["biases.0"]) @ w["weights.1"]) + w["biases.1"])[:, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(3))
def test_the_rounding_level_covers_evaluation_and_writing(dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    policy = ResidualPolicy((1, 8, 1), "tanh", generator=generator, dtype=dtype)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
    vector = ParameterVector(policy, policy.parameters())
    measured = evaluator(policy, lambda p: p(STATES.to(dtype))[:, 0])
    level = measured.rounding_level(vector.read(), generator)
    for index in range(100):
        theta = vector.read() + 1e-3 * thetas(policy, 1, seed=index)[0]
        error = np.abs(measured(theta[None])[0] - exact_outputs(vector, theta.numpy())).astype(float)
        assert (error <= level).all()
    assert level.max() < 1e4 * torch.finfo(dtype).eps  # and says something


def test_rounding_level_of_a_float32_policy_at_zero() -> None:
    policy = Vector(np.zeros(3), torch.float32)
    level = evaluator(policy, lambda p: [p.theta.sum().item() - 1.0]).rounding_level(
        torch.zeros(3, dtype=torch.float64), torch.Generator()
    )
    assert level[0] >= np.finfo(np.float32).eps


def test_no_constraint_values() -> None:
    policy = Vector([1.0])
    empty = evaluator(policy, lambda p: [], may_be_flat=True)
    assert empty.check_start(torch.ones(1, dtype=torch.float64)).shape == (0,)
    assert empty.rounding_level(torch.ones(1, dtype=torch.float64), torch.Generator()).shape == (0,)
