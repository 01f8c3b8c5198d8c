"""Training on 6,000 random problems with known constants where something is not float64: no iterate unsafe in truth.

Policies, constraints or both are float32, or values are rounded to 4 or 6 decimals; parameters are of size 1, 1e3 and
1e6.  Safety is judged by the exact constraint at the parameters as written.  A run that stands still for good has to
warn, unless it is where the loss is least.  What fails is kept, with its number, in results/trials/fuzz_floats/.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import scpo
from scpo.arrays import Array

from .common import PROJECT, Options, Row

COUNT, SEED, UPDATES = 1_000, 50_000, 80
#: a run whose last so many iterates are the same stands still for good
STILL = 50
KEPT = PROJECT / "results/trials/fuzz_floats"

#: kind -> (dtype of the policy, dtype that the constraint computes in, decimals to which its values are rounded)
KINDS: dict[str, tuple[torch.dtype, torch.dtype, int | None]] = {
    "float64": (torch.float64, torch.float64, None),
    "float32": (torch.float32, torch.float32, None),
    "mixed: float64 policy, float32 constraint": (torch.float64, torch.float32, None),
    "mixed: float32 policy, float64 constraint": (torch.float32, torch.float64, None),
    "values of 6 decimals": (torch.float64, torch.float64, 6),
    "values of 4 decimals": (torch.float64, torch.float64, 4),
}
#: how float32 values leave a constraint
RETURNED: dict[str, Callable[[Tensor], Any]] = {
    "as they are": lambda values: values,
    "NumPy": lambda values: values.numpy(),
    "list": lambda values: values.tolist(),
    "float64": lambda values: values.double(),
}


class Parameters(nn.Module):
    """A policy that is its parameters."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())


@dataclass(frozen=True)
class Problem:
    """Quadratic constraints in x = (theta - centre) / unit, with coefficients that float32 holds exactly.

    Attributes:
        centre: where the run starts (d,).
        unit: the length in which the constraints are of size 1.
        offsets: their values (k,) at the centre, below 0.
        slopes: their slopes (k, d) there.
        curved: their second derivatives (k, d, d).
        limit: is taken from all of them in float64, whatever they are computed in.
    """

    centre: Tensor
    unit: float
    offsets: Tensor
    slopes: Tensor
    curved: Tensor
    limit: float

    def values(self, theta: Tensor, dtype: torch.dtype) -> Tensor:
        """Return g (k,), computed in ``dtype`` but for the limit."""
        x = (theta.to(dtype) - self.centre.to(dtype)) / self.unit
        bent = 0.5 * torch.einsum("i,kij,j->k", x, self.curved.to(dtype), x)
        computed = self.offsets.to(dtype) + self.slopes.to(dtype) @ x + bent
        return computed - self.limit if self.limit else computed

    def constants(self) -> Array:
        """Return L (k,)."""
        return np.asarray(np.abs(np.linalg.eigvalsh(self.curved.numpy())).max(axis=1) / self.unit**2)


def problem_of(rng: np.random.Generator, size: float) -> Problem:
    """Return a problem with parameters of this ``size``."""
    d, k = int(rng.integers(1, 13)), int(rng.integers(1, 21))

    def held(array: Array) -> Tensor:
        return torch.from_numpy(array.astype(np.float32).astype(np.float64))

    curved = rng.standard_normal((k, d, d)) * rng.choice([0.0, 0.1, 1.0, 10.0], (k, 1, 1))
    return Problem(
        centre=held(size * rng.uniform(-1.0, 1.0, d)),
        unit=float(np.float32(size ** rng.choice([0.0, 0.5, 1.0]))),
        offsets=held(-(10.0 ** rng.uniform(-3.0, 0.5, k))),
        slopes=held(rng.standard_normal((k, d)) * 10.0 ** rng.uniform(-1.0, 1.0, (k, 1))),
        curved=held(curved + np.swapaxes(curved, -1, -2)),
        limit=float(rng.choice([0.0, 0.1])),
    )


def black_box(problem: Problem, dtype: torch.dtype, decimals: int | None, returned: str) -> Callable[[Any], Any]:
    """Return the constraint as a user has it."""

    def constraint(policy: Parameters) -> Any:
        values = problem.values(policy.theta.detach(), dtype)
        return values.numpy().round(decimals) if decimals is not None else RETURNED[returned](values)

    return constraint


