"""Policies that are evaluated side by side: the same iterates, small parcels, and workers that fail or die."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scpo
from scpo.errors import ConfigurationError, ConstraintError, NonFiniteError, ShapeError
from scpo.parallel import Task, work

from .small_networks import STATES, fingerprint, loss, residual, train, wrap


def within(policy: nn.Module) -> Tensor:
    outputs = policy(STATES)[:, 0]
    return torch.cat([outputs, -outputs]) - 0.4


def limit(policy: nn.Module) -> float:
    """The size of the last bias: 0 at the start."""
    return float(list(policy.parameters())[-1].detach().abs().max())


def raising_away_from_the_start(policy: nn.Module) -> Tensor:
    if limit(policy) > 0:
        raise LookupError("no such state")
    return within(policy)


def dying_away_from_the_start(policy: nn.Module) -> Tensor:
    if limit(policy) > 0:
        os._exit(1)
    return within(policy)


def of_another_length(policy: nn.Module) -> Tensor:
    return within(policy)[: 12 if limit(policy) == 0 else 11]


def a_number(policy: nn.Module) -> float:
    return -1.0


def not_a_number(policy: nn.Module) -> list[float]:
    return [float("nan")]


class Vandal(nn.Module):
    """A policy with a small buffer, a large one, and a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.held = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.register_buffer("small", torch.zeros(2, dtype=torch.float64))
        self.large = nn.Parameter(torch.zeros(10_000, dtype=torch.float64), requires_grad=False)


def vandalised(policy: Any) -> list[float]:
    value = float(policy.held.detach().square().sum() + policy.small[0] + policy.large[0]) - 1.0 + policy.training
    policy.small += 1.0
    policy.large.data += 1.0
    policy.train()
    return [value]


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


