"""Small result folders of the double integrator with the schema of real runs, without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replication.tasks.double_integrator.settings import DoubleIntegratorConfig

from .synthetic_updates import made_once, write_updates

EXPERIMENT = "double-integrator"
BACKUP_COST, MPC_COST = 42.0, 23.0
GAIN = np.array([[0.0794552458, 0.4481415435]])
A, B = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.0], [1.0]])


def small_section(seeds: int = 2) -> dict[str, Any]:
    """Return the experiment's section with a short schedule and few seeds from 0 on."""
    raw = DoubleIntegratorConfig().model_dump(mode="json")
    raw["schedule"] |= {"epochs": 8, "evaluate_every": 2}
    raw["certificate"] |= {"cells": 20, "seeds": 1}
    for arm in raw["arms"].values():
        arm |= {"seeds": min(arm["seeds"], seeds), "first_seed": 0}
    return raw


def write_results(results: Path, section: DoubleIntegratorConfig) -> None:
    """Write every run, the references and the certificates under ``results``."""
    assert section.certificate is not None
    updates = section.schedule.epochs * section.schedule.updates_per_epoch
    for name, arm in section.arms.items():
        for position, seed in enumerate(arm.seed_range):
            folder = results / EXPERIMENT / name / f"seed-{seed}"
            _write_run(folder, name, arm.method, arm.dataset, seed, updates)
            if position < section.certificate.seeds:
                _write_certificate(folder, arm.method == "scpo", section.rho, updates)
    _write_references(results / EXPERIMENT, section.rho)


@made_once
def _write_run(folder: Path, arm: str, method: str, dataset: str, seed: int, updates: int) -> None:
    rng = np.random.default_rng([seed, len(arm)])
    safe = method == "scpo"
    update = np.arange(updates + 1)
    drift = update / updates
    max_g = -0.05 * (1 - drift) - 1e-4 * np.exp(rng.normal(size=updates + 1)) if safe else -0.05 + 4.0 * drift
    value = 60.0 if safe else np.nan
    blank = np.full(updates + 1, np.nan)
    table = pd.DataFrame(
        {"update": update, "epoch": update / 10, "loss": 0.4 + 0.1 * rng.random(updates + 1), "max_g": max_g}
        | {"projected": np.full(updates + 1, safe), "restoring": np.zeros(updates + 1, dtype=bool)}
        | {"unsafe_iterate": max_g > 0, "unsafe_proposals": np.zeros(updates + 1, dtype=np.int64)}
        | {name: np.where(safe, update % 7 == 3, 0).astype(np.int64) for name in ("unsafe_probes", "bound_misses")}
        | dict.fromkeys(("smoothness_median", "smoothness_max", "required_median", "required_max"), blank + value)
        | {
            "worst_miss": np.where(safe & (update > 0), -1e-3, np.nan),
            "nominal_norm": blank,
            "step_norm": blank,
            "captured_energy": blank,
        }
        | {"solver_retries": np.zeros(updates + 1, dtype=np.int64), "rollouts": update * 34 + 1}
    )
    rows = table[table["update"] % 20 == 0]
    late = rows["update"].to_numpy() / updates
    good = {"cooperative": -0.15, "mixed": -0.1, "hostile": 0.2}[dataset]
    clean = np.full(len(rows), np.nan) if dataset == "hostile" else 0.25 + good * late
    cost = BACKUP_COST - 12 * late if safe else BACKUP_COST * np.exp(6 * late)
    evaluations = pd.DataFrame(
        {"update": rows["update"].to_numpy(), "epoch": rows["epoch"].to_numpy(), "cost": cost + 0.1 * seed}
        | {
            "good_loss": 0.25 + good * late,
            "clean_loss": clean,
            "scenario_loss": 1.0 - 0.5 * late,
            "spectral_radius": 0.79 + 0.1 * late,
        }
        | {"heldout_max_g": rows["max_g"].to_numpy() + 0.01 * late, "heldout_unsafe": 0.001 * late}
        | dict.fromkeys(("rejected_share", "clean_rejected_share"), 0.5 * late)
    )
    evaluations.to_parquet(folder / "evaluations.parquet")
    states, inputs = _simulate(_starts(), GAIN if safe else -GAIN)
    steps, count = states.shape[:2]
    order = states.transpose(1, 0, 2).reshape(-1, 2)
    pd.DataFrame(
        {"start": np.repeat(np.arange(count), steps), "t": np.tile(np.arange(steps), count), "x1": order[:, 0]}
        | {"x2": order[:, 1], "u": inputs[..., 0].T.reshape(-1), "psi": np.abs(order @ _facets().T).max(axis=1)}
    ).to_parquet(folder / "trajectories.parquet")
    grid = np.stack(np.meshgrid(np.linspace(-5, 5, 41), np.linspace(-5, 5, 41), indexing="ij"), axis=-1).reshape(-1, 2)
    inputs = np.clip(-(grid @ GAIN[0]), -1, 1)
    pd.DataFrame({"x1": grid[:, 0], "x2": grid[:, 1], "u": inputs}).to_parquet(folder / "surface.parquet")
    summary: dict[str, Any] = {"experiment": EXPERIMENT, "arm": arm, "dataset": dataset, "method": method, "seed": seed}
    for key, position in (("initial", 0), ("final", -1)):
        found = evaluations.iloc[position].to_dict()
        summary[key] = {name: None if np.isnan(number) else number for name, number in found.items()}
    (folder / "run.json").write_text(json.dumps(summary), encoding="utf-8")
    write_updates(folder, table)


