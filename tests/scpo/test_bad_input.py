"""Whatever goes wrong: a typed error that says what to do, and everything left as it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scpo.proposals
from scpo.directions import Isotropic, Tangent
from scpo.errors import (
    ConfigurationError,
    ConstraintError,
    NonDeterministicConstraintError,
    NonFiniteError,
    ScpoError,
    ShapeError,
    SolverError,
    UnsafeStartError,
)
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint, Descent
from scpo.projection import project
from scpo.sampling import Context, Directions, Sample
from scpo.smoothness import EstimatedSmoothness, FixedSmoothness

from .small_networks import OPTIMIZERS, STATES, fingerprint, loss, outputs_within, residual, train, wrap


class Fragile:
    """A sound constraint that fails at a chosen call."""

    def __init__(self, fault: Callable[[np.ndarray], Any]) -> None:
        self.sound, self.fault, self.countdown = outputs_within(0.05), fault, -1

    def __call__(self, policy: nn.Module) -> Any:
        values = self.sound(policy)
        self.countdown -= 1
        return self.fault(values) if self.countdown == 0 else values


def _raise(error: BaseException) -> Callable[[np.ndarray], Any]:
    def fault(values: np.ndarray) -> Any:
        raise error

    return fault


FAULTS: dict[str, tuple[Callable[[np.ndarray], Any], type[BaseException], str]] = {
    "raises": (_raise(RuntimeError("no rollout")), ConstraintError, "RuntimeError: no rollout"),
    "times out by itself": (_raise(TimeoutError("socket")), ConstraintError, "timed out"),
    "hangs": (lambda values: time.sleep(30), ConstraintError, "timed out"),
    "longer": (lambda values: np.append(values, -1.0), ConstraintError, "length|values"),
    "column": (lambda values: values[:, None], ShapeError, r"expected \(k,\)"),
    "scalar": (lambda values: values.max(), ShapeError, r"expected \(k,\)"),
    "nothing": (lambda values: None, ShapeError, "lack a return"),
    "text": (lambda values: ["unsafe"] * values.size, ShapeError, "not numbers"),
    "ragged": (lambda values: [[1.0], [1.0, 2.0]], ShapeError, "not numbers"),
    "keyboard": (_raise(KeyboardInterrupt("by hand")), KeyboardInterrupt, "by hand"),
}


@pytest.mark.parametrize("inner", ["momentum", "adam"])
@pytest.mark.parametrize("call", [2, 6])  # a probe, the proposal
@pytest.mark.parametrize("name", FAULTS)
def test_failing_constraint_leaves_no_trace(name: str, call: int, inner: str) -> None:
    fault, expected, message = FAULTS[name]
    constraint = Fragile(fault)
    # no recycled directions, so that there are as many probes as directions asked for
    options: dict[str, Any] = {"smoothness": None, "recycled": 0, "timeout": 0.3 if name == "hangs" else None}
    safe = wrap(residual(), inner, constraint=constraint, **options)
    twin = wrap(residual(), inner, constraint=Fragile(fault), **options)
    train(safe, 2)
    train(twin, 2)
    before = fingerprint(safe)
    loss_gradient(safe)
    constraint.countdown = call
    with pytest.raises(expected, match=message):
        safe.step()
    assert constraint.countdown <= 0
    assert fingerprint(safe) == before
    assert torch.equal(torch.stack(train(safe, 2)), torch.stack(train(twin, 2)))
    assert fingerprint(safe) == fingerprint(twin)


def loss_gradient(safe: SafeOptimizer) -> None:
    safe.zero_grad()
    loss(safe.policy).backward()


def test_a_failure_forgets_what_a_rejected_proposal_taught() -> None:
    # L starts far too small, so that the first proposal is unsafe and raises it; then the constraint fails
    def build() -> tuple[SafeOptimizer, Fragile]:
        constraint = Fragile(_raise(RuntimeError("no rollout")))
        options = EstimatedSmoothness()
        safe = wrap(residual(), "momentum", constraint=constraint, smoothness=options, kappa=1.0, look=False)
        train(safe, 2)
        safe.smoothness.load_state_dict({"observed": np.full(12, 1e-6), "longest": 1e3})
        safe.optimizer.param_groups[0]["lr"] = 100.0
        return safe, constraint

    (safe, constraint), (twin, _) = build(), build()
    loss_gradient(twin)
    start, rollouts = twin.vector.read(), twin.evaluate.rollouts
    proposals = twin.step().proposals
    assert proposals > 1
    probes = twin.evaluate.rollouts - rollouts - proposals
    before = fingerprint(safe)
    loss_gradient(safe)
    constraint.countdown = probes + 2  # the second proposal
    with pytest.raises(ConstraintError):
        safe.step()
    assert torch.equal(safe.vector.read(), start)
    assert fingerprint(safe) == before
    loss_gradient(safe)
    safe.step()
    assert fingerprint(safe) == fingerprint(twin)


def _nan_gradient(safe: SafeOptimizer) -> None:
    safe.vector.parameters[1].grad[0] = np.nan


def _endless_rate(safe: SafeOptimizer) -> None:
    safe.optimizer.param_groups[0]["lr"] = 1e308


def _no_gradient(safe: SafeOptimizer) -> None:
    safe.zero_grad()


SPOILT = {
    "gradient": (_nan_gradient, NonFiniteError, r"gradient of 'weights\.1'"),
    "proposal": (_endless_rate, NonFiniteError, "proposed a step"),
    "no gradient": (_no_gradient, ConfigurationError, "backward"),
}


@pytest.mark.parametrize("inner", OPTIMIZERS)
@pytest.mark.parametrize("name", SPOILT)
def test_unusable_loss_gradient_or_proposal_leaves_no_trace(name: str, inner: str) -> None:
    spoil, expected, message = SPOILT[name]
    safe, twin = wrap(residual(), inner), wrap(residual(), inner)
    train(safe, 2)
    train(twin, 2)
    rate = safe.optimizer.param_groups[0]["lr"]
    loss_gradient(safe)
    for parameter in safe.vector.parameters:
        if name == "proposal":
            parameter.grad *= 1e3
    spoil(safe)
    before = fingerprint(safe)
    with pytest.raises(expected, match=message):
        safe.step()
    assert fingerprint(safe) == before
    safe.optimizer.param_groups[0]["lr"] = rate
    assert torch.equal(train(safe, 1)[0], train(twin, 1)[0])


def test_unusable_loss_from_a_closure() -> None:
    safe = wrap(residual(), "adam")
    train(safe, 1)
    before = fingerprint(safe)

    def closure() -> torch.Tensor:
        loss_gradient(safe)
        return torch.tensor(torch.inf)

    with pytest.raises(NonFiniteError, match="loss"):
        safe.step(closure)
    assert fingerprint(safe) == before


class Draws(Directions):
    """Directions as they are told."""

    def __init__(self, make: Callable[[int, int], torch.Tensor]) -> None:
        super().__init__()
        self.make = make

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        torch.rand(3, generator=generator)
        return Sample(self.make(context.vector.dimension, count))


SAMPLED = {
    "transposed": (lambda d, n: torch.ones(n, d), ShapeError, "Draws drew"),
    "too many": (lambda d, n: torch.ones(d, n + 1), ShapeError, "m <="),
    "one vector": (lambda d, n: torch.ones(d), ShapeError, "Draws drew"),
    "nan": (lambda d, n: torch.full((d, n), torch.nan), NonFiniteError, "directions"),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_directions_that_are_nonsense_leave_no_trace(name: str) -> None:
    make, expected, message = SAMPLED[name]
    safe = wrap(residual(), directions=Draws(make))
    before = fingerprint(safe)
    loss_gradient(safe)
    with pytest.raises(expected, match=message):
        safe.step()
    assert fingerprint(safe) == before


def test_solvers_without_any_point_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    safe = wrap(residual(), "adam", constraint=outputs_within(0.02))
    train(safe, 8)
    before = fingerprint(safe)
    monkeypatch.setattr(project, "BACKENDS", dict.fromkeys(project.BACKENDS, lambda *given: []))
    loss_gradient(safe)
    with pytest.raises(SolverError, match="missed its tolerances"):
        safe.step()
    assert fingerprint(safe) == before


def test_failing_solver_and_states_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    safe = wrap(residual())
    train(safe, 1)
    before = fingerprint(safe)
    with monkeypatch.context() as patch:

        def fail(*arguments: Any, **options: Any) -> None:
            raise SolverError("no solver")

        patch.setattr(scpo.proposals, "project_onto", fail)
        loss_gradient(safe)
        with pytest.raises(SolverError):
            safe.step()
    assert fingerprint(safe) == before
    for states in (torch.zeros(0, 1), lambda: torch.zeros(()), lambda: [1.0]):
        safe = wrap(residual(), states=states)
        loss_gradient(safe)
        with pytest.raises(ShapeError, match="states"):
            safe.step()


def test_unsafe_start_names_constraint_and_value() -> None:
    with pytest.raises(UnsafeStartError, match=r"value 1 is g = 0\.5.*start from a policy"):
        wrap(residual(), constraint=lambda policy: [-1.0, 0.5])
    with pytest.raises(UnsafeStartError, match=r"tightening 0\.2"):
        wrap(residual(), constraint=lambda policy: [-0.1], tightening=0.2)


def test_constraint_that_is_not_deterministic() -> None:
    values = iter(np.linspace(-2.0, -1.0, 50))
    with pytest.raises(NonDeterministicConstraintError, match="random numbers"):
        wrap(residual(), constraint=lambda policy: [-1.0, next(values)])


NONSENSE: dict[str, dict[str, Any]] = {
    "count": {"count": 0},
    "count ": {"count": 2.5},
    "kappa": {"kappa": 0.0},
    "kappa ": {"kappa": 1.1},
    "kappa  ": {"kappa": "half"},
    "tightening": {"tightening": np.nan},
    "tightening ": {"tightening": -0.1},
    "probe_length": {"probe_length": 0.0},
    "recycled": {"recycled": -1},
    "safe_probes": {"safe_probes": 1.0},
    "verify": {"verify": "never"},
    "directions": {"directions": Tangent},
    "directions ": {"directions": 3},
    "descent": {"descent": True},
    "smoothness": {"smoothness": "guessed"},
    "smoothness ": {"smoothness": -1.0},
    "smoothness   ": {"smoothness": FixedSmoothness},
    "smoothness    ": {"smoothness": {}},
    "smoothness     ": {"smoothness": [1.0, 2.0]},
    "timeout": {"timeout": -1.0},
    "timeout ": {"timeout": np.inf},
    "rounding": {"rounding": -1e-9},
    "rounding ": {"rounding": [1e-9, 1e-9]},
    "gradient_bound": {"gradient_bound": [1.0, 2.0]},
    "gradient_bound ": {"gradient_bound": np.nan},
    "timeout  ": {"timeout": "soon"},
    "probe_length ": {"probe_length": "short"},
    "seed": {"seed": "lucky"},
    "seed ": {"seed": 2**64},
    "seed  ": {"seed": -(2**63) - 1},
    "constraint": {"constraint": None},
    "constraint ": {"constraint": 3.0},
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_options_are_refused_by_name(name: str) -> None:
    with pytest.raises((ConfigurationError, ShapeError), match=name.strip()):
        wrap(residual(), **NONSENSE[name])


@pytest.mark.parametrize("seed", [-(2**63), 2**64 - 1])
def test_every_seed_of_64_bits_is_taken(seed: int) -> None:
    assert wrap(residual(), seed=seed).updates == 0


def test_nonsense_policies_and_optimisers() -> None:
    policy, other = residual(), residual()
    constraint = outputs_within()
    with pytest.raises(ConfigurationError, match="optimizer"):
        SafeOptimizer("adam", policy, constraint)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="policy"):
        SafeOptimizer(OPTIMIZERS["sgd"](policy), lambda x: x, constraint)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"policy\.parameters"):
        SafeOptimizer(OPTIMIZERS["sgd"](other), policy, constraint)
    with pytest.raises(ConfigurationError, match="frozen or empty"):
        SafeOptimizer(OPTIMIZERS["sgd"](policy), policy.requires_grad_(False), constraint)


def test_without_directions_they_are_isotropic_with_a_warning() -> None:
    policy = residual()
    with pytest.warns(UserWarning, match=r"isotropic.*Tangent\(states\)"):
        safe = SafeOptimizer(OPTIMIZERS["sgd"](policy), policy, outputs_within())
    assert safe.directions == Isotropic()


OPTIONS = {
    "radius": lambda: FixedSmoothness(1.0, radius=0.0),
    "radius ": lambda: FixedSmoothness(1.0, radius="far"),  # type: ignore[arg-type]
    "loss_smoothness": lambda: Descent(-1.0),
    "loss_smoothness ": lambda: Descent("steep"),  # type: ignore[arg-type]
    "batched": lambda: Constraint(outputs_within(), batched="yes"),  # type: ignore[arg-type]
    "count": lambda: Isotropic(count=True),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_checked_when_they_are_made(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name.strip()}: "):
        OPTIONS[name]()


@pytest.mark.parametrize("wrong", ["constants", "kinks"])
def test_wrong_number_of_constants_from_a_users_model(wrong: str) -> None:
    model = FixedSmoothness(1.0)
    safe = wrap(residual(), smoothness=model)
    before = fingerprint(safe)
    loss_gradient(safe)
    setattr(model, wrong, lambda: np.ones(3))
    with pytest.raises(ShapeError, match=rf"{wrong} \(3,\).* for 12 constraint values"):
        safe.step()
    assert fingerprint(safe) == before


def test_every_error_is_an_scpo_error() -> None:
    assert all(issubclass(error, ScpoError) for _, error, _ in FAULTS.values() if error is not KeyboardInterrupt)
    assert STATES.shape == (6, 1)
