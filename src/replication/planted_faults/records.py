"""Result files that are altered after a run.  The load check, the referee or the stamp's hashes must notice."""

from __future__ import annotations

import json
import runpy
import shutil
import tempfile
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from replication import files
from replication.config import Config, dump
from replication.documents import PlantedFault
from replication.errors import ResultError
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
            "scpo": {"directions": {"count": 8}},
            "datasets": {"normal": {"size": 128}},
            "arms": {ARM: {"method": "scpo", "dataset": "normal"}},
        },
    }
)
#: how much a value is altered
SMALL = 1e-7
#: the checks, in the order in which a finding names them
CHECKS = ("load check", "referee", "stamp")
Judge = Callable[[Path, Path], None]


def altered_files(referee: Path) -> list[PlantedFault]:
    """Train a small run, alter one of its files at a time and return what each check says.

    Args:
        referee: path of the referee's script.
    """
    with tempfile.TemporaryDirectory() as folder:
        honest = Path(folder) / "honest"
        _train(honest)
        judge: Judge = runpy.run_path(str(referee))["main"]
        control = _ask(honest, judge)
        return [_finding(case, honest, Path(folder) / str(index), judge, control) for index, case in enumerate(CASES)]


@dataclass(frozen=True)
class Case:
    """One way to alter a run's files, and the checks that must notice it.

    Attributes:
        name: as in a finding.
        planted: as in a finding.
        alter: changes the files in a run's folder.
        noticed: the checks that must notice.  The others must not, so that the table shows what each check can do.
    """

    name: str
    planted: str
    alter: Callable[[Path], None]
    noticed: Set[str]


def _train(results: Path) -> None:
    data = results / EXPERIMENT / "data" / "normal" / f"seed-{SEED}.npz"
    files.write_text(results / "config.json", dump(for_arm(CONFIG, EXPERIMENT, ARM)))
    datasets.main(CONFIG, EXPERIMENT, "normal", SEED, data)
    train.run_from_files(CONFIG, EXPERIMENT, ARM, SEED, data, _run(results))


def _run(results: Path) -> Path:
    return results / EXPERIMENT / ARM / f"seed-{SEED}"


def _ask(results: Path, judge: Judge) -> dict[str, str]:
    """Return check -> its message, shortened and without paths, for each check that notices something."""
    noticed, folder = {}, _run(results)
    try:
        read_run(results, EXPERIMENT, ARM, SEED)
    except ResultError:
        noticed["load check"] = "refused"
    try:
        judge(results, results / "referee.json")
    except SystemExit:
        noticed["referee"] = "disagrees"
    except Exception as error:  # the script may fail in any way on a damaged file
        noticed["referee"] = f"stops with {type(error).__name__}"
    problems = integrity.Records(results).altered([f"{folder.relative_to(results)}/run.json"])
    if problems:
        names = sorted({Path(problem.split(": ")[0]).name for problem in problems})
        noticed["stamp"] = f"{', '.join(names)} not as written"
    return noticed


def _finding(case: Case, honest: Path, copy: Path, judge: Judge, control: dict[str, str]) -> PlantedFault:
    """Return the finding for an altered copy; ``control`` holds what the checks say about the honest run."""
    shutil.copytree(honest, copy)
    case.alter(_run(copy))
    found = _ask(copy, judge)
    return PlantedFault(
        name=case.name,
        planted=case.planted,
        expected=f"noticed by {', '.join(name for name in CHECKS if name in case.noticed)}; untouched files by none",
        observed="; ".join(f"{name}: {found[name]}" for name in CHECKS if name in found) or "not noticed",
        numbers={name.replace(" ", "_"): int(name in found) for name in CHECKS} | {"untouched": len(control)},
        caught=found.keys() == case.noticed and not control,
    )


def _add(table: str, column: str, amount: float, row: int = -1) -> Callable[[Path], None]:
    """Return an alteration that adds ``amount`` to the value of a column in the given row, by default the last."""

    def alter(run: Path) -> None:
        path = run / f"{table}.parquet"
        frame = pd.read_parquet(path)
        values = frame[column].to_numpy(copy=True)
        values[row] += amount
        frame[column] = values
        files.write_parquet(path, frame)

    return alter


def _lower_the_highest(run: Path) -> None:
    highest = int(pd.read_parquet(run / "series.parquet")["max_g_high"].to_numpy().argmax())
    _add("series", "max_g_high", -SMALL, highest)(run)


def _count_one_less(run: Path) -> None:
    _edit_json(run / "run.json", lambda summary: summary | {"updates": summary["updates"] - 1})


def _move_weight(run: Path) -> None:
    arrays = files.read_npz(run / "weights.npz")
    arrays["theta"][-1, 5] += SMALL
    files.write_npz(run / "weights.npz", **arrays)


def _move_label(run: Path) -> None:
    path = run.parents[1] / "data" / "normal" / f"seed-{SEED}.npz"
    arrays = files.read_npz(path)
    arrays["labels"][5] += SMALL
    files.write_npz(path, **arrays)


def _cut(run: Path) -> None:
    path = run / "series.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _change_recorded_hash(run: Path) -> None:
    def change(stamp: dict[str, Any]) -> dict[str, Any]:
        hashes = dict(stamp["outputs"])
        for path in hashes:
            if path.endswith("run.json"):
                hashes[path] = hashes[path][::-1]
        return stamp | {"outputs": hashes}

    _edit_json(run / "run.stamp.json", change)


def _raise_bound(run: Path) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        return config | {EXPERIMENT: config[EXPERIMENT] | {"bound": config[EXPERIMENT]["bound"] + SMALL}}

    _edit_json(run.parents[2] / "config.json", change)


def _edit_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(files.read_json(path)), indent=2, sort_keys=True) + "\n", encoding="utf-8")


CASES = (
    Case(
        "altered-metric",
        f"the last max g of a run lowered by {SMALL:.0e} in its file",
        _add("updates", "max_g", -SMALL),
        {"referee", "stamp"},
    ),
    Case(
        "altered-series",
        f"the highest max g lowered by {SMALL:.0e} in the file that figures are drawn from",
        _lower_the_highest,
        {"load check", "stamp"},
    ),
    Case(
        "altered-loss",
        "a batch loss lowered, which the referee does not judge",
        _add("updates", "loss", -0.1),
        {"stamp"},
    ),
    Case(
        "altered-count",
        "a count in a run's summary lowered by one",
        _count_one_less,
        {"load check", "referee", "stamp"},
    ),
    Case(
        "altered-weights",
        f"one weight of the final policy moved by {SMALL:.0e}",
        _move_weight,
        {"referee", "stamp"},
    ),
    Case("altered-label", f"one label of the training data moved by {SMALL:.0e}", _move_label, {"referee"}),
    Case(
        "altered-setting",
        f"the limit on the policy raised by {SMALL:.0e} in the recorded configuration",
        _raise_bound,
        {"referee", "stamp"},
    ),
    Case("cut-file", "a result file that lacks its end", _cut, {"load check", "stamp"}),
    Case("altered-stamp", "a hash in the stamp changed, the files untouched", _change_recorded_hash, {"stamp"}),
)
