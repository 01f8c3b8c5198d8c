"""Two clean clones, one on a "host" of another name without a network: the same commit must give the same bytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from .common import PROJECT, NotRun, Options, Row, differences, fingerprints, named, run, snakemake

#: They hold processor seconds, which differ from run to run.
TIMED = ("*/report/tables/*-methods*.tex", "*/report/tables/budget.tex", "*/report/report.pdf")


def main(folder: Path, options: Options) -> list[Row]:
    """Run the smoke scale in two clones in different folders, and compare every file that the workflow made.

    The clones share this environment's packages; a set-up in each would fetch the same locked versions again.
    """
    clones = [folder / "first", folder / "a second place" / "clone"]
    made, rows = [], []
    for clone, start in zip(clones, ([], elsewhere()), strict=True):
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True)
        finished = run(
            [*start, *snakemake(*options.targets.split(), jobs=options.jobs, settings=options.settings)], clone
        )
        rows.append(_finished(f"smoke scale{', without a network' if start else ''}", finished))
        made.append(fingerprints(clone / "results"))
    return [*rows, *compared(*made)]


def compared(first: Mapping[str, str], second: Mapping[str, str]) -> list[Row]:
    """Return a row for each kind of file: are those of two folders the same?"""
    rows, differing = [], differences(first, second)
    for kind in sorted({Path(name).suffix for name in first | second}):
        of_kind = [name for name in first | second if name.endswith(kind)]
        timed = [name for name in differing if name.endswith(kind) and _timed(name, first, second)]
        different = [name for name in differing if name.endswith(kind) and name not in timed]
        observed = f"{len(of_kind) - len(different) - len(timed)} of {len(of_kind)} identical"
        observed += f", {len(timed)} but for processor seconds" if timed else ""
        if different:
            observed += f"; different: {named(different)}"
        rows.append(Row(f"files {kind}", "identical, but for processor seconds", observed, passed=not different))
    return rows


def _timed(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    return name in first and name in second and any(fnmatch(name, pattern) for pattern in TIMED)


def elsewhere() -> list[str]:
    """Return the beginning of a command that runs on a host of another name and without a network."""
    for namespace in (["unshare", "-u", "-n"], ["unshare", "-r", "-u", "-n"]):
        start = [*namespace, "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
        if (
            shutil.which("unshare")
            and subprocess.run([*start, "true"], capture_output=True, check=False).returncode == 0
        ):
            return start
    raise NotRun("no namespaces here (unshare -u -n), so both clones would have one host name and a network")


def _finished(trial: str, done: subprocess.CompletedProcess[str]) -> Row:
    said = "" if done.returncode == 0 else f": {(done.stdout + done.stderr)[-2000:]}"
    return Row(trial, "exit status 0", f"exit status {done.returncode}{said}", not said)
