"""Noisy simulators: bounds that hold as often as they say, phases of random numbers, and what is refused."""

from __future__ import annotations

import copy
import io
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scpo
from replication.planted_faults.smooth import Vector
from scpo.chance import Quantile, Sampled, UpperMean
from scpo.errors import ConfigurationError, ConstraintError, NonDeterministicConstraintError, ShapeError

from .noisy import BOUNDS, KNOWN, held, promised, suits
from .small_networks import assemble

SEEDS = 1000
CASES = [(bound, name) for bound in BOUNDS for name, known in KNOWN.items() if suits(bound, known)]


@pytest.mark.parametrize(("bound", "name"), CASES)
def test_a_bound_holds_as_often_as_it_says(bound: str, name: str) -> None:
    known = KNOWN[name]
    made = BOUNDS[bound](known, 20, 0.9)
    share = held(made, known, SEEDS)
    least, most = promised(made, known)
    chance = 4.0 * np.sqrt(0.9 * 0.1 / SEEDS)  # four standard deviations of a share of 0.9
    assert least - chance <= share <= most + chance


def test_all_values_of_a_policy_are_bounded_together() -> None:
    """Ten values each of which is bounded with less than the level: at worst they fail one by one."""

    def simulate(policy: Any, seeds: tuple[int, ...]) -> np.ndarray:
        return np.stack([np.random.default_rng(seed).normal(size=10) for seed in seeds])

    together = UpperMean(simulate, rollouts=10, level=0.8, method="student")
    hits = np.array([together.in_phase(phase)(None) >= 0.0 for phase in range(SEEDS)])
    assert 0.8 - 0.05 <= hits.all(axis=1).mean() <= 0.8 + 0.06  # independent values: (1 - 0.02)^10 = 0.817
    assert hits.mean() == pytest.approx(0.98, abs=0.01)


def test_more_rollouts_bring_a_bound_nearer() -> None:
    for bound, name in CASES:
        known = KNOWN[name]
        few, many = (np.mean([BOUNDS[bound](known, m, 0.9).in_phase(p)(None) for p in range(9)]) for m in (30, 1000))
        assert many <= few


def test_the_rank_is_the_least_that_will_do() -> None:
    """59 rollouts bound the 0.95-quantile at level 0.95 by their largest, and 58 do not."""
    assert Quantile(KNOWN["normal"], rollouts=59, share=0.95, level=0.95).rank(1) == 59
    with pytest.raises(ConfigurationError, match="it takes 59"):
        Quantile(KNOWN["normal"], rollouts=58, share=0.95, level=0.95)
    assert Quantile(KNOWN["normal"], rollouts=93, share=0.95, level=0.95).rank(1) == 93 - 1


def noisy_limit(policy: Any, seeds: tuple[int, ...]) -> np.ndarray:
    """x + noise <= 0.8, and y <= 0.5 without noise."""
    x, y = policy.theta.detach().tolist()
    noise = np.random.default_rng(seeds).uniform(-0.5, 0.5, len(seeds))
    return np.column_stack([x + noise - 0.8, np.full(noise.size, y - 0.5)])


def mean_limit(**options: Any) -> UpperMean:
    return UpperMean(
        noisy_limit, **{"rollouts": 40, "level": 0.9, "span": (-3.0, 3.0), "method": "hoeffding"} | options
    )


def of_vector(constraint: Any, theta: Any = (-1.5, -1.5), **options: Any) -> scpo.SafeOptimizer:
    policy = Vector(np.array(theta))
    inner = torch.optim.SGD(policy.parameters(), lr=0.2)
    return scpo.SafeOptimizer(inner, policy, constraint, directions=scpo.Isotropic(), **options)


def pushed(safe: scpo.SafeOptimizer, updates: int) -> list[torch.Tensor]:
    iterates = []
    for _ in range(updates):
        safe.policy.theta.grad = -torch.ones_like(safe.policy.theta)
        assert safe.step().slack >= 0 or safe.values.max() > 0
        iterates.append(safe.vector.read())
    return iterates


def test_training_ends_with_the_bound_at_zero_the_mean_below() -> None:
    safe = of_vector(mean_limit())
    pushed(safe, 40)
    x, y = safe.vector.read().tolist()
    margin = 6.0 * np.sqrt(np.log(2 / 0.1) / 80)
    assert x == pytest.approx(0.8 - margin, abs=0.3)
    assert x < 0.8 and y == pytest.approx(0.5 - margin, abs=1e-2)
    assert safe.values.max() == pytest.approx(0.0, abs=1e-2)


