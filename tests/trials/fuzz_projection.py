"""Projections of 14,000 random steps, many of them degenerate, by each backend and in threads: an answer for each.

An answer lies in the region and is as near to the target as another backend's.  Where a slack is so small that rounding
hides it, a SolverError will do, too.  What fails is kept, with its input, in results/trials/fuzz_projection/.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scpo.arrays import Array, length_of
from scpo.errors import SolverError
from scpo.projection.project import Projection, project_onto
from scpo.projection.region import LocalSafeRegion
from tests.scpo.instances import KINDS, draw

from .common import PROJECT, Options, Row

COUNT, IN_THREADS, THREADS, SEED = 14_000, 400, 4, 30_000
BACKENDS = ("auto", "sqp", "clarabel")
#: how far apart, relative to the longest step of the region, the distances of two answers may lie
APART = 1e-5
#: what is done to an instance of tests/scpo/instances.py
TWISTS = ("as drawn", "rows repeated", "long step", "tiny slack", "repeated, long", "scaled rows", "unlike directions")
METRICS = ("none", "diagonal", "matrix")
#: a slack below this share of its row's largest value at the target is hidden by rounding
HIDDEN = 1e-13
#: seconds of processor time that no projection takes
SLOW = 5.0
KEPT = PROJECT / "results/trials/fuzz_projection"


@dataclass(frozen=True)
class Case:
    """One projection: what it was made of, and its arguments."""

    number: int
    kind: str
    twist: str
    region: LocalSafeRegion
    target: Array
    metric: Array | None

    def solve(self, backend: str = "auto") -> Projection:
        """Return the projection by a backend."""
        return project_onto(self.region, self.target, metric=self.metric, backend=backend)

    @property
    def ordinary(self) -> bool:
        """True if no slack is hidden by rounding."""
        slack, largest = -self.region.kappa * self.region.values, self.region.norms * length_of(self.target)
        return not ((slack > 0) & (slack < HIDDEN * largest)).any()

    def keep(self, wrong: str) -> None:
        """Write the arguments and what was wrong to a file."""
        KEPT.mkdir(parents=True, exist_ok=True)
        region = self.region
        arrays = {"values": region.values, "slopes": region.slopes, "smoothness": region.smoothness}
        arrays |= {"probe_error": region.probe_error, "radius": region.radius, "kappa": region.kappa}
        metric = {} if self.metric is None else {"metric": self.metric}
        said = {"wrong": wrong, "kind": self.kind, "twist": self.twist}
        np.savez(KEPT / f"{self.number:05d}.npz", target=self.target, **arrays, **metric, **said)  # type: ignore[arg-type]


def case(number: int) -> Case:
    """Return the case of this number."""
    rng = np.random.default_rng([SEED, number])
    kind, twist = list(KINDS)[number % len(KINDS)], TWISTS[number // len(KINDS) % len(TWISTS)]
    drawn = draw(kind, SEED + number)
    region, target = drawn.region, drawn.target
    if "repeated" in twist and region.values.size:
        region = region.of_rows(rng.integers(region.values.size, size=2 * region.values.size))
    if "long" in twist:
        target = target * 10.0 ** rng.uniform(2, 6)
    if twist == "tiny slack":
        region = replace(region, values=region.values * 10.0 ** rng.uniform(-12, -3))
    if twist == "scaled rows":
        unit = 10.0 ** rng.uniform(-4, 4, region.values.size)
        region = LocalSafeRegion.build(
            region.values * unit,
            region.slopes * unit[:, None],
            region.smoothness * unit,
            region.probe_error * unit,
            region.radius,
            region.kappa,
        )
    metric = _metric(METRICS[number % 3], target.size, rng, 1.5 if twist == "unlike directions" else 0.5)
    if twist == "unlike directions":  # and a row that may not rise, as the loss may not
        fall = target if metric is None else metric @ target if metric.ndim == 2 else metric * target
        region = _with_row(region, length_of(fall) * rng.normal(size=target.size) - fall)
    return Case(number, kind, twist, region, target, metric)


def _with_row(region: LocalSafeRegion, slope: Array) -> LocalSafeRegion:
    """Return the region with a linear row that has no slack."""
    return LocalSafeRegion.build(
        np.append(region.values, 0.0),
        np.vstack([region.slopes, slope]),
        np.append(region.smoothness, 0.0),
        np.append(region.probe_error, 0.0),
        region.radius,
        region.kappa,
    )


def _metric(name: str, n: int, rng: np.random.Generator, width: float) -> Array | None:
    if name == "none":
        return None
    diagonal = 10.0 ** (width * rng.normal(size=n))
    if name == "diagonal":
        return diagonal
    turned = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = turned @ np.diag(diagonal) @ turned.T
    return np.asarray(0.5 * (matrix + matrix.T))


def wrong(one: Case, found: dict[str, Projection]) -> str:
    """Return what is wrong with the answers of the backends to a case, or ""."""
    for name, answer in found.items():
        if not one.region.contains(answer.point):
            return f"{name}: outside the region"
    metric = np.ones(one.target.size) if one.metric is None else one.metric
    root = np.diag(np.sqrt(metric)) if metric.ndim == 1 else np.linalg.cholesky(metric).T
    lengths = {name: length_of(root @ (answer.point - one.target)) for name, answer in found.items()}
    span = length_of(root @ one.target)
    if max(lengths.values()) - min(lengths.values()) > APART * span:
        return f"distances differ: {lengths}"
    return ""


def main(folder: Path, options: Options) -> list[Row]:
    """Project all cases one after the other, and some of them again in threads."""
    shutil.rmtree(KEPT, ignore_errors=True)
    warnings.simplefilter("error")
    failed, retried, slowest = Counter[str](), 0, 0.0
    ran, hidden = Counter[str](), 0
    for number in range(COUNT):
        one, found = case(number), {}
        fault, unsolved = "", False
        for backend in BACKENDS if number % 4 == 0 else BACKENDS[:1]:
            began = time.thread_time()
            try:
                found[backend] = one.solve(backend)
                retried += bool(found[backend].retries)
            except Exception as error:  # whatever it is, it is counted
                fault = f"{backend}: {type(error).__name__}: {error}"
                unsolved = isinstance(error, SolverError)
            slowest = max(slowest, time.thread_time() - began)
        fault = fault or wrong(one, found)
        ran[one.twist] += 1
        if fault:
            one.keep(fault)
            excused = unsolved and not one.ordinary
            hidden += excused
            failed[one.twist] += not excused
    rows = [
        Row(f"{ran[twist]} projections, {twist}", "0 failures", f"{failed[twist]} failures", not failed[twist])
        for twist in TWISTS
    ]
    rows.append(Row("processor time of the slowest", f"below {SLOW:g} s", f"{slowest:.2f} s", slowest < SLOW))
    rows.append(Row("no answer where rounding hides a slack", "counted", f"{hidden}", passed=True))
    rows.append(Row("answers by the second backend", "counted", f"{retried}", passed=True))
    return [*rows, _threads()]


def _threads() -> Row:
    cases = [(case(number), backend) for number in range(IN_THREADS) for backend in BACKENDS[1:]]

    def answer(given: tuple[Case, str]) -> bytes:
        try:
            return given[0].solve(given[1]).point.tobytes()
        except SolverError:
            return b"none"

    alone = [answer(given) for given in cases]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(answer, cases))
    differing = [given[0] for given, one, other in zip(cases, alone, together, strict=True) if one != other]
    for one in differing:
        one.keep("differs in threads")
    name = f"{len(cases)} projections by {THREADS} threads"
    return Row(name, "the same bits as by one", f"{len(differing)} differ", not differing)
