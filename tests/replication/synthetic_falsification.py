"""Writes findings as the experiments with planted faults would, without running any of them."""

from __future__ import annotations

import json
from pathlib import Path

from replication.planted_faults.report import HEADINGS, SWEEP

NUMBERS = {
    "factors": [2.0, 1.0, 0.1],
    "updates": 80,
    "runs": 4,
    "bound_misses": [0, 0, 40],
    "unsafe_iterates": [0, 0, 20],
    "unsafe_runs": [0, 0, 3],
}


def write(results: Path, *, caught: bool = True) -> None:
    """Write falsification.json with one finding under each heading; the last one is ``caught``, or not."""
    findings = [
        {
            "name": name,
            "planted": f"{name}, 1e-7 of a_b & 100%",
            "expected": "refused",
            "observed": "refused 3 of 3",
            "numbers": NUMBERS if name == SWEEP else {"refused": 3},
            "caught": caught or name != list(HEADINGS)[-1],
        }
        for name in HEADINGS
    ]
    (results / "falsification.json").write_text(json.dumps({"findings": findings}), encoding="utf-8")