@dataclass(frozen=True)
class Run:
    """What became of a problem.

    Attributes:
        said: what was drawn.
        worst: the largest exact value of an iterate after the start.
        unsafe: the number of iterates that are unsafe in truth.
        still: the last iterates are the same, and the loss has a gradient there.
        warned: some warning was given.
        moved: how far the run came, over the unit.
    """

    said: dict[str, Any]
    worst: float
    unsafe: int
    still: bool
    warned: bool
    moved: float
    rollouts: int


def run(kind: str, number: int) -> Run:
    """Train on the problem of this number."""
    policy_dtype, dtype, decimals = KINDS[kind]
    rng = np.random.default_rng([SEED, list(KINDS).index(kind), number])
    size = (1.0, 1e3, 1e6)[number % 3]
    problem = problem_of(rng, size)
    known = bool(rng.random() < 0.7)
    said = {
        "kind": kind,
        "number": number,
        "size": size,
        "unit": problem.unit,
        "known": known,
        "verify": bool(rng.integers(2)) or not known,
        "look": bool(rng.integers(2)),
        "kappa": float(rng.choice([0.5, 1.0])),
        "returned": str(rng.choice(list(RETURNED))),
        "count": int(rng.choice([4, 32])),
        "rate": float(rng.choice([0.01, 0.1, 0.5])),
        "momentum": float(rng.choice([0.0, 0.9])),
    }
    policy = Parameters(problem.centre.to(policy_dtype))
    wish = (problem.centre + 3.0 * problem.unit * torch.from_numpy(rng.standard_normal(policy.theta.numel()))).to(
        policy_dtype
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        safe = scpo.SafeOptimizer(
            torch.optim.SGD(policy.parameters(), lr=said["rate"], momentum=said["momentum"]),
            policy,
            black_box(problem, dtype, decimals, said["returned"]),
            directions=scpo.Isotropic(count=said["count"]),
            smoothness=problem.constants() if known else None,
            kappa=said["kappa"],
            verify=said["verify"],
            look=said["look"],
            seed=number,
        )
        worst, unsafe, iterates = -np.inf, 0, [policy.theta.detach().clone()]
        for _ in range(UPDATES):
            safe.zero_grad()
            (0.5 * (policy.theta - wish).square().sum()).backward()
            safe.step()
            iterates.append(policy.theta.detach().clone())
            true = float(problem.values(iterates[-1].double(), torch.float64).max())
            worst, unsafe = max(worst, true), unsafe + (true > 0)
    still = all(torch.equal(one, iterates[-1]) for one in iterates[-STILL - 1 :])
    still = still and not torch.equal(iterates[-1], wish)
    moved = float(torch.linalg.vector_norm((iterates[-1] - iterates[0]).double())) / problem.unit
    return Run(said, worst, unsafe, still, bool(caught), moved, safe.evaluate.rollouts)


def main(folder: Path, options: Options) -> list[Row]:
    """Train on all problems."""
    shutil.rmtree(KEPT, ignore_errors=True)
    torch.set_num_threads(1)
    rows = []
    for kind in KINDS:
        rows += rows_of(kind, COUNT)
    return rows


def rows_of(kind: str, count: int) -> list[Row]:
    """Train on ``count`` problems of a kind."""
    runs, errors = [], 0
    for number in range(count):
        try:
            one = run(kind, number)
        except Exception as error:  # whatever it is, it is counted
            errors += 1
            keep(kind, number, {"error": f"{type(error).__name__}: {error}"})
            continue
        runs.append(one)
        if one.unsafe or (one.still and not one.warned):
            keep(kind, number, one.said | {"worst": one.worst, "unsafe": one.unsafe, "still": one.still})
    unsafe = sum(one.unsafe > 0 for one in runs)
    worst = max((one.worst for one in runs if one.unsafe), default=0.0)
    still, silent = sum(one.still for one in runs), sum(one.still and not one.warned for one in runs)
    print(
        kind,
        "median moved",
        np.median([one.moved for one in runs]),
        "rollouts",
        np.mean([one.rollouts for one in runs]),
    )
    return [
        Row(
            f"{kind}: {count} problems",
            "none with an unsafe iterate, no error",
            f"{unsafe} with one (worst {worst:.2g}), {errors} errors",
            not unsafe and not errors,
        ),
        Row(f"{kind}: stand still for good", "all with a warning", f"{still}, {silent} without", not silent),
    ]


def keep(kind: str, number: int, said: dict[str, Any]) -> None:
    """Write what failed to a file."""
    KEPT.mkdir(parents=True, exist_ok=True)
    name = f"{list(KINDS).index(kind)}-{number:04d}.json"
    (KEPT / name).write_text(json.dumps({"kind": kind, "number": number} | said, indent=2) + "\n")
