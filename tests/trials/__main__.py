"""Trials that take too long for every change: python -m tests.trials [name ...].

A trial is one module of this folder with a function ``main(folder, options)`` that returns its rows, or raises NotRun;
the first line of its docstring says what is tried.  What was found is kept in results/trials/ (see table.py).
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from . import table
from .common import NotRun, Options, show

#: Modules of this folder that are no trials.
TOOLS = ("__main__", "common", "table")


def names() -> list[str]:
    """Return the names of the trials."""
    return sorted(found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]) if found.name not in TOOLS)


def main() -> int:
    """Run the trials that are named, or all of them; return 1 if something did not go as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="trial", help=f"{', '.join(names())}; all of them by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--settings", default="", help="hosts, slurm: settings of the smoke scale, as only=[scpo]")
    parser.add_argument("--targets", default="", help="hosts, slurm: files to make of it; all of them by default")
    parser.add_argument("--sample", type=int, default=60, help="mutants: how many to try (60)")
    parser.add_argument("--pattern", default="*", help="mutants: of their names, such as '*pull_back*'")
    parser.add_argument("--page", type=Path, help="put what is kept in results/trials/ into this page; run nothing")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names()):
        parser.error(f"no trial {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.page:
        table.update(given.page, {name: first_line(_module(name)) for name in names()})
        return 0
    options = Options(given.jobs, given.settings, given.targets, given.sample, given.pattern)
    return max([_try(name, options) for name in given.names or names()])


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def first_line(trial: ModuleType) -> str:
    """Return what a trial tries."""
    return str(trial.__doc__).strip().splitlines()[0]


def _try(name: str, options: Options) -> int:
    print(f"trials: {name} ...", flush=True)
    trial = _module(name)
    began, rows, reason = time.monotonic(), [], ""
    with tempfile.TemporaryDirectory(prefix=f"scpo-{name}-") as folder:
        try:
            rows = trial.main(Path(folder), options)
        except NotRun as error:
            reason = str(error)
    seconds = time.monotonic() - began
    table.keep(table.Outcome.of(name, first_line(trial), rows, reason, seconds, options))
    show(name, rows)
    print(f"trials: {name}, {f'not run: {reason}' if reason else f'{seconds:.0f} s'}", flush=True)
    return int(not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
