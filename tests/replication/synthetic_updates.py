"""Per-update rows of a synthetic run, and everything that a run derives from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from replication.training.series import thin


def made_once(write: Callable[..., None]) -> Callable[..., None]:
    """Let ``write(folder, ...)`` make the files of one folder once per process; afterwards they are copied."""

    @cache
    def files(*of: Any) -> dict[str, bytes]:
        with TemporaryDirectory() as folder:
            write(Path(folder), *of)
            return {path.name: path.read_bytes() for path in Path(folder).iterdir()}

    @wraps(write)
    def copied(folder: Path, *of: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files(*of).items():
            (folder / name).write_bytes(content)

    return copied


def write_updates(folder: Path, updates: pd.DataFrame) -> None:
    """Write the rows, the series and the counts in run.json, which holds the rest of the summary already."""
    updates.to_parquet(folder / "updates.parquet")
    thin(updates).to_parquet(folder / "series.parquet")
    rows = updates.iloc[1:]
    unsafe, missed = (rows.loc[rows[name] > 0, "update"] for name in ("unsafe_iterate", "bound_misses"))
    columns = {"captured_energy": "captured_energy", "median_step": "step_norm", "median_nominal": "nominal_norm"}
    columns |= {"median_smoothness": "smoothness_max"}
    figures = {name: rows[column].median() for name, column in columns.items()}
    figures["largest_required"] = rows["required_max"].max()
    counts = {
        "updates": len(rows),
        "unsafe_iterates": len(unsafe),
        "first_unsafe_update": int(unsafe.iloc[0]) if len(unsafe) else None,
        "unsafe_proposals": int(rows["unsafe_proposals"].sum()),
        "unsafe_probes": int(rows["unsafe_probes"].sum()),
        "bound_misses": len(missed),
        "first_missed_update": int(missed.iloc[0]) if len(missed) else None,
        "projected_share": float(rows["projected"].mean()),
        "restoring_updates": int(rows["restoring"].sum()),
        "max_g": float(updates["max_g"].max()),
        "solver_failures": 0,
        "rollouts": int(updates["rollouts"].iloc[-1]),
        "near_constraints": 10 * len(rows),
        "near_misses": int(rows["bound_misses"].sum()),
        "nominal_checked": len(rows) // 50,
        "nominal_unsafe": len(rows) // 100,
        "nominal_unsafe_taken": 0,
    }
    counts |= {name: None if pd.isna(figure) else float(figure) for name, figure in figures.items()}
    summary = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps(summary | counts), encoding="utf-8")
