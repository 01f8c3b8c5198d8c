"""Result folders in which the evidence of a claim is good or bad as wished, with stamps that match."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replication.claims.claims import Claim, Claims, load
from replication.config import Config
from replication.results.inventory import BENCHMARKS
from replication.scales import load_scale
from replication.study.preregistration import SCALE

from . import synthetic_falsification
from .synthetic_double_integrator import BACKUP_COST, MPC_COST
from .synthetic_metrics import write_metrics
from .synthetic_results import small_config, write_results
from .synthetic_stamps import write_stamps

FAR, CLEAR = 10.0, 0.01  # from what is expected: when it deviates, and when it holds
ARMS = {arm for claim in load().claims for arm in (*claim.needs.arms, *claim.needs.baselines)}
ARMS.add("regression/scpo-verified")


def paper_config(scale: str = "paper") -> Config:
    """Return a small configuration with the arms that claims speak of, and a verified one; it has a late loss."""
    raw = small_config(double_integrator=True).model_dump(mode="json") | {"scale": scale}
    for experiment in ("regression", "double-integrator"):
        section = raw[experiment.replace("-", "_")]
        section["arms"] = {name: arm for name, arm in section["arms"].items() if f"{experiment}/{name}" in ARMS}
    raw["regression"]["schedule"] |= {"epochs": 1000, "updates_per_epoch": 1, "evaluate_every": 100}
    return Config.model_validate(raw)


def study_config(stated: Claims) -> Config:
    """Return a small configuration with the study's arms that its claims speak of."""
    raw = small_config(double_integrator=True).model_dump(mode="json") | {"scale": "study"}
    named = {arm for claim in stated.claims for arm in (*claim.needs.arms, *claim.needs.baselines)}
    for experiment, section in load_scale(SCALE).experiments.items():
        arms = {name: arm.model_dump(mode="json") for name, arm in section.arms.items()}
        chosen = {name: arm for name, arm in arms.items() if f"{experiment}/{name}" in named}
        for arm in chosen.values():
            arm["overrides"] = {key: value for key, value in arm["overrides"].items() if key != "schedule"}
        raw[experiment.replace("-", "_")]["arms"] = {
            name: arm | {"seeds": 2, "first_seed": 0} for name, arm in chosen.items()
        }
    raw["regression"]["schedule"] |= {"epochs": 1000, "updates_per_epoch": 1, "evaluate_every": 100}
    return Config.model_validate(raw)


def write(results: Path) -> Config:
    """Write results with stamps; return their configuration."""
    return write_of(results, paper_config())


def write_of(results: Path, config: Config) -> Config:
    """Write results of a configuration with stamps; return it."""
    write_results(results, config)
    write_stamps(results, config)
    return config


def copied(results: Path, out: Path, arms: Iterable[str]) -> Path:
    """Copy what belongs to the results as a whole, and the runs of some arms."""
    for path in [*results.glob("*"), *results.glob("*/*")]:
        if path.is_file():
            (out / path.relative_to(results)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, out / path.relative_to(results))
    for arm in set(arms):
        shutil.copytree(results / arm, out / arm)
    return out


def relaxed(claim: Claim) -> Claim:
    """Return the claim, content with few seeds and short runs."""
    seeds = 1 if "certificates" in claim.needs.others else min(2, claim.needs.seeds)
    return claim.model_copy(update={"needs": claim.needs.model_copy(update={"seeds": seeds, "updates": 1})})


