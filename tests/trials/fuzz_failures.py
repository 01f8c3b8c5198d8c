"""Constraints and closures that fail at 2,400 random calls: the typed error, and every number as before the call.

Exceptions, NaN, infinity, wrong shapes, other lengths and interrupts, under many wrapped optimisers and options.  What
fails is kept, with its input, in results/trials/fuzz_failures/.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import scpo
from scpo.errors import ScpoError
from tests.scpo.small_networks import STATES, loss, outputs_within, residual

from .common import PROJECT, Options, Row

COUNT, SEED = 2_400, 40_000
KEPT = PROJECT / "results/trials/fuzz_failures"


def _raise(error: BaseException) -> Any:
    raise error


#: what the constraint does at the chosen call with its values (k,)
FAULTS: dict[str, Callable[[np.ndarray], Any]] = {
    "raises": lambda values: _raise(RuntimeError("no rollout")),
    "raises an error of ours": lambda values: _raise(scpo.errors.ShapeError("of the user's")),
    "interrupted": lambda values: _raise(KeyboardInterrupt()),
    "exits": lambda values: _raise(SystemExit(3)),
    "nan": lambda values: np.where(np.arange(values.size) == 0, np.nan, values),
    "all inf": lambda values: np.full_like(values, np.inf),
    "minus inf": lambda values: np.append(values[:-1], -np.inf),
    "longer": lambda values: np.append(values, -1.0),
    "shorter": lambda values: values[:-1],
    "empty": lambda values: values[:0],
    "a column": lambda values: values[:, None],
    "a scalar": lambda values: values.max(),
    "nothing": lambda values: None,
    "text": lambda values: ["unsafe"] * values.size,
    "complex": lambda values: values * 1j,
    "truth values": lambda values: values > 0,
    "huge": lambda values: np.full_like(values, 1e300),
    "noise": lambda values: values * (1.0 + 1e-3),
}
#: what goes wrong outside the constraint
OUTSIDE = ("endless gradient", "gradient of nan", "loss of nan", "closure raises", "no gradient")
#: these are errors whatever happens
ALWAYS = OUTSIDE[1:]

INNER: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "foreach Nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, foreach=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "AMSGrad": lambda p: torch.optim.AdamW(p, lr=0.05, amsgrad=True, weight_decay=0.1),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.05),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.02, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
}


class Fragile:
    """A constraint that fails at a chosen call."""

    def __init__(self, fault: str) -> None:
        self.sound, self.fault, self.countdown = outputs_within(0.1), fault, -1

    def __call__(self, policy: nn.Module) -> Any:
        values = self.sound(policy)
        self.countdown -= 1
        return FAULTS[self.fault](values) if self.countdown == 0 else values


def build(rng: np.random.Generator, fault: str) -> tuple[dict[str, Any], scpo.SafeOptimizer, Fragile]:
    """Return what was drawn, a safe optimiser, and its constraint."""
    said = {
        "inner": str(rng.choice(list(INNER))),
        "policy": int(rng.integers(1000)),
        "verify": bool(rng.integers(2)),
        "look": bool(rng.integers(2)),
        "buffer": float(rng.choice([0.0, 0.02])),
        "seed": int(rng.integers(1000)),
        "directions": str(rng.choice(["tangent", "isotropic", "mixed"])),
        "rounding": bool(rng.integers(2)),
        "fault": fault,
    }
    policy, constraint = residual(said["policy"]), Fragile(fault)
    kinds = {"tangent": scpo.Tangent, "mixed": scpo.Mixed}
    kind = said["directions"]
    safe = scpo.SafeOptimizer(
        INNER[said["inner"]](policy.parameters()),
        policy,
        scpo.Constraint(constraint, rounding=1e-9 if said["rounding"] else None),
        directions=scpo.Isotropic(count=5) if kind == "isotropic" else kinds[kind](STATES, count=5),
        verify=said["verify"],
        look=said["look"],
        buffer=said["buffer"],
        seed=said["seed"],
    )
    return said, safe, constraint


def everything(safe: scpo.SafeOptimizer) -> list[tuple[str, Any]]:
    """Return all that a failed call must leave as it was, as (name, bytes or number)."""
    found: list[tuple[str, Any]] = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key in value:
                add(f"{name}.{key}", value[key])
        elif isinstance(value, (list, tuple)):
            for place, one in enumerate(value):
                add(f"{name}[{place}]", one)
        elif isinstance(value, (Tensor, np.ndarray)):
            plain = value.detach().numpy() if isinstance(value, Tensor) else value
            found.append((name, (str(plain.dtype), plain.shape, plain.tobytes())))
        else:
            found.append((name, repr(value)))  # NaN is as NaN here

    state = safe.state_dict()
    state.pop("rollouts")  # calls are counted, whatever became of them
    add("safe", state)
    add("policy", safe.policy.state_dict())
    add("modes", [module.training for module in safe.policy.modules()])
    add("gradients", [p.grad for p in safe.policy.parameters()])
    add("nominal", safe.nominal)
    add("metric", safe.metric)
    add("unsafe", safe.unsafe_proposals)
    add("random", torch.get_rng_state())
    return found


def advance(safe: scpo.SafeOptimizer, updates: int) -> None:
    """Take updates."""
    for _ in range(updates):
        safe.zero_grad()
        loss(safe.policy).backward()
        safe.step()


def inject(safe: scpo.SafeOptimizer, constraint: Fragile, fault: str, call: int) -> BaseException | None:
    """Take one step in which ``fault`` happens, at a call of the constraint if it is one of its own."""
    safe.zero_grad()
    loss(safe.policy).backward()
    closure = None
    parameters = list(safe.policy.parameters())
    if fault == "gradient of nan":
        parameters[-1].grad.view(-1)[0] = math.nan  # type: ignore[union-attr]
    elif fault == "endless gradient":
        parameters[0].grad.mul_(1e300)  # type: ignore[union-attr]
    elif fault == "no gradient":
        safe.zero_grad()
    elif fault == "loss of nan":
        closure = lambda: torch.tensor(math.nan)  # noqa: E731
    elif fault == "closure raises":
        closure = lambda: _raise(LookupError("no batch"))  # noqa: E731
    else:
        constraint.countdown = call
    before = everything(safe)
    try:
        safe.step(closure)
    except BaseException as error:
        after = everything(safe)
        differing = [one[0] for one, other in zip(before, after, strict=False) if one != other]
        if len(before) != len(after) or differing:
            raise AssertionError(f"{type(error).__name__} left traces: {differing[:5]}") from error
        return error
    finally:
        constraint.countdown = -1
    return None


def one_case(number: int) -> tuple[dict[str, Any], str, str]:
    """Return what was drawn, what happened, and what was wrong with it, or ""."""
    rng = np.random.default_rng([SEED, number])
    names = [*FAULTS, *OUTSIDE]
    fault = names[number % len(names)]
    said, safe, constraint = build(rng, fault if fault in FAULTS else "raises")
    said |= {"number": number, "fault": fault, "updates": int(rng.integers(6)), "call": int(rng.integers(1, 12))}
    try:
        advance(safe, said["updates"])
        twin_state = copy.deepcopy(safe)
        error = inject(safe, constraint, fault, said["call"])
        if error is None:
            return said, "no error", "no error" if fault in ALWAYS else ""
        if not isinstance(error, (ScpoError, KeyboardInterrupt, SystemExit)) and fault != "closure raises":
            return said, "", f"no typed error: {type(error).__name__}: {error}"
        advance(safe, 2)
        advance(twin_state, 2)
    except Exception as error:
        return said, "", f"{type(error).__name__}: {error}"
    if not torch.equal(safe.vector.read(), twin_state.vector.read()):
        return said, "", "the next updates differ from those without the failure"
    return said, "error", ""


def main(folder: Path, options: Options) -> list[Row]:
    """Inject all failures."""
    shutil.rmtree(KEPT, ignore_errors=True)
    torch.set_num_threads(1)
    raised, quiet, broken = Counter[str](), Counter[str](), Counter[str]()
    for number in range(COUNT):
        said, happened, fault = one_case(number)
        name = said["fault"]
        raised[name] += happened == "error"
        quiet[name] += happened == "no error"
        if fault:
            broken[name] += 1
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{number:05d}.json").write_text(json.dumps(said | {"wrong": fault}, indent=2) + "\n")
    rows = []
    for name in [*FAULTS, *OUTSIDE]:
        expected = "an error without a trace" if name in ALWAYS else "an error without a trace, or a step"
        observed = f"{raised[name]} errors, {quiet[name]} steps that went on, {broken[name]} failures"
        rows.append(Row(name, expected, observed, not broken[name]))
    return rows
