"""The stamps that the jobs of a scale would have written beside synthetic results."""

from __future__ import annotations

import json
from pathlib import Path

from replication.config import Config
from replication.files import sha256
from replication.scales import digest, for_arm

HOST = {"host": "h", "platform": "p", "processor": "q"}


def stamp_of(outputs: dict[str, str], settings: str = "") -> dict[str, object]:
    """Return the content of the stamp of a job with these outputs and their checksums."""
    made = {"commit": "c0ffee", "dirty": False, "module": "replication.files", "code_sha256": "c", "versions": {}}
    return HOST | made | {"config_sha256": settings, "seeds": {}, "inputs": {}, "outputs": outputs}


def write_stamps(results: Path, config: Config, **changes: object) -> None:
    """Write a stamp for each job, and a time for each run; ``changes`` replace entries of all of them."""
    names = ("run", "certificate", "references", "falsification", "stationarity")
    made = [path for path in results.rglob("*.json") if path.stem in names] + sorted(results.rglob("policies.npz"))
    jobs = {path.with_suffix(""): [path] for path in made}
    for stem in jobs:
        jobs[stem] += [path for path in stem.parent.glob("*") if stem.name == "run" and path.suffix == ".parquet"]
        jobs[stem] += [path for path in [stem.with_suffix(".npz")] if path.is_file()]
    for stem, outputs in jobs.items():
        stamp = stamp_of({path.as_posix(): sha256(path) for path in outputs})
        if stem.name == "run":
            stamp["config_sha256"] = digest(for_arm(config, stem.parts[-4], stem.parts[-3]))
            stem.with_suffix(".timing.json").write_text(json.dumps({"seconds": 1.5} | HOST), encoding="utf-8")
        stem.with_suffix(".stamp.json").write_text(json.dumps(stamp | changes), encoding="utf-8")
