"""Values and parameters that are coarser than float64: what is seen of it, what it costs, and what is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from replication.planted_faults.smooth import Vector
from scpo.arrays import in_float32
from scpo.optimizer import SafeOptimizer
from scpo.roughness import grid_width, measure, on_a_grid
from scpo.state import Start
from tests.trials.fuzz_floats import KINDS, run

from .small_networks import STATES, assemble

#: how a constraint computed in float64 comes to be coarse
COARSE: dict[str, Callable[[np.ndarray], Any]] = {
    "a float32 tensor": lambda values: torch.from_numpy(values).float(),
    "a float32 array": lambda values: values.astype(np.float32),
    "float32 numbers in a list": lambda values: values.astype(np.float32).tolist(),
    "float32, then a limit in float64": lambda values: (values - 0.1).astype(np.float32).astype(np.float64) + 0.1,
    "6 decimals": lambda values: values.round(6),
    "4 decimals": lambda values: values.round(4),
}
FINE: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda values: values,
    "a list": lambda values: values.tolist(),
    "a tensor": torch.from_numpy,
}


def disc(theta: np.ndarray) -> np.ndarray:
    """Two limits, a disc and a line, with L = 2 and 0."""
    return np.array([theta @ theta - 1.0, theta.sum() - 1.2])


def of_disc(
    seen_as: Callable[[np.ndarray], Any], centre: float = 0.0, dtype: Any = None, **options: Any
) -> SafeOptimizer:
    policy = Vector(np.full(4, centre) + np.array([0.1, 0.2, -0.1, 0.0])).to(dtype or torch.float64)
    constraint = lambda policy: seen_as(disc(policy.theta.detach().double().numpy() - centre))  # noqa: E731
    options = {"smoothness": [2.0, 0.0], "verify": False, "directions": "isotropic"} | options
    return assemble(torch.optim.SGD(policy.parameters(), lr=0.05), policy, constraint, **options)


def pushed(safe: SafeOptimizer, updates: int, centre: float = 0.0) -> list[float]:
    """Push along (1, 2, 3, 4) and return the largest exact value of each iterate."""
    worst = []
    for _ in range(updates):
        safe.policy.theta.grad = -torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=safe.policy.theta.dtype)
        safe.step()
        worst.append(float(disc(safe.vector.read().numpy() - centre).max()))
    return worst


@pytest.mark.parametrize("name", COARSE)
def test_coarse_values_are_noticed_and_no_iterate_is_unsafe_in_truth(name: str) -> None:
    safe = of_disc(COARSE[name])
    before = safe.evaluate.rollouts
    worst = pushed(safe, 60)
    assert max(worst) <= 0.0
    assert max(worst) > -0.05  # and the limit is reached
    error = np.abs(np.asarray(COARSE[name](np.full(1, 1 / 3))) - 1 / 3)[0]
    assert (safe.rounding >= error).all()
    assert (safe.rounding <= 1e3 * max(error, 1e-7)).all()
    assert safe.evaluate.rollouts > before


@pytest.mark.parametrize("name", FINE)
def test_float64_is_taken_for_float64(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same iterates and rollouts as where nothing looks for coarse values."""
    looking, blind = [], []
    for found in (looking, blind):
        safe = of_disc(FINE[name])
        for _ in range(40):
            pushed(safe, 1)
            found.append((safe.vector.read().tolist(), safe.evaluate.rollouts))
        assert not safe._rounding.coarse
        monkeypatch.setattr("scpo.probing.on_a_grid", lambda values, *_, **__: np.zeros(values.shape[1], dtype=bool))
    assert looking == blind


def test_a_buffer_in_float32_counts() -> None:
    policy = Vector(np.zeros(4))
    policy.register_buffer("scale", torch.ones(1))
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        lambda policy: policy.theta * policy.scale - 1.0,
        directions="isotropic",
        smoothness=0.0,
    )
    assert (safe.rounding >= np.finfo(np.float32).eps).all()