def test_refresh_draws_anew_and_the_optimisers_own_bound_alone() -> None:
    limit = mean_limit()
    safe, other = of_vector(limit), of_vector(limit)
    first = safe.values
    assert np.array_equal(first, limit(safe.policy))
    safe.refresh()
    assert safe.evaluate.phase == 1
    assert safe.values[0] != first[0] and safe.values[1] == first[1]
    assert np.array_equal(safe.values, limit.in_phase(1)(safe.policy))
    assert limit.phase == other.evaluate.phase == 0
    pushed(other, 1)  # finds its values as they were


def test_seeds_of_phases_differ_and_come_again() -> None:
    limit = mean_limit(rollouts=500)
    seeds = [limit.in_phase(phase).seeds for phase in range(5)]
    assert len({one for phase in seeds for one in phase}) == 5 * 500
    assert limit.in_phase(3).seeds == seeds[3] == mean_limit(rollouts=500, phase=3).seeds
    assert limit.seeds != mean_limit(rollouts=500, seed=1).seeds


def test_a_resumed_run_has_the_same_random_numbers() -> None:
    safe, twin = of_vector(mean_limit()), of_vector(mean_limit())
    for _ in range(2):
        pushed(safe, 3)
        safe.refresh()
    pushed(safe, 1)
    disk = io.BytesIO()
    torch.save({"policy": safe.policy.state_dict(), "safe": safe.state_dict()}, disk)
    disk.seek(0)
    stored = torch.load(disk, weights_only=True)
    twin.policy.load_state_dict(stored["policy"])
    twin.load_state_dict(stored["safe"])
    assert twin.evaluate.phase == 2
    for one in (safe, twin, copy.deepcopy(safe)):
        pushed(one, 2)
        one.refresh()
        pushed(one, 2)
    assert torch.equal(safe.vector.read(), twin.vector.read())
    assert np.array_equal(safe.values, twin.values)


class Moved:
    """A constraint that changes with a number."""

    def __init__(self) -> None:
        self.limit = 0.0

    def __call__(self, policy: Any) -> list[float]:
        return [float(policy.theta.detach()[0]) - self.limit]


@pytest.fixture(scope="module", params=["threads", pytest.param("processes", marks=pytest.mark.slow)])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        with ThreadPoolExecutor(2) as workers:
            yield workers
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
            yield workers


def test_workers_hear_of_a_new_phase_and_of_a_changed_constraint(pool: Executor) -> None:
    safe, alone = of_vector(scpo.Constraint(mean_limit(), map=pool.map)), of_vector(mean_limit())
    for _ in range(2):
        assert torch.equal(torch.stack(pushed(safe, 3)), torch.stack(pushed(alone, 3)))
        for one in (safe, alone):
            one.refresh()
        assert np.array_equal(safe.values, alone.values)
    changing = Moved()
    safe = of_vector(scpo.Constraint(changing, map=pool.map))
    changing.limit = -3.0
    safe.refresh()
    assert safe.values.tolist() == [1.5]


def test_a_batched_simulator() -> None:
    def simulate(stacked: Any, seeds: tuple[int, ...]) -> np.ndarray:
        return np.stack([noisy_limit(Vector(theta), seeds) for theta in stacked["theta"].numpy()])

    batched = UpperMean(simulate, rollouts=40, level=0.9, span=(-3.0, 3.0), method="hoeffding")
    safe, alone = of_vector(scpo.Constraint(batched, batched=True)), of_vector(mean_limit())
    assert torch.equal(torch.stack(pushed(safe, 3)), torch.stack(pushed(alone, 3)))


DIVERGED = {
    "mean": (UpperMean, {"span": (-1.0, 2.0)}, np.inf),
    "normal mean": (UpperMean, {"method": "student"}, np.inf),
    "quantile": (Quantile, {"share": 0.5, "level": 0.9}, 0.0),
}