def plant(results: Path, config: Config, claim: Claim, *, good: bool) -> None:
    """Make the evidence of ``claim`` good or bad, and write stamps that match."""
    least, most = claim.expected if isinstance(claim.expected, tuple) else (claim.expected, claim.expected)
    up = claim.comparator in ("equals", "at_most", "below", "within", "covers")
    inside = {"at_most": -CLEAR, "below": -CLEAR, "at_least": CLEAR}.get(claim.comparator, 0.0)
    value = (least + most) / 2 + inside if good else (most + FAR if up else least - FAR)
    folders = {arm: sorted((results / arm).glob("seed-*")) for arm in (*claim.needs.arms, *claim.needs.baselines)}
    judged = [folder for arm in claim.needs.arms for folder in folders[arm]]
    if claim.quantity in _ROWS:
        few = up or claim.pairing is not None  # as few as possible are expected, of a reduction too
        for folder in judged:
            _rows(folder, _ROWS[claim.quantity](good == few))
        for arm in claim.needs.baselines:
            for folder in folders[arm]:
                _rows(folder, lambda rows: rows.update_from(1, unsafe_iterate=True, max_g=1.0))
    elif claim.quantity in _WHOLE:
        _WHOLE[claim.quantity](results, claim, value, good)
    else:
        for folder in judged:
            _RUNS[claim.quantity](folder, value)
        for arm in claim.needs.baselines:
            for folder in folders[arm]:
                _RUNS[claim.quantity](folder, 0.0)
    write_stamps(results, config)