@pytest.mark.parametrize("size", [300.0, 1e3, 1e6])
def test_large_parameters_in_float32(size: float) -> None:
    safe = of_disc(lambda values: values, centre=size, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at 1e6 no step is resolved
        assert max(pushed(safe, 60, size)) <= 0.0


def test_rounding_that_grows_on_the_way_is_measured_again() -> None:
    """|theta| stays the same up to a few percent; 6 decimals become 3."""

    def seen_as(values: np.ndarray) -> np.ndarray:
        return values.round(6 if values[1] < -0.9 else 3)

    safe = of_disc(seen_as, centre=10.0)
    worst = pushed(safe, 60, 10.0)
    assert max(worst) <= 0.0
    assert (safe.rounding >= 0.5e-3).all()


def test_one_parameter_shows_a_grid_by_several_values() -> None:
    policy = Vector(np.full(1, np.pi))
    slopes = np.array([101.0, 57.0, 31.0])
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=1e-2),
        policy,
        lambda policy: (slopes * (policy.theta.item() - np.pi) - 1.0).round(6),
        directions="isotropic",
        smoothness=0.0,
    )
    policy.theta.grad = -torch.ones_like(policy.theta)
    safe.step()
    assert (safe.rounding >= 0.5e-6).all()


class Stairs:
    """An evaluator whose values rise by one step of 1e-4 from point to point."""

    def attempt(self, thetas: torch.Tensor) -> np.ndarray:
        return np.arange(1.0, len(thetas) + 1.0)[:, None] * 1e-4 - 1.0


def test_even_stairs_do_not_hide_their_rounding() -> None:
    """Their third differences are 0."""
    theta = torch.ones(2, dtype=torch.float64)
    start = Start(1, theta, np.array([-1.0]), theta, theta, np.array([1e-16]), None)
    found = measure(start, 1e-3, 1.0, Stairs(), torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert 0.5e-4 <= found.level[0] <= 1e-3


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("mixed: float64 policy, float32 constraint", 148),  # one parameter is finer than the others
        ("mixed: float64 policy, float32 constraint", 395),  # a list of Python's floats, all alike where g is measured
        ("mixed: float64 policy, float32 constraint", 863),  # a list; coarser where the run gets to
        ("values of 4 decimals", 30),  # one of 57 values changes at the first probes
        ("values of 4 decimals", 37),  # even stairs, so that no probe changed a value
        ("values of 6 decimals", 90),  # one parameter, 11 values
    ],
)
def test_problems_that_once_failed(kind: str, number: int) -> None:
    assert run(kind, number).unsafe == 0


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([0.1, -0.7], dtype=np.float32).astype(np.float64), True),
        (np.array([0.1, -0.7]), False),
        (np.array([float(np.float32(0.1)), 0.1]), False),
        (np.array([-1.0, 0.5, -0.125]), None),  # half precision holds them
        (np.array([-4097.0, 100001.0]), None),  # counts
        (np.array([np.nan, np.inf]), None),
        (np.array([np.nan, float(np.float32(0.1))]), True),
    ],
)
def test_values_that_float32_holds_exactly_look_like_it(values: np.ndarray, found: bool | None) -> None:
    assert in_float32(values) is found


@pytest.mark.parametrize(("precise", "coarse"), [(True, False), (False, True)])
def test_float32_is_seen_in_values_that_come_as_floats(precise: bool, coarse: bool) -> None:
    """Values at the start may be made of numbers that were read as float32; those nearby tell."""
    limits = np.array([0.1, 0.7], dtype=np.float32)
    dtype = np.float64 if precise else np.float32

    def constraint(policy: Vector) -> list[float]:
        return list(map(float, policy.theta.detach().numpy().astype(dtype) - limits.astype(dtype)))

    policy = Vector(np.zeros(2))
    safe = assemble(torch.optim.SGD(policy.parameters(), lr=0.1), policy, constraint)
    assert safe.evaluate.is_coarse == coarse


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_random_problems(kind: str) -> None:
    for number in range(3):
        one = run(kind, number)
        assert one.unsafe == 0
        assert one.warned or not one.still


