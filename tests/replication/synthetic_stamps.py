"""The stamps that the jobs of a scale would have written beside synthetic results."""

from __future__ import annotations

import json
from pathlib import Path

from replication.config import Config
from replication.files import sha256
from replication.scales import digest, for_arm


def write_stamps(results: Path, config: Config, **changes: object) -> None:
    """Write a stamp for each job, and a time for each run; ``changes`` replace entries of all of them."""
    names = ("run", "certificate", "references", "falsification", "stationarity")
    made = [path for path in results.rglob("*.json") if path.stem in names] + sorted(results.rglob("policies.npz"))
    jobs = {path.with_suffix(""): [path] for path in made}
    for stem in jobs:
        jobs[stem] += [path for path in stem.parent.glob("*") if stem.name == "run" and path.suffix == ".parquet"]
        jobs[stem] += [path for path in [stem.with_suffix(".npz")] if path.is_file()]
    for stem, outputs in jobs.items():
        stamp = {"commit": "c0ffee", "dirty": False, "inputs": {}, "config_sha256": "", "module": "replication.files"}
        stamp |= {"outputs": {path.as_posix(): sha256(path) for path in outputs}}
        if stem.name == "run":
            stamp["config_sha256"] = digest(for_arm(config, stem.parts[-4], stem.parts[-3]))
            stem.with_suffix(".timing.json").write_text(json.dumps({"seconds": 1.5}), encoding="utf-8")
        stem.with_suffix(".stamp.json").write_text(json.dumps(stamp | changes), encoding="utf-8")
