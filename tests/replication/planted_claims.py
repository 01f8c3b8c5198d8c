"""Result folders in which the evidence of a claim is good or bad as wished, with stamps that match."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replication.claims.claims import Claim, load
from replication.config import Config
from replication.results.inventory import BENCHMARKS
from replication.scales import load_scale
from replication.study.preregistration import SCALE

from . import synthetic_falsification
from .synthetic_double_integrator import BACKUP_COST, MPC_COST
from .synthetic_results import small_config, write_results
from .synthetic_stamps import write_stamps
from .synthetic_updates import write_updates

FAR, CLEAR = 10.0, 0.01  # from what is expected: when it deviates, and when it holds
ALL = {arm for claim in load().claims for arm in (*claim.needs.arms, *claim.needs.baselines)}


def study_config(scale: str = "study", arms: Collection[str] = ALL) -> Config:
    """Return a small configuration with those of the study's arms that claims speak of, or only with ``arms``."""
    raw = small_config(double_integrator=True).model_dump(mode="json") | {"scale": scale}
    for experiment, section in load_scale(SCALE).experiments.items():
        chosen = {
            name: arm.model_dump(mode="json") | {"seeds": 2, "first_seed": 0}
            for name, arm in section.arms.items()
            if f"{experiment}/{name}" in arms
        }
        for arm in chosen.values():
            arm["overrides"].pop("schedule", None)
        field = experiment.replace("-", "_")
        raw[field] = raw[field] | {"arms": chosen} if chosen else None
    raw["regression"]["schedule"] |= {"epochs": 1000, "updates_per_epoch": 1, "evaluate_every": 100}
    return Config.model_validate(raw)


def write(results: Path, config: Config | None = None) -> Config:
    """Write results of a configuration, by default the study's, with stamps; return it."""
    config = config or study_config()
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
    up = claim.comparator in ("equals", "at_most", "within", "covers")
    inside = {"at_most": -CLEAR, "at_least": CLEAR}.get(claim.comparator, 0.0)
    value = (least + most) / 2 + inside if good else (most + FAR if up else least - FAR)
    judged, baselines = (
        [folder for arm in arms for folder in sorted((results / arm).glob("seed-*"))]
        for arms in (claim.needs.arms, claim.needs.baselines)
    )
    if claim.quantity in _ROWS:
        for folder in judged:
            _rows(folder, _ROWS[claim.quantity] if good != up else _nothing)
    elif claim.quantity in _WHOLE:
        _WHOLE[claim.quantity](results, claim, value, good)
    else:
        for folder in judged:
            _RUNS[claim.quantity](folder, value)
        for folder in baselines:
            _RUNS[claim.quantity](folder, 0.0)
    write_stamps(results, config)


class Rows:
    """Rows of updates.parquet, made clean, to be changed from an update on."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.update_from(0, max_g=np.minimum(frame["max_g"], -0.01), unsafe_iterate=False, bound_misses=0)

    def update_from(self, first: int, **columns: Any) -> None:
        for name, value in columns.items():
            self.frame.loc[first:, name] = value


def _rows(folder: Path, change: Callable[[Rows], None]) -> None:
    rows = Rows(pd.read_parquet(folder / "updates.parquet"))
    change(rows)
    write_updates(folder, rows.frame)


def _nothing(_: Rows) -> None:
    return None


#: Quantities that count rows -> how rows are made that count.
_ROWS: dict[str, Callable[[Rows], None]] = {
    "unsafe-iterates": lambda rows: rows.update_from(5, unsafe_iterate=True, max_g=1e-9),
    "bound-misses": lambda rows: rows.update_from(20, bound_misses=1),
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
    "loss-at-200": _evaluations(fresh_loss=lambda value: value),
    "clipped-loss-at-side": _evaluations(clipped_loss=lambda value: value),
    "fresh-loss-at-side": _evaluations(fresh_loss=lambda value: value),
    "late-loss": _evaluations(fresh_loss=lambda value: value),
    "uniform-loss": _held_out("final", "uniform_loss"),
}


def _referee(results: Path, claim: Claim, value: float, good: bool) -> None:
    path = results / "referee.json"
    found = json.loads(path.read_text())
    for row in found["arms"]:
        row["worst_other"] = value
    path.write_text(json.dumps(found), encoding="utf-8")


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
    "referee-difference": _referee,
    "certified-starts": _certified,
    "update-over-gram-regression": _ratio,
    "update-over-gram-double-integrator": _ratio,
    "literal-over-update": _ratio,
    "exponent-in-dimension": _ratio,
}
