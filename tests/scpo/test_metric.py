"""The metric of wrapped optimisers: p = -M gradient to rounding, in every optimiser, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RAdam, RMSprop

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.metric import FLOOR, own_metric, well_posed
from scpo.optimizer import SafeOptimizer
from scpo.parameters import ParameterVector

from .small_networks import assemble

Build = Callable[[Iterable[Any]], torch.optim.Optimizer]

#: optimisers without momentum: p = -M gradient, with the gradient of the penalty where weight decay is not decoupled
PLAIN: dict[str, Build] = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "adam": lambda p: Adam(p, lr=0.03, betas=(0.0, 0.95)),
    "adam, amsgrad, eps": lambda p: Adam(p, lr=0.03, betas=(0.0, 0.9), eps=0.1, amsgrad=True, weight_decay=0.2),
    "adam, maximize": lambda p: Adam(p, lr=0.03, betas=(0.0, 0.95), maximize=True, foreach=True),
    "adamw": lambda p: AdamW(p, lr=0.03, betas=(0.0, 0.9), weight_decay=0.0),
    "nadam": lambda p: NAdam(p, lr=0.03, betas=(0.0, 0.9), weight_decay=0.1),
    "radam": lambda p: RAdam(p, lr=0.03, betas=(0.0, 0.9), weight_decay=0.1, eps=1e-3),
    "rmsprop": lambda p: RMSprop(p, lr=0.03, alpha=0.9, eps=1e-3),
    "rmsprop, centered": lambda p: RMSprop(p, lr=0.03, centered=True, weight_decay=0.1),
    "adagrad": lambda p: Adagrad(p, lr=0.1, lr_decay=0.2, initial_accumulator_value=0.1, weight_decay=0.1),
    "adadelta": lambda p: Adadelta(p, lr=0.5, rho=0.8, weight_decay=0.1),
    "adadelta, maximize": lambda p: Adadelta(p, lr=0.5, rho=0.8, weight_decay=0.1, maximize=True),
}


class Pair(nn.Module):
    """Two parameters, of 4 and 3 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
        self.second = nn.Parameter(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))


def groups(policy: Pair) -> list[dict[str, Any]]:
    return [{"params": [policy.first]}, {"params": [policy.second], "lr": 0.007}]


def penalised(optimizer: torch.optim.Optimizer) -> Tensor:
    """Return the gradient that the optimiser sees: with its sign, and with that of the penalty."""
    parts = [
        (-p.grad if group["maximize"] else p.grad).flatten() + group["weight_decay"] * p.detach().flatten()
        for group in optimizer.param_groups
        for p in group["params"]
    ]
    return torch.cat(parts)


@pytest.mark.parametrize("name", PLAIN)
def test_without_momentum_the_step_is_minus_m_times_the_gradient(name: str) -> None:
    policy = Pair()
    vector = ParameterVector(policy, policy.parameters())
    optimizer = PLAIN[name](groups(policy))
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        for p in policy.parameters():
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64) * torch.linspace(
                0.1, 10, p.numel()
            ).view(p.shape)
        seen, theta = penalised(optimizer), vector.read()
        optimizer.step()
        step = vector.read() - theta
        vector.write(theta)
        diagonal = own_metric(optimizer, vector)
        assert diagonal is not None
        torch.testing.assert_close(diagonal * step, -seen, rtol=1e-9, atol=1e-12)
        vector.write(theta + 0.1 * step)


def test_radam_has_no_second_moment_in_its_first_steps() -> None:
    policy = Pair()
    vector = ParameterVector(policy, policy.parameters())
    optimizer = RAdam(policy.parameters(), lr=0.1)
    for step in range(1, 8):
        for p in policy.parameters():
            p.grad = torch.arange(1.0, 1.0 + p.numel(), dtype=torch.float64).view(p.shape)
        optimizer.step()
        diagonal = own_metric(optimizer, vector)
        assert diagonal is not None
        assert (well_posed(diagonal) is None) == (step <= 5)


@pytest.mark.parametrize(
    "build", [lambda p: torch.optim.Rprop(p), lambda p: torch.optim.LBFGS(p), lambda p: SGD(p, lr=0.1)]
)
def test_others_are_euclidean(build: Build) -> None:
    policy = Pair()
    diagonal = own_metric(build(policy.parameters()), ParameterVector(policy, policy.parameters()))
    assert diagonal is None or well_posed(diagonal) is None


def test_parameters_that_no_gradient_has_reached_get_the_median() -> None:
    policy = Pair()
    vector = ParameterVector(policy, policy.parameters())
    optimizer = Adam(policy.parameters(), lr=0.1, betas=(0.0, 0.9))
    policy.first.grad = torch.tensor([[0.0, 1.0], [2.0, 4.0]], dtype=torch.float64)  # one entry, and all of `second`
    optimizer.step()
    diagonal = own_metric(optimizer, vector)
    assert diagonal is not None
    assert torch.isnan(diagonal).tolist() == [True, False, False, False, True, True, True]
    filled = well_posed(diagonal)
    assert filled is not None
    np.testing.assert_allclose(filled.numpy(), [20.0, 10.0, 20.0, 40.0, 20.0, 20.0, 20.0], rtol=1e-6)