def test_bfloat16_that_cannot_move_is_reported_once() -> None:
    """SGD's own step of 1e-3 is less than bfloat16 resolves at 1."""
    policy = Vector(np.ones(3)).to(torch.bfloat16)
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=1e-3),
        policy,
        lambda policy: policy.theta.double() - 9.0,
        directions="isotropic",
    )
    with pytest.warns(UserWarning, match="bfloat16"):
        for _ in range(50):
            policy.theta.grad = -torch.ones_like(policy.theta)
            safe.step()
    assert (policy.theta == 1.0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            policy.theta.grad = -torch.ones_like(policy.theta)
            safe.step()


@pytest.mark.parametrize("seed", range(4))
def test_a_tanh_policy_in_float32_does_not_freeze(seed: int) -> None:
    torch.manual_seed(seed)
    policy = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    nn.init.zeros_(policy[2].weight)
    nn.init.zeros_(policy[2].bias)
    states = STATES.float()
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=0.2, momentum=0.9),
        policy,
        lambda policy: policy(states)[:, 0] - 1.0,
        states=states,
    )
    furthest = 0.0
    for _ in range(100):
        safe.zero_grad()
        (policy(states) - 2.0).square().mean().backward()
        assert safe.step().slack >= 0
        furthest = max(furthest, policy(states).mean().item())
    assert furthest > 0.9


def test_resuming_keeps_the_roughness() -> None:
    safe, twin = of_disc(COARSE["6 decimals"]), of_disc(COARSE["6 decimals"])
    pushed(safe, 5)
    twin.policy.load_state_dict(safe.policy.state_dict())
    twin.load_state_dict(safe.state_dict())
    assert pushed(safe, 5) == pushed(twin, 5)
    assert (safe.rounding == twin.rounding).all()


@pytest.mark.parametrize("decimals", [None, 4, 6])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_grids_are_seen(decimals: int | None, offset: float) -> None:
    values = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3))
    base = np.full(3, 0.25)
    coarse = values.astype(np.float32).astype(np.float64) if decimals is None else values.round(decimals)
    assert on_a_grid(coarse - offset, base - offset).all()
    assert not on_a_grid(values - offset, base - offset).any()
    assert not on_a_grid(np.tile(base, (5, 1)), base).any()


def test_a_column_that_does_not_move_is_on_no_grid_beside_one_that_is() -> None:
    values = np.column_stack([np.arange(1.0, 6.0), np.zeros(5), [0.0, 0.0, 0.0, 0.0, 1.0]])
    assert on_a_grid(values, np.zeros(3)).tolist() == [True, False, False]


@pytest.mark.parametrize("width", [1e-2, 1e-6, 2.0**-7, 2.0**-20])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_the_width_of_a_grid(width: float, offset: float) -> None:
    values = width * np.array([[3.0, 5.0], [-7.0, 5.0], [2.0, 5.0]]) - offset
    found = grid_width(values, width * np.array([0.0, 5.0]) - offset)
    assert found == pytest.approx([width, 0.0])


@pytest.mark.parametrize("first", ["still", "coarse", "fine"])
@pytest.mark.parametrize("later", ["still", "coarse", "fine", "one fine"])
def test_what_is_on_a_grid_has_a_width(first: str, later: str) -> None:
    fine, base = np.random.default_rng(1).uniform(-1.0, 1.0, (4, 6)), np.full(6, 0.25)
    kinds = {"still": np.tile(base, (4, 1)), "coarse": fine.round(5), "fine": fine}
    kinds["one fine"] = np.vstack([fine[:3].round(5), fine[3:]])
    values = np.vstack([kinds[first][:1], kinds[later][1:]])
    on = on_a_grid(values, base, least=1)
    assert (on == (grid_width(values, base) > 0)).all()
    assert on.all() == ("fine" not in f"{first} {later}" and {first, later} != {"still"})


def test_numbers_too_small_for_the_grid_of_the_largest_end_the_search() -> None:
    values, base = np.array([[1e6], [1e-10]]), np.array([[1e6], [0.0]])
    assert 0.0 <= grid_width(values, base)[0] < 1e-3
