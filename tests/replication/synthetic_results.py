"""Builds small result folders with the schema of real runs, without training anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from replication.config import Config, dump
from replication.experiments import POLICIES, quantities
from replication.results.inventory import STATIONARITY
from replication.results.quantities import FILE
from replication.tasks.regression.settings import RegressionConfig

from . import synthetic_double_integrator, synthetic_falsification
from .synthetic_updates import made_once, write_updates

EXPERIMENT = "regression"


def target(x: np.ndarray) -> np.ndarray:
    """The regression target, written again so that the tests do not lean on the code under test."""
    return np.sin(x) + np.sin(3 * x) + np.sin(7 * x)


def small_config(epochs: int = 40, seeds: int = 2, *, double_integrator: bool = False) -> Config:
    """Return a valid configuration with few epochs, few seeds from 0 on, and every default arm."""
    raw = Config(scale="synthetic").model_dump(mode="json")
    raw["double_integrator"] = synthetic_double_integrator.small_section(seeds) if double_integrator else None
    raw[EXPERIMENT]["schedule"] |= {"epochs": epochs, "evaluate_every": max(1, epochs // 8)}
    for arm in raw[EXPERIMENT]["arms"].values():
        arm |= {"seeds": min(arm["seeds"], seeds), "first_seed": 0}
        if "schedule" in arm["overrides"]:
            arm["overrides"]["schedule"] = {"epochs": max(1, epochs // 2)}
    return Config.model_validate(raw)


def write_results(results: Path, config: Config | None = None) -> Config:
    """Write config.json and every run under ``results``; return the configuration."""
    config = config or small_config()
    results.mkdir(parents=True, exist_ok=True)
    (results / "config.json").write_text(dump(config), encoding="utf-8")
    if config.regression is not None:
        write_regression(results, config.regression)
    if config.double_integrator is not None:
        synthetic_double_integrator.write_results(results, config.double_integrator)
    write_referee(results, config)
    synthetic_falsification.write(results)
    write_policies(results, config)
    return config


def write_regression(results: Path, settings: RegressionConfig) -> None:
    """Write every run of the regression and the distances from an optimum."""
    for name, arm in settings.arms.items():
        for seed in arm.seed_range:
            schedule = settings.for_arm(name).schedule
            of = (schedule.epochs, schedule.updates_per_epoch, schedule.evaluate_every)
            write_run(results / EXPERIMENT / name / f"seed-{seed}", name, arm.method, arm.dataset, seed, *of)
    residuals = [
        {"arm": name, "seed": seed, "active": 12, "residual": 0.01 * (1 + seed)}
        for name, arm in settings.arms.items()
        if arm.method == "scpo"
        for seed in arm.seed_range
    ]
    (results / STATIONARITY).write_text(json.dumps({"near": 0.005, "runs": residuals}), encoding="utf-8")


def write_quantities(results: Path) -> None:
    """Write the table of quantities of synthetic results, as its rule does."""
    quantities.main(results, results / FILE)


def write_policies(results: Path, config: Config) -> None:
    """Write the saved policies of each experiment's plain arms: a few numbers for each evaluation."""
    for experiment, width in (("regression", 20), ("double-integrator", 1185)):
        arrays = {}
        for run in sorted(results.glob(f"{experiment}/*/seed-*")):
            arm, seed = run.parent.name, int(run.name.removeprefix("seed-"))
            if arm.removesuffix("-mixed") not in ("scpo", "unconstrained") or seed > 0:
                continue
            updates = pd.read_parquet(run / "evaluations.parquet")["update"].to_numpy()
            numbers = np.random.default_rng(seed).normal(size=(len(updates), width))
            x = np.linspace(-np.pi, np.pi, width, dtype=np.float32)
            shown = {"x": x, "pi": numbers.astype(np.float32)} if experiment == EXPERIMENT else {"theta": numbers}
            arrays |= {f"{arm}/{seed}/{name}": array for name, array in (shown | {"updates": updates}).items()}
        if experiment in config.experiments:
            np.savez(results / experiment / POLICIES, **arrays)


def write_referee(results: Path, config: Config) -> None:
    """Write a summary of the referee without any disagreement."""
    arms = [
        {
            "experiment": experiment,
            "arm": name,
            "runs": arm.seeds,
            "iterates": 9,
            "values": 54,
            "recorded": 0,
            "recomputed": 0,
        }
        | {"worst_g": 0.0, "worst_other": 3.3e-16}
        for experiment, section in config.experiments.items()
        for name, arm in section.arms.items()
    ]
    (results / "referee.json").write_text(json.dumps({"tolerance": 1e-9, "every": 5, "arms": arms}), encoding="utf-8")


