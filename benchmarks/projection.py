"""The projection by backend over (n, k), on instances shaped like those of a run, beside the literal way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import seconds
from replication import literal
from scpo.arrays import Array
from scpo.projection import solvers
from scpo.projection.project import project_onto
from scpo.projection.region import LocalSafeRegion

DIMENSIONS, ROWS = (8, 32, 128), (1, 20, 200, 500)
INSTANCES = 5
#: processor seconds after which a way gets no further instance of one shape
PATIENCE = 1.0


def instance(n: int, k: int, seed: int) -> tuple[LocalSafeRegion, Array]:
    """Return (region, target): k bounds on a smooth function of one variable in n features, from both sides.

    The target asks for more than the bounds allow on a part of the interval; a few of the rows are active there.
    """
    rng = np.random.default_rng([seed, n, k])
    x = np.linspace(-np.pi, np.pi, max(1, k // 2))
    frequencies, phases = rng.exponential(3.0, n), rng.uniform(0, 2 * np.pi, n)
    features = np.cos(x[:, None] * frequencies + phases) / np.sqrt(n)
    slopes = np.vstack([features, -features])[:k] if k > 1 else features[:1]
    sides = np.concatenate([np.ones(len(x)), -np.ones(len(x))])[: len(slopes)]
    values = np.minimum(-0.02, 0.6 * sides * np.sin(3 * np.resize(x, len(slopes))) - 0.65)
    wish = features.T @ (1.2 * np.sin(3 * x)) if k > 1 else 40.0 * features[0]
    target = wish / max(1.0, float(np.abs(features @ wish).max())) + 0.05 * rng.standard_normal(n)
    constants = 0.5 * np.exp(rng.normal(0.0, 1.0, len(slopes)))
    return LocalSafeRegion.build(values, slopes, constants, 1e-3 * constants, 1.0, 0.9), target


def ways() -> dict[str, Callable[[LocalSafeRegion, Array], object]]:
    """Return the ways to solve a problem: the backends, "auto" first, and the literal formulation."""
    names = ["auto", *solvers.BACKENDS]
    found = {name: lambda region, target, name=name: project_onto(region, target, backend=name) for name in names}
    return found | {"literal": literal.project}


def measure() -> list[dict[str, Any]]:
    """Return one row per shape: median seconds of each way over the instances, and the number of active rows."""
    rows = []
    for n in DIMENSIONS:
        for k in ROWS:
            instances = [instance(n, k, seed) for seed in range(INSTANCES)]
            active = [int(project_onto(region, target).active.sum()) for region, target in instances]
            rows.append({"n": n, "k": k, "active": float(np.median(active)), "seconds": _medians(ways(), instances)})
    return rows


def _medians(
    alternatives: dict[str, Callable[[LocalSafeRegion, Array], object]], instances: list[tuple[LocalSafeRegion, Array]]
) -> dict[str, float]:
    """Return each way's median over instances; all take turns, and a slow one is left out of the later instances."""
    taken: dict[str, list[float]] = {name: [] for name in alternatives}
    spent = dict.fromkeys(alternatives, 0.0)
    for region, target in instances:
        for name, way in alternatives.items():
            if spent[name] > PATIENCE:
                continue
            times = [
                seconds(lambda way=way, at=(region, target): way(*at)) for _ in range(1 if spent[name] > 0.1 else 4)
            ]
            spent[name] += sum(times)
            taken[name].append(min(times))  # the first call imports and builds
    return {name: float(np.median(times)) for name, times in taken.items()}