@pytest.mark.parametrize("name", DIVERGED)
@pytest.mark.parametrize("outcome", [np.nan, np.inf, -np.inf])
def test_a_rollout_that_diverges_is_an_unsafe_one(name: str, outcome: float) -> None:
    """It makes a mean infinite, and counts as one rollout above the quantile."""
    kind, options, expected = DIVERGED[name]
    bound: Sampled = kind(lambda policy, seeds: [[0.0, -1.0]] * 19 + [[outcome, -1.0]], rollouts=20, **options)
    values = bound(None)
    assert values[0] == expected
    assert np.isfinite(values[1])


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no span": ({}, ConfigurationError, "span: bernstein needs"),
    "span reversed": ({"span": (1.0, 0.0)}, ConfigurationError, "span: expected"),
    "span of one": ({"span": (1.0,)}, ConfigurationError, "span: expected"),
    "span endless": ({"span": (0.0, np.inf)}, ConfigurationError, "span: expected"),
    "span of a normal": ({"span": (0.0, 1.0), "method": "student"}, ConfigurationError, "span: method='student'"),
    "method": ({"method": "bootstrap"}, ConfigurationError, "method: no 'bootstrap'"),
    "level": ({"level": 1.0, "span": (0.0, 1.0)}, ConfigurationError, "level: must be"),
    "rollouts": ({"rollouts": 1, "span": (0.0, 1.0)}, ConfigurationError, "rollouts: must be"),
    "seed": ({"seed": -1, "span": (0.0, 1.0)}, ConfigurationError, "seed: must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_options_are_refused_by_name(name: str) -> None:
    options, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        UpperMean(noisy_limit, **options)


def test_something_that_is_no_simulator() -> None:
    with pytest.raises(ConfigurationError, match="simulate: expected a callable"):
        Quantile(3)  # type: ignore[arg-type]


RETURNED = {
    "one value": (lambda m: np.zeros(m), ShapeError, r"shape \(20,\), expected \(20, k\)"),
    "transposed": (lambda m: np.zeros((3, m)), ShapeError, r"shape \(3, 20\)"),
    "text": (lambda m: [["safe"]] * m, ShapeError, "real numbers"),
    "truth values": (lambda m: np.zeros((m, 1), dtype=bool), ShapeError, "real numbers"),
    "complex": (lambda m: torch.zeros(m, 1, dtype=torch.complex128), ShapeError, "real numbers"),
    "outside": (lambda m: np.full((m, 1), 1.5), ConstraintError, r"outside the span \(-1\.0, 1\.0\)"),
}


@pytest.mark.parametrize("name", RETURNED)
def test_samples_that_are_none(name: str) -> None:
    returned, error, message = RETURNED[name]
    with pytest.raises(error, match=message):
        of_vector(UpperMean(lambda policy, seeds: returned(20), rollouts=20, span=(-1.0, 1.0)))


def test_too_many_values_for_the_rollouts() -> None:
    assert Quantile(KNOWN["normal"], rollouts=44, level=0.99, share=0.9).rank(1) == 44
    with pytest.raises(ConfigurationError, match="of 2 values"):
        of_vector(Quantile(noisy_limit, rollouts=44, level=0.99, share=0.9))


class Shaken(nn.Module):
    """A disc whose values carry noise of a known size, drawn anew at each evaluation."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.noise, self.rng = noise, np.random.default_rng(0)

    def limit(self, policy: Any) -> np.ndarray:
        x, y = self.theta.detach().numpy()
        return np.array([x * x + y * y - 1.0, x - 0.5]) + self.rng.uniform(-self.noise, self.noise, 2)


@pytest.mark.parametrize(("noise", "given"), [(1e-12, 1.0), (1e-12, 1e3), (1e-9, 1.0), (1e-6, 1e3), (1e-3, 1.0)])
@pytest.mark.parametrize("verify", [True, False])
def test_noise_that_the_rounding_covers_is_accepted(noise: float, given: float, verify: bool) -> None:
    """The truth may be missed by the noise, and is kept with a tightening of its size; and training moves."""
    for rounding in (noise * given, np.array([noise * given] * 2)):
        policy = Shaken(noise)
        inner = torch.optim.SGD(policy.parameters(), lr=0.05)
        options: dict[str, Any] = {"rounding": rounding, "tightening": noise, "verify": verify}
        safe = assemble(inner, policy, policy.limit, directions="isotropic", **options)
        for _ in range(40):
            safe.zero_grad()
            (policy.theta - torch.tensor([1.0, 0.3], dtype=torch.float64)).square().sum().backward()
            safe.step()
            x, y = safe.vector.read().tolist()
            assert max(x * x + y * y - 1.0, x - 0.5) <= 0.0
        assert (x - 1.0) ** 2 + (y - 0.3) ** 2 < 0.5  # of 1.09 at the start and 0.25 at the optimum


def test_more_noise_than_the_rounding_covers_is_refused() -> None:
    policy = Shaken(1e-6)
    inner = torch.optim.SGD(policy.parameters(), lr=0.05)
    with pytest.raises(NonDeterministicConstraintError, match="rounding=size"):
        assemble(inner, policy, policy.limit, directions="isotropic", rounding=1e-8)