KINDS = ["threads", pytest.param("processes", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def pool(request: pytest.FixtureRequest) -> Executor:
    found: Executor = request.getfixturevalue(request.param)
    return found


def mapped(constraint: Any, by: Any, inner: str = "adam", **options: Any) -> scpo.SafeOptimizer:
    policy = residual()
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[inner](policy.parameters(), lr=0.05)
    return scpo.SafeOptimizer(
        optimizer, policy, scpo.Constraint(constraint, map=by, **options), directions=scpo.Tangent(STATES, count=5)
    )


def test_iterates_are_the_same_to_the_last_bit(pool: Executor) -> None:
    alone, beside = mapped(within, map), mapped(within, pool.map)
    assert torch.equal(torch.stack(train(alone, 5)), torch.stack(train(beside, 5)))
    assert alone.evaluate.rollouts + 1 == beside.evaluate.rollouts  # one in this process, at the start
    assert np.array_equal(alone.values, beside.values)


@pytest.mark.slow
def test_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    with joblib.Parallel(n_jobs=2) as workers:
        safe = mapped(within, lambda function, items: workers(joblib.delayed(function)(item) for item in items))
        iterates = train(safe, 2)
    assert torch.equal(torch.stack(iterates), torch.stack(train(mapped(within, map), 2)))


@pytest.mark.slow
def test_dask() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        safe = mapped(within, lambda function, items: client.gather(client.map(function, list(items), pure=False)))
        iterates = train(safe, 2)
    assert torch.equal(torch.stack(iterates), torch.stack(train(mapped(within, map), 2)))


def test_policies_are_evaluated_at_the_same_time(threads: Executor) -> None:
    """Two evaluations wait for each other, which they could not do one after the other."""
    together = threading.Barrier(2, timeout=20)

    def constraint(policy: nn.Module) -> Tensor:
        if limit(policy) > 0:
            together.wait()
        return within(policy)

    safe = mapped(constraint, threads.map)
    theta = safe.vector.read()
    safe.evaluate(torch.stack([theta + 0.01, theta + 0.02]))


class Recording:
    """A map that keeps the size of the tasks that it was given, as they would travel."""

    def __init__(self, pool: Executor) -> None:
        self.pool, self.sizes = pool, list[int]()

    def __call__(self, function: Any, items: list[Any]) -> Any:
        self.sizes += [len(pickle.dumps(item)) for item in items]
        return self.pool.map(function, items)


def vandal_policy(by: Any) -> tuple[Any, scpo.SafeOptimizer]:
    policy = Vandal().eval()
    safe = scpo.SafeOptimizer(
        torch.optim.SGD([policy.held], lr=0.1),
        policy,
        scpo.Constraint(vandalised, map=by),
        directions=scpo.Isotropic(count=3),
        smoothness=2.0,
    )
    return policy, safe


def advance(policy: Any, safe: scpo.SafeOptimizer) -> float:
    safe.zero_grad()
    (policy.held - 3.0).square().sum().backward()
    return safe.step().slack


def test_what_is_frozen_travels_once_and_changes_are_followed(pool: Executor) -> None:
    """The constraint spoils the copies, in ways that leave no mark as well; the policy's own changes count."""
    by = Recording(pool)
    policy, safe = vandal_policy(by)
    twin, alone = vandal_policy(map)
    for update in range(5):
        assert advance(policy, safe) == advance(twin, alone)
        assert torch.equal(policy.held, twin.held)
        with torch.no_grad():
            for one in (policy, twin):
                one.small[0] += 1e-3
                one.large[0] += 1e-3 * (update == 2)
    large = [size for size in by.sizes if size > policy.large.numel()]
    assert max(size for size in by.sizes if size not in large) < 3000
    assert len(large) <= (12 if isinstance(pool, ProcessPoolExecutor) else 0)  # the first batches, and the change
    assert not policy.large[1:].any()
    assert not policy.training


@pytest.mark.parametrize(
    ("constraint", "error", "message"),
    [
        (raising_away_from_the_start, ConstraintError, r"(?s)raised LookupError: no such state.*in raising_away_from"),
        (of_another_length, ConstraintError, "values"),
        (a_number, ShapeError, r"shape \(\), expected \(k,\)"),
        (not_a_number, NonFiniteError, "value 0 is nan"),
    ],
)
def test_a_workers_error_is_the_typed_error(constraint: Any, error: Any, message: str, pool: Executor) -> None:
    with pytest.raises(error, match=message):
        train(mapped(constraint, pool.map), 3)


def test_after_an_error_in_a_worker_everything_is_as_before(threads: Executor) -> None:
    safe = mapped(raising_away_from_the_start, threads.map, rounding=1e-9)
    before = fingerprint(safe)
    loss(safe.policy).backward()
    with pytest.raises(ConstraintError):
        safe.step()
    assert fingerprint(safe) == before


@pytest.mark.slow
def test_a_worker_that_dies_is_a_constraint_error() -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        safe = mapped(dying_away_from_the_start, pool.map, rounding=1e-9)
        loss(safe.policy).backward()
        for _ in range(2):  # the pool stays broken
            with pytest.raises(ConstraintError, match="map: BrokenProcessPool"):
                safe.step()


@pytest.mark.slow
def test_a_constraint_that_workers_cannot_import(processes: Executor) -> None:
    with pytest.raises(ConstraintError, match="define them in a module"):
        mapped(lambda policy: within(policy), processes.map)
    mapped(within, processes.map)  # the pool goes on


@pytest.mark.slow
def test_a_time_limit_holds_in_each_process(processes: Executor) -> None:
    with pytest.raises(ConstraintError, match="timed out"):
        mapped(endless, processes.map, timeout=0.5)


def endless(policy: nn.Module) -> Tensor:
    threading.Event().wait(100.0)
    return within(policy)


def test_a_time_limit_in_threads_is_refused(threads: Executor) -> None:
    with pytest.raises(ConfigurationError, match="main thread"):
        mapped(within, threads.map, timeout=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"map": 3}, "map: expected a callable"), ({"map": list, "batched": True}, "either map or batched")],
)
def test_unusable_maps(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        scpo.Constraint(within, **options)


def test_a_map_that_loses_answers() -> None:
    with pytest.raises(ConstraintError, match="0 answers for 1"):
        mapped(within, lambda function, items: [])


def test_policies_that_cannot_be_copied(threads: Executor) -> None:
    policy = residual()
    policy.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="map: the policy cannot be copied"):
        scpo.SafeOptimizer(
            torch.optim.SGD(policy.parameters(), lr=0.1),
            policy,
            scpo.Constraint(within, map=threads.map),
            directions=scpo.Isotropic(),
        )


def test_a_worker_that_cannot_rebuild_the_policy_says_so() -> None:
    _, answer = work(Task("unknown", np.zeros(1), b"", (), (b"spoilt", scpo.Constraint(within))))
    assert "could not rebuild the policy" in answer.message  # type: ignore[union-attr]


def test_several_optimisers_share_a_pool(threads: Executor) -> None:
    many = [mapped(within, threads.map) for _ in range(6)]
    alone = torch.stack(train(mapped(within, map), 2))
    assert all(torch.equal(torch.stack(train(safe, 2)), alone) for safe in many)


def test_the_wrapped_policy_is_not_touched(threads: Executor) -> None:
    safe = wrap(residual(), constraint=within)
    versions = [parameter._version for parameter in safe.policy.parameters()]
    beside = mapped(within, threads.map)
    theta = beside.vector.read()
    before = [parameter._version for parameter in beside.policy.parameters()]
    assert np.array_equal(beside.evaluate(theta[None] + 0.01), safe.evaluate(theta[None] + 0.01))
    assert [parameter._version for parameter in beside.policy.parameters()] == before
    assert [parameter._version for parameter in safe.policy.parameters()] != versions