def test_the_ratio_of_the_entries_is_bounded() -> None:
    diagonal = well_posed(torch.tensor([1e-30, 1.0, 1e3, np.inf], dtype=torch.float64))
    assert diagonal is not None
    assert diagonal.tolist() == [1e3 * FLOOR, 1.0, 1e3, 1.0]
    assert well_posed(torch.full((3,), 7.0, dtype=torch.float64)) is None
    assert well_posed(torch.full((3,), np.nan, dtype=torch.float64)) is None


class Ball:
    """The loss (x - centre)^T diag(weights) (x - centre) / 2 over |x| <= 1, with its optimum."""

    def __init__(self, d: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights, self.centre = 10.0 ** rng.uniform(-1, 1, d), 2.0 * rng.normal(size=d)
        low, high = 0.0, 1e6
        for _ in range(200):  # the multiplier of |x|^2 <= 1
            middle = 0.5 * (low + high)
            x = self.weights * self.centre / (self.weights + middle)
            low, high = (middle, high) if x @ x > 1.0 else (low, middle)
        self.optimum = self.loss(torch.from_numpy(x))

    def loss(self, x: Tensor) -> Any:
        left = x - torch.from_numpy(self.centre)
        return 0.5 * (torch.from_numpy(self.weights) * left * left).sum()


class Point(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(d, dtype=torch.float64))


def gap(build: Build, metric: Any, updates: int, **options: Any) -> tuple[float, SafeOptimizer]:
    """Return how far above the optimum a wrapped optimiser ends, relative to the optimum."""
    problem, policy = Ball(8, 1), Point(8)
    safe = assemble(
        build(policy.parameters()), policy, lambda given: [float(given.x.detach().square().sum()) - 1.0], metric=metric,
        smoothness=2.0, verify=False, **options,
    )  # fmt: skip
    for _ in range(updates):
        safe.zero_grad()
        before = problem.loss(policy.x)
        before.backward()
        assert safe.step().slack >= 0
    return float((problem.loss(policy.x.detach()) - problem.optimum) / problem.optimum), safe


RESCALING: dict[str, Build] = {
    "adam": lambda p: Adam(p, lr=0.02),
    "adamw": lambda p: AdamW(p, lr=0.02, weight_decay=0.0),
    "nadam": lambda p: NAdam(p, lr=0.02),
    "radam": lambda p: RAdam(p, lr=0.02),
    "rmsprop": lambda p: RMSprop(p, lr=0.02),
    "adagrad": lambda p: Adagrad(p, lr=0.2),
    "adadelta": lambda p: Adadelta(p, lr=5.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESCALING)
def test_rescaling_optimisers_need_their_own_metric(name: str) -> None:
    own, euclidean = gap(RESCALING[name], "auto", 200)[0], gap(RESCALING[name], "euclidean", 200)[0]
    assert -1e-9 <= own < 1e-3
    assert euclidean > 10.0 * max(own, 1e-3)


def test_the_loss_falls_in_every_step_without_a_descent_row() -> None:
    problem, policy = Ball(8, 1), Point(8)
    safe = assemble(
        RMSprop(policy.parameters(), lr=0.02), policy, lambda given: [float(given.x.detach().square().sum()) - 1.0],
        smoothness=2.0, descent=False,
    )  # fmt: skip
    for _ in range(100):
        theta = policy.x.detach().clone()
        safe.zero_grad()
        problem.loss(policy.x).backward()
        slope = policy.x.grad.clone()
        safe.step()
        step = policy.x.detach() - theta
        assert safe.metric is not None
        assert float(slope @ step) <= -float(step @ (safe.metric * step)) + 1e-12 * float(slope.norm() * step.norm())


def test_a_metric_of_ones_own() -> None:
    ones = torch.ones(8, dtype=torch.float64)
    sgd = lambda p: SGD(p, lr=0.02)  # noqa: E731
    plain, safe = gap(sgd, None, 50)
    assert safe.metric is None
    assert gap(sgd, 3.0 * ones, 50)[0] == plain
    weights = torch.linspace(1.0, 5.0, 8, dtype=torch.float64)
    tensor, called = gap(sgd, weights, 50), gap(sgd, lambda optimizer: weights, 50)
    assert tensor[0] == called[0] != plain
    assert torch.equal(called[1].metric, weights)


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        ("adam", ConfigurationError, "there are auto, euclidean"),
        (3.0, ConfigurationError, "expected auto, euclidean, a tensor"),
        (torch.ones(7), ShapeError, r"expected a tensor of shape \(8,\), got \(7,\)"),
        (torch.zeros(8), ConfigurationError, "must be positive"),
        (torch.full((8,), np.nan), NonFiniteError, "NaN"),
        (lambda optimizer: 1.0, ShapeError, "got float"),
    ],
)
def test_unusable_metrics(metric: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"metric: .*{message}"):
        gap(lambda p: SGD(p, lr=0.1), metric, 1)