def _write_certificate(folder: Path, certified: bool, rho: float, updates: int) -> None:
    edges = np.linspace(-5, 5, 21)
    mask = np.zeros((20, 20), dtype=bool)
    mask[4:16, 6:14] = certified
    refuted = np.zeros((20, 20), dtype=bool)
    refuted[:, :2] = True
    final = {"certified": certified, "area": 24.0 * certified, "level": 0.6 * certified, "covers_starts": False}
    final |= {"refuted_area": 10.0}
    on_the_way = {"area": final["area"], "invariant_area": 30.0 * certified, "level": 0.6}
    training = [{"update": update} | on_the_way for update in (0, updates // 2, updates)]
    figures = {"final": final | {"terminal_area": 0.5, "reasons": ""}, "over_training": training, "rho": rho}
    identity = json.loads((folder / "run.json").read_text())
    figures |= {"cells": 20, "arm": identity["arm"], "seed": identity["seed"]}
    (folder / "certificate.json").write_text(json.dumps(figures), encoding="utf-8")
    np.savez(folder / "certificate.npz", mask=mask, refuted=refuted, x1=edges, x2=edges)


def _write_references(folder: Path, rho: float) -> None:
    figures = {"costs": {"backup": BACKUP_COST, "mpc": MPC_COST}, "cost_starts": 1000, "cost_horizon": 100}
    figures |= {"gain": GAIN[0].tolist(), "spectral_radius": 0.794, "area": 41.57, "area_of_starts": 37.5, "rho": rho}
    figures |= {"area_control_invariant": 50.0, "gamma_lyapunov": 0.0267, "gamma_tightest": 0.0794}
    figures |= {"state_bound": 5.0, "input_bound": 1.0, "stage_input_weight": 0.1, "backup_input_weight": 100.0}
    figures |= {"malicious_above": 1.0, "sharpness": 200.0}
    (folder / "references.json").write_text(json.dumps(figures), encoding="utf-8")
    states, inputs = _simulate(_starts(), GAIN)
    corners = np.array([[5.0, -3.0], [5.0, 1.0], [-5.0, 3.0], [-5.0, -1.0]])
    arrays = {
        f"{name}_{what}": of for name in ("backup", "mpc") for what, of in (("states", states), ("inputs", inputs))
    }
    heldout = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 2))
    np.savez(folder / "references.npz", facets=_facets(), vertices=corners, heldout_starts=heldout, **arrays)


def _facets() -> np.ndarray:
    rows = np.vstack([np.eye(2) / 5.0, GAIN])
    return np.vstack([rows, -rows])


def _starts() -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return 1.5 * np.column_stack([np.cos(angles), np.sin(angles)])


def _simulate(x: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    states, inputs = [x], []
    for _ in range(41):
        inputs.append(-states[-1] @ gain.T)
        states.append(states[-1] @ A.T + inputs[-1] @ B.T)
    return np.stack(states[:-1]), np.stack(inputs)
