"""Result files altered after a run: who notices, the load check, the independent referee, or the stamp's hashes."""

from __future__ import annotations

import json
import runpy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from replication import files
from replication.config import Config, dump
from replication.errors import ResultError
from replication.planted_faults.finding import Finding
from replication.results import integrity
from replication.results.read import read_run
from replication.scales import for_arm
from replication.training import datasets, train

EXPERIMENT, ARM, SEED = "regression", "scpo", 0
CONFIG = Config.model_validate(
    {
        "double_integrator": None,
        EXPERIMENT: {
            "hidden": [8, 8],
            "grid_size": 20,
            "heldout": 300,
            "schedule": {"epochs": 6, "updates_per_epoch": 2, "batch_size": 32, "evaluate_every": 2},
            "scpo": {"samples": 8},
            "datasets": {"normal": {"size": 128}},
            "arms": {ARM: {"method": "scpo", "dataset": "normal"}},
        },
    }
)
SMALL = 1e-7


def altered_files(referee: Path) -> list[Finding]:
    """Train a small run, alter its files one at a time, and ask every check.

    Args:
        referee: the script that judges saved iterates again.
    """
    with tempfile.TemporaryDirectory() as folder:
        honest = Path(folder) / "honest"
        _train(honest)
        judge: Callable[[Path, Path], None] = runpy.run_path(str(referee))["main"]
        control = _ask(honest, judge)
        return [_finding(case, honest, Path(folder) / str(index), judge, control) for index, case in enumerate(CASES)]


@dataclass(frozen=True)
class Case:
    """A way of altering a run's files, and the checks that must notice it.

    Attributes:
        name, planted: as in a finding.
        alter: changes the files in a run's folder.
        noticed: the checks that must notice; the others must not, so that the table tells what each is good for.
    """

    name: str
    planted: str
    alter: Callable[[Path], None]
    noticed: frozenset[str]


def _train(results: Path) -> None:
    config, data = results / "config.json", results / EXPERIMENT / "data" / "normal" / f"seed-{SEED}.npz"
    files.write_text(config, dump(for_arm(CONFIG, EXPERIMENT, ARM)))
    datasets.main(config, EXPERIMENT, "normal", SEED, data)
    train.run_from_files(config, EXPERIMENT, ARM, SEED, data, _run(results))


def _run(results: Path) -> Path:
    return results / EXPERIMENT / ARM / f"seed-{SEED}"


def _ask(results: Path, judge: Callable[[Path, Path], None]) -> dict[str, str]:
    """Return what each check that notices something says, in short and without paths."""
    noticed, folder = {}, _run(results)
    try:
        read_run(results, EXPERIMENT, ARM, SEED)
    except ResultError:
        noticed["load check"] = "refused"
    try:
        judge(results, results / "referee.json")
    except SystemExit:
        noticed["referee"] = "disagrees"
    except Exception as error:  # a script of its own, which may fail in any way on a damaged file
        noticed["referee"] = f"stops with {type(error).__name__}"
    problems = integrity.Records(results).altered([f"{folder.relative_to(results)}/run.json"])
    if problems:
        names = sorted({Path(problem.split(": ")[0]).name for problem in problems})
        noticed["stamp"] = f"{', '.join(names)} not as written"
    return noticed


def _finding(
    case: Case, honest: Path, copy: Path, judge: Callable[[Path, Path], None], control: dict[str, str]
) -> Finding:
    shutil.copytree(honest, copy)
    case.alter(_run(copy))
    found = _ask(copy, judge)
    every = ("load check", "referee", "stamp")
    return Finding(
        case.name,
        case.planted,
        f"noticed by {', '.join(name for name in every if name in case.noticed)}; untouched files by none",
        "; ".join(f"{name}: {found[name]}" for name in every if name in found) or "not noticed",
        {name.replace(" ", "_"): int(name in found) for name in every} | {"untouched": len(control)},
        caught=found.keys() == case.noticed and not control,
    )


def _add(table: str, column: str, amount: float) -> Callable[[Path], None]:
    def alter(run: Path) -> None:
        path = run / f"{table}.parquet"
        frame = pd.read_parquet(path)
        values = frame[column].to_numpy(copy=True)
        values[-1] += amount
        frame[column] = values
        files.write_parquet(path, frame)

    return alter


def _lower_the_highest(run: Path) -> None:
    frame = pd.read_parquet(run / "series.parquet")
    values = frame["max_g_high"].to_numpy(copy=True)
    values[values.argmax()] -= SMALL
    frame["max_g_high"] = values
    files.write_parquet(run / "series.parquet", frame)


def _count_one_less(run: Path) -> None:
    _edit_json(run / "run.json", lambda summary: summary | {"updates": summary["updates"] - 1})


def _move_weight(run: Path) -> None:
    arrays = files.read_npz(run / "weights.npz")
    arrays["theta"][-1, 5] += SMALL
    files.write_npz(run / "weights.npz", **arrays)


def _cut(run: Path) -> None:
    path = run / "series.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _change_recorded_hash(run: Path) -> None:
    def change(stamp: dict[str, Any]) -> dict[str, Any]:
        flipped = {path: found[::-1] if path.endswith("run.json") else found for path, found in _outputs(stamp)}
        return stamp | {"outputs": flipped}

    _edit_json(run / "run.stamp.json", change)


def _raise_bound(run: Path) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        return config | {EXPERIMENT: config[EXPERIMENT] | {"bound": config[EXPERIMENT]["bound"] + SMALL}}

    _edit_json(run.parents[2] / "config.json", change)


def _outputs(stamp: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(stamp["outputs"].items())


def _edit_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(files.read_json(path)), indent=2, sort_keys=True) + "\n", encoding="utf-8")


CASES = (
    Case(
        "altered-metric",
        f"the last safety maximum of a run lowered by {SMALL:.0e} in its file",
        _add("metrics", "max_g", -SMALL),
        frozenset({"referee", "stamp"}),
    ),
    Case(
        "altered-series",
        f"the highest safety maximum lowered by {SMALL:.0e} in the file that figures are drawn from",
        _lower_the_highest,
        frozenset({"load check", "stamp"}),
    ),
    Case(
        "altered-loss",
        "a batch loss lowered, which the referee does not judge",
        _add("metrics", "loss", -0.1),
        frozenset({"stamp"}),
    ),
    Case(
        "altered-count",
        "a count in a run's summary lowered by one",
        _count_one_less,
        frozenset({"load check", "referee", "stamp"}),
    ),
    Case(
        "altered-weights",
        f"one weight of the final policy moved by {SMALL:.0e}",
        _move_weight,
        frozenset({"referee", "stamp"}),
    ),
    Case(
        "altered-setting",
        f"the bound on the policy raised by {SMALL:.0e} in the recorded configuration",
        _raise_bound,
        frozenset({"referee", "stamp"}),
    ),
    Case(
        "cut-file",
        "a result file that lacks its end",
        _cut,
        frozenset({"load check", "stamp"}),
    ),
    Case(
        "altered-stamp",
        "a hash in the stamp changed, the files untouched",
        _change_recorded_hash,
        frozenset({"stamp"}),
    ),
)