@made_once
def write_run(
    folder: Path, arm: str, method: str, dataset: str, seed: int, epochs: int, per_epoch: int, every: int
) -> None:
    """Write the files of one run with plausible curves, evaluated ``every`` so many epochs."""
    rng = np.random.default_rng([seed, len(arm)])
    safe = method == "scpo"
    table = _updates(rng, safe, epochs * per_epoch, per_epoch)
    evaluations = _evaluations(rng, safe, table, every * per_epoch)
    x = np.linspace(-np.pi, np.pi, 400)
    wiggle = np.convolve(rng.normal(size=400), np.ones(9) / 75, "same")
    pi = target(x) * np.exp(-((np.abs(x) / 2.9) ** 8)) + wiggle
    pi = np.clip(pi, -1.385, 1.388) if safe else pi
    evaluations.to_parquet(folder / "evaluations.parquet")
    pd.DataFrame({"x": x, "pi": pi}).to_parquet(folder / "curve.parquet")
    summary = {
        "experiment": EXPERIMENT,
        "arm": arm,
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "final": evaluations.iloc[-1].to_dict(),
        "initial": evaluations.iloc[0].to_dict(),
    }
    (folder / "run.json").write_text(json.dumps(summary), encoding="utf-8")
    write_updates(folder, table)


def _updates(rng: np.random.Generator, safe: bool, updates: int, per_epoch: int) -> pd.DataFrame:
    update = np.arange(updates + 1)
    epoch = update / per_epoch
    decay = 1.5 * np.exp(-epoch / 70)
    loss = np.maximum(decay, 0.055 if safe else 0.012) * np.exp(0.25 * rng.normal(size=updates + 1))
    if safe:
        slack = 1.4 * np.exp(-epoch / 25) + 2e-3 * np.exp(0.9 * rng.normal(size=updates + 1)) / (1 + epoch / 300)
        max_g = -slack
        late = np.flatnonzero(epoch > 0.6 * epoch[-1])
        if rng.random() < 0.3 and late.size:
            max_g[rng.choice(late)] = 3.1e-5
        used = 8 + 160 * (1 - np.exp(-epoch / 60)) * np.exp(0.1 * np.sin(epoch / 200))
        needed = used * 0.22 * np.exp(0.4 * rng.normal(size=updates + 1))
    else:
        max_g = -1.4 + 1.92 * (1 - np.exp(-epoch / 40)) + 0.03 * rng.normal(size=updates + 1)
        max_g[0] = -1.4
        used = needed = np.full(updates + 1, np.nan)
    misses = np.where(needed > used, rng.integers(1, 4, updates + 1), 0)
    nan = np.full(updates + 1, np.nan)
    return pd.DataFrame(
        {
            "update": update,
            "epoch": epoch,
            "loss": loss,
            "max_g": max_g,
            "projected": (epoch > 10) & safe,
            "restoring": np.zeros(updates + 1, dtype=bool),
            "unsafe_iterate": max_g > 0,
            "unsafe_proposals": np.zeros(updates + 1, dtype=np.int64),
            "unsafe_probes": np.where(safe, rng.integers(0, 2, updates + 1) * (update % 50 == 0), 0),
            "bound_misses": misses,
            "worst_miss": np.where(update == 0, np.nan, (needed - used) * 1e-6),
            "nominal_norm": np.full(updates + 1, 0.02),
            "step_norm": np.full(updates + 1, 0.01),
            "smoothness_median": used * 0.4,
            "smoothness_max": used,
            "required_median": np.where(update == 0, np.nan, needed * 0.3),
            "required_max": np.where(update == 0, np.nan, needed),
            "captured_energy": np.full(updates + 1, 0.999) if safe else nan,
            "solver_retries": np.zeros(updates + 1, dtype=np.int64),
            "rollouts": update * 34 + 1,
        }
    )


def _evaluations(rng: np.random.Generator, safe: bool, table: pd.DataFrame, every: int) -> pd.DataFrame:
    rows = table[(table["update"] % every == 0) | (table["update"] == len(table) - 1)]
    count = len(rows)
    loss = rows["loss"].to_numpy()
    late = np.minimum(rows["epoch"].to_numpy() / 1000, 1.0)
    heldout = np.where(rows["max_g"] > -0.1, rows["max_g"] + 0.012 * late, rows["max_g"])
    return pd.DataFrame(
        {
            "update": rows["update"].to_numpy(),
            "epoch": rows["epoch"].to_numpy(),
            "fresh_loss": loss * np.exp(0.05 * rng.normal(size=count)),
            "clipped_loss": loss * 0.4,
            "uniform_loss": loss + (0.1 if safe else 0.08),
            "heldout_max_g": heldout,
            "heldout_unsafe": np.where(heldout > 0, 0.002 if safe else 0.2, 0.0),
            "rejected_share": np.where(np.arange(count) > 0, 0.9 * late if safe else 0.0, np.nan),
            "clean_rejected_share": np.where(np.arange(count) > 0, 0.2 * late if safe else 0.0, np.nan),
        }
    )
