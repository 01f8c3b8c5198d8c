"""Small results of every experiment that the referee agrees with, the referee, and ways to alter what it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from replication import files

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/referee.py"
SCHEDULE = {"epochs": 6, "updates_per_epoch": 2, "batch_size": 32, "evaluate_every": 2}
SCPO = {"directions": {"count": 8}}
CONFIG: dict[str, Any] = {
    "regression": {
        "hidden": [8, 8],
        "grid_size": 20,
        "heldout": 300,
        "schedule": SCHEDULE,
        "scpo": SCPO,
        "datasets": {
            "normal": {"size": 128},
            "uniform": {"size": 128, "inputs": "uniform"},
            "adversarial": {"size": 128, "adversarial_share": 0.3},
        },
        "arms": {
            "scpo": {"method": "scpo", "dataset": "normal"},
            "tanh": {"method": "unconstrained", "dataset": "normal", "overrides": {"activation": "tanh", "bound": 0.5}},
            "audited": {"method": "scpo", "dataset": "normal", "overrides": {"schedule": {"audited_share": 0.5}}},
        },
    },
    "double_integrator": {
        "starts": 16,
        "hidden": [8],
        "heldout": 1000,
        "schedule": SCHEDULE,
        "scpo": SCPO,
        "datasets": {name: {"scenario": name, "size": 64} for name in ("cooperative", "mixed", "hostile")},
        "arms": {
            "scpo-mixed": {"method": "scpo", "dataset": "mixed", "overrides": {"aggregation": "logsumexp"}},
            "unconstrained-mixed": {"method": "unconstrained", "dataset": "mixed", "first_seed": 1},
            "audited": {"method": "scpo", "dataset": "mixed", "overrides": {"schedule": {"audited_share": 0.5}}},
            "filtered": {
                "method": "unconstrained",
                "dataset": "mixed",
                "overrides": {"filtered": True, "aggregation": "max"},
            },
        },
    },
}
CERTIFIED = Path("double-integrator/scpo-mixed/seed-0")
#: of files in the results
PATHS = {
    "regression": Path("regression/data/normal/seed-0.npz"),
    "double-integrator": Path("double-integrator/data/mixed/seed-0.npz"),
    "references": Path("double-integrator/references.npz"),
    "starts": CERTIFIED / "starts.parquet",
    "certificate": CERTIFIED / "certificate.npz",
    "policy": CERTIFIED / "final.safetensors",
}
Arrays = dict[str, np.ndarray[Any, Any]]

for _section in CONFIG.values():
    for _arm in _section["arms"].values():
        _arm.setdefault("first_seed", 0)


def altered(results: Path, name: str, change: Callable[[Arrays], None]) -> None:
    path = results / PATHS[name]
    arrays = files.read_npz(path)
    change(arrays)
    np.savez(path, **arrays)


def set_entry(name: str, index: Any, value: Any) -> Callable[[Arrays], None]:
    """Return a change that sets one entry of an array."""

    def change(arrays: Arrays) -> None:
        arrays[name][index] = value

    return change


def reason_of(check: Callable[[], None]) -> str:
    with pytest.raises(SystemExit) as stopped:
        check()
    return str(stopped.value)


def refused(referee: ModuleType, results: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        referee.main(results, results / "referee.json")
    assert not (results / "referee.json").exists()
    return str(stopped.value)