class Rows:
    """Rows of metrics.parquet, made clean, to be changed from an update on."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.update_from(0, max_g=np.minimum(frame["max_g"], -0.01), unsafe_iterate=False, bound_misses=0)

    def update_from(self, first: int, **columns: Any) -> None:
        for name, value in columns.items():
            self.frame.loc[first:, name] = value
        self.frame["margin"] = -self.frame["max_g"]


def _rows(folder: Path, change: Callable[[Rows], None]) -> None:
    rows = Rows(pd.read_parquet(folder / "metrics.parquet"))
    change(rows)
    write_metrics(folder, rows.frame)


def _unsafe(first: int) -> Callable[[Rows], None]:
    return lambda rows: rows.update_from(first, unsafe_iterate=True, max_g=1e-9)


def _missed(first: int) -> Callable[[Rows], None]:
    return lambda rows: rows.update_from(first, bound_misses=1)


def _nothing(_: Rows) -> None:
    return None


def _missed_then_unsafe(rows: Rows) -> None:
    _missed(3)(rows)
    _unsafe(4)(rows)


_ROWS: dict[str, Callable[[bool], Callable[[Rows], None]]] = {
    "unsafe-iterates": lambda good: _nothing if good else _unsafe(5),
    "unsafe-share": lambda good: _nothing if good else _unsafe(5),
    "unsafe-before-a-miss": lambda good: _missed_then_unsafe if good else _unsafe(5),
    "worst-g": lambda good: _nothing if good else (lambda rows: rows.update_from(7, unsafe_iterate=True, max_g=0.1)),
    "bound-misses": lambda good: _nothing if good else _missed(20),
    "bound-miss-share": lambda good: _nothing if good else _missed(20),
}


def _summary(folder: Path, **values: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def _held_out(when: str, name: str) -> Callable[[Path, float], None]:
    def change(folder: Path, value: float) -> None:
        _summary(folder, **{when: json.loads((folder / "run.json").read_text())[when] | {name: value}})

    return change


def _evaluations(**columns: Callable[[float], float]) -> Callable[[Path, float], None]:
    def change(folder: Path, value: float) -> None:
        frame = pd.read_parquet(folder / "evaluations.parquet")
        for name, of in columns.items():
            frame[name] = of(value)
        frame.to_parquet(folder / "evaluations.parquet")

    return change


def _removable(folder: Path, value: float) -> None:
    _held_out("initial", "fresh_loss")(folder, 1.5)
    _held_out("final", "fresh_loss")(folder, 0.045 if value > 0 else 1.5)


def _reduced(name: str) -> Callable[[Path, float], None]:
    def change(folder: Path, value: float) -> None:
        _held_out("initial", name)(folder, 1.0)
        _held_out("final", name)(folder, 1.0 - value)

    return change


def _curve(folder: Path, value: float) -> None:
    frame = pd.read_parquet(folder / "curve.parquet")
    frame.assign(pi=value).to_parquet(folder / "curve.parquet")


_RUNS: dict[str, Callable[[Path, float], None]] = {
    "near-miss-share": lambda folder, value: _summary(
        folder, near_constraints=1000, near_misses=max(0, int(1000 * value))
    ),
    "unsafe-nominal-rejected": lambda folder, value: _summary(
        folder, nominal_checked=10, nominal_unsafe=10, nominal_unsafe_taken=0 if value > 0 else 10
    ),
    "cost-over-backup": lambda folder, value: _held_out("final", "cost")(folder, value * BACKUP_COST),
    "scenario-loss": _held_out("final", "scenario_loss"),
    "heldout-unsafe-share": _held_out("final", "heldout_unsafe"),
    "heldout-worst-g": _evaluations(heldout_max_g=lambda value: value),
    "solver-failures": lambda folder, value: _summary(folder, solver_failures=int(value)),
    "harmful-part-removed": _evaluations(rejected_share=lambda value: 0.5 + value, clean_rejected_share=lambda _: 0.5),
    "removable-loss-removed": _removable,
    "fresh-loss": _held_out("final", "fresh_loss"),
    "fresh-loss-reduction": _reduced("fresh_loss"),
    "clean-loss-reduction": _reduced("clean_loss"),
    "gap-closed": lambda folder, value: _held_out("final", "cost")(
        folder, BACKUP_COST - value * (BACKUP_COST - MPC_COST)
    ),
    "initial-uniform-loss": _held_out("initial", "uniform_loss"),
    "loss-at-200": _evaluations(fresh_loss=lambda value: value),
    "late-loss": _evaluations(fresh_loss=lambda value: value),
    "uniform-loss": _held_out("final", "uniform_loss"),
    "upper-level": _curve,
    "lower-level": _curve,
    "spectral-radius": _held_out("final", "spectral_radius"),
}


def _referee(key: str) -> Callable[[Path, Claim, float, bool], None]:
    def change(results: Path, claim: Claim, value: float, good: bool) -> None:
        path = results / "referee.json"
        found = json.loads(path.read_text())
        experiment, _, arm = claim.needs.arms[-1].partition("/") if claim.needs.arms else ("", "", "")
        for row in found["arms"]:
            if not arm or (row["experiment"], row["arm"]) == (experiment, arm):
                row[key] = math.ceil(value) if isinstance(row[key], int) else value  # counts are whole
        path.write_text(json.dumps(found), encoding="utf-8")

    return change


def _differences(loss: str) -> Callable[[Path, Claim, float, bool], None]:
    def plant(results: Path, claim: Claim, value: float, good: bool) -> None:
        for arm, level in ((claim.needs.baselines[0], 0.0), (claim.needs.arms[0], value)):
            for folder in (results / arm).glob("seed-*"):
                _evaluations(**{loss: lambda value: value})(folder, level)

    return plant


def _certified(results: Path, claim: Claim, value: float, good: bool) -> None:
    for arm in claim.needs.arms:
        for path in (results / arm).glob("seed-*/certificate.json"):
            found = json.loads(path.read_text())
            found["final"]["certified"] = good
            path.write_text(json.dumps(found), encoding="utf-8")
            arrays = dict(np.load(path.with_suffix(".npz")))
            np.savez(path.with_suffix(".npz"), **arrays | {"mask": np.full_like(arrays["mask"], good)})


def _faults(results: Path, claim: Claim, value: float, good: bool) -> None:
    synthetic_falsification.write(results, caught=good)


def _ratio(results: Path, claim: Claim, value: float, good: bool) -> None:
    ratios = {claim.quantity.replace("-", "_"): value}
    (results.parent / BENCHMARKS).write_text(json.dumps({"ratios": ratios}), encoding="utf-8")


_WHOLE: dict[str, Callable[[Path, Claim, float, bool], None]] = {
    "planted-faults-missed": _faults,
    "recomputed-unsafe": _referee("recomputed"),
    "referee-difference": _referee("worst_other"),
    "clipped-loss-at-side": _differences("clipped_loss"),
    "fresh-loss-at-side": _differences("fresh_loss"),
    "uncertified": _certified,
    "certified-starts": _certified,
    "update-over-yardstick-regression": _ratio,
    "update-over-yardstick-double-integrator": _ratio,
    "update-over-gram-regression": _ratio,
    "update-over-gram-double-integrator": _ratio,
    "literal-over-update": _ratio,
    "exponent-in-dimension": _ratio,
}
