"""The benchmarks: ``make bench``, or ``python -m benchmarks [--only PART ...] [--before SRC]``.

Prints tables and writes them to results/bench/ (one JSON file a part, tables.md), and the ratios that claims are
judged by to results/benchmarks.json.  ``--before`` names the src folder of an earlier version, measured in turn with
this one.  ``--docs FILE`` writes the tables into that file, between its markers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import dimension, optima, projection, tables, throughput
from benchmarks.runs import KINDS, TASKS
from benchmarks.timing import machine
from replication.files import read_json, write_json, write_text

OUT = Path("results/bench")
RATIOS = Path("results/benchmarks.json")


def worker(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run a benchmark in a process of its own and return the JSON that it prints."""
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def size_of(task: str) -> str:
    """Return this version's settings that the cost of an update depends on, as JSON: the same for both versions."""
    settings = KINDS[task]()
    size: dict[str, Any] = {
        "scpo": {"directions": {"count": settings.scpo.directions.count, "recycled": settings.scpo.directions.recycled}}
    }
    if task == "double-integrator":
        size |= {"starts": settings.starts, "horizon": settings.horizon}
    return json.dumps(size)


def updates(before: str | None) -> dict[str, Any]:
    """Return medians of each task and stage; with ``before`` those of the earlier version as well, taken in turn."""
    versions = {"now": None} | ({"before": {"PYTHONPATH": before}} if before else {})
    repeats = 2 if before else 1
    found: dict[str, Any] = {version: {} for version in versions}
    for task in TASKS:
        runs: dict[str, list[Any]] = {version: [] for version in versions}
        size = ["--settings", size_of(task)]
        for repeat in range(repeats):
            for version, environment in versions.items():
                literal = ["--literal"] if version == "now" and repeat == 0 else []
                runs[version].append(worker("update", task, *size, *literal, environment=environment))
        for version, each in runs.items():
            stages = {
                stage: {name: statistics.median(run[stage][name] for run in each) for name in each[0][stage]}
                for stage in ("early", "late")
            }
            found[version][task] = stages | ({"literal": each[0]["literal"]} if "literal" in each[0] else {})
    return found


def dimensions(_: str | None) -> list[dict[str, float]]:
    """Return time and memory of an update for each size."""
    return [worker("dimension", str(width)) for width in dimension.WIDTHS]


PARTS: dict[str, Callable[[str | None], Any]] = {
    "update": updates,
    "projection": lambda _: projection.measure(),
    "dimension": dimensions,
    "throughput": lambda _: throughput.measure(),
    "optima": lambda _: optima.measure(),
}


def main() -> None:
    """Run the parts that were asked for and write what they found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--before", metavar="SRC", help="src folder of an earlier version, for before and after")
    parser.add_argument("--docs", type=Path, help="a Markdown file whose marked tables are replaced")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing, write the tables again")
    options = parser.parse_args()
    for part in [] if options.tables_only else options.only:
        began = time.perf_counter()
        print(f"measuring: {part} ...", file=sys.stderr, flush=True)
        found = PARTS[part](options.before)
        write_json(OUT / f"{part}.json", {"machine": machine(), "found": found})
        print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    results = {part: read_json(OUT / f"{part}.json") for part in PARTS if (OUT / f"{part}.json").exists()}
    texts = tables.texts(results)
    print("\n\n".join(texts.values()))
    write_text(OUT / "tables.md", "\n\n".join(texts.values()) + "\n")
    if ratios := tables.ratios(results):
        write_json(RATIOS, {"machine": machine(), "ratios": ratios})
    if options.docs:
        write_text(options.docs, tables.inserted(options.docs.read_text(encoding="utf-8"), texts))


if __name__ == "__main__":
    main()
