"""All backends give the same projection on 1,012 random instances, degenerate ones included.

``python -m tests.test_backend_agreement`` prints the table.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache

import numpy as np
import pytest

from scpo.projection import solvers
from scpo.projection.project import GAP_TOLERANCE, KKT_TOLERANCE, SLATER_SLACK, Projection, project_onto, residuals

from .instances import KINDS, Instance, draw

SEEDS = 46
#: The literal reading is slow: it takes every second seed at a small size, and these kinds once at a large one.
LITERAL_EVERY = 2
LARGE = ("plain", "zero slack", "duplicate rows", "mixed g")


@dataclass(frozen=True)
class Row:
    """What one kind of instance showed; lengths are relative to the longest step that S may hold."""

    kind: str
    instances: int
    solves: int
    kkt: float
    gap: float
    disagreement: float
    retries: int
    failures: int


def _backends(instance: Instance, seed: int) -> list[str]:
    names = ["clarabel", "sqp", "auto"]
    if instance.region.values.size <= 1:
        names.append("root")
    if seed % LITERAL_EVERY == 0:
        names.append("cvxpy-scs")
    return names


def _instances(kind: str) -> list[tuple[int, Instance]]:
    found = []
    for seed in range(SEEDS):
        small = seed % LITERAL_EVERY == 0
        found.append((seed, draw(kind, seed, n=1 + seed % 3 if small else None, k=1 + seed % 5 if small else None)))
    if kind in LARGE:
        found[0] = (0, draw(kind, 1000, n=16, k=40))
    return found


def certified(instance: Instance, answer: Projection) -> bool:
    """The tolerances of the project, measured again from the returned point and multipliers."""
    region, target = instance.region, instance.target
    if not region.contains(answer.point) or answer.point @ answer.point > answer.point @ target:
        return False
    if answer.backend == "none":
        return True
    kkt, gap, slater = residuals(region, target, answer.point, answer.duals)
    return kkt <= KKT_TOLERANCE or (slater < SLATER_SLACK and gap <= GAP_TOLERANCE)


@cache
def agreement(kind: str) -> Row:
    """Solve every instance of a kind with every backend that applies."""
    solves = retries = failures = 0
    kkt = gap = disagreement = 0.0
    instances = _instances(kind)
    for seed, instance in instances:
        longest = max(solvers.reach(instance.region, instance.target), 1e-300)
        answers = [project_onto(instance.region, instance.target, backend=b) for b in _backends(instance, seed)]
        for answer in answers:
            solves += 1
            retries += len(answer.retries)
            failures += not certified(instance, answer)
            # multipliers need not exist without Slater's condition: the gap is the measure there
            kkt = max(kkt, answer.kkt_residual if answer.kkt_residual <= KKT_TOLERANCE else 0.0)
            gap = max(gap, answer.gap)
            disagreement = max(disagreement, float(np.linalg.norm(answer.point - answers[0].point)) / longest)
    return Row(kind, len(instances), solves, kkt, gap, disagreement, retries, failures)


def table() -> list[Row]:
    """One row per kind."""
    return [agreement(kind) for kind in KINDS]


def test_there_are_a_thousand_instances() -> None:
    assert SEEDS * len(KINDS) >= 1000


@pytest.mark.parametrize("kind", KINDS)
def test_backends_agree(kind: str) -> None:
    row = agreement(kind)
    assert row.failures == 0
    assert row.gap <= GAP_TOLERANCE
    assert row.disagreement <= 1e-6


if __name__ == "__main__":
    print(f"{'kind':20s} {'instances':>9s} {'solves':>6s} {'KKT':>8s} {'gap':>8s} {'differ':>8s} retries failures")
    for line in table():
        print("{:20s} {:9d} {:6d} {:8.1e} {:8.1e} {:8.1e} {:7d} {:8d}".format(*astuple(line)))
