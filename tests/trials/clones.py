"""Two clean clones, one on a "host" of another name: the same commit must give the same bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .common import PROJECT, Row, differences, fingerprints, named, report, run, snakemake, working_copy

#: Made from times or random identifiers by the tools that write them; they are named where they differ.
UNCOMPARED = (".ipynb", ".html")


def main(folder: Path, jobs: int, *, working_tree: bool) -> bool:
    """Run the smoke scale in two copies in different folders, and compare every file that the workflow made.

    The copies share this environment's packages; a set-up in each would fetch the same locked versions again.

    Args:
        folder: a temporary one.
        jobs: processes of the workflow.
        working_tree: compare copies of the working tree instead of clones of the last commit.
    """
    copies = [folder / "first", folder / "a second place" / "clone"]
    made, rows = [], []
    for copy in copies:
        if working_tree:
            working_copy(copy)
        else:
            subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(copy)], check=True)
        finished = run([*(elsewhere() if copy == copies[1] else []), *snakemake(jobs=jobs)], copy)
        rows.append(_finished(copy, finished))
        made.append(fingerprints(copy / "results"))
    differing = differences(*made)
    for kind in sorted({Path(name).suffix for name in made[0] | made[1]}):
        of_kind = [name for name in made[0] | made[1] if name.endswith(kind)]
        different = [name for name in differing if name.endswith(kind)]
        observed = f"{len(of_kind) - len(different)} of {len(of_kind)} identical"
        if different:
            observed += f"; different: {named(different)}"
        must = kind not in UNCOMPARED
        rows.append(
            Row(
                f"files {kind}",
                "identical" if must else "the same files, contents not compared",
                observed,
                passed=not different if must else all(name in made[0] and name in made[1] for name in different),
            )
        )
    return report("clones", rows)


def elsewhere() -> list[str]:
    """Return the beginning of a command that runs on a host of another name; nothing where that cannot be had."""
    for namespace in (["unshare", "-u"], ["unshare", "-r", "-u"]):
        start = [*namespace, "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
        if (
            shutil.which("unshare")
            and subprocess.run([*start, "true"], capture_output=True, check=False).returncode == 0
        ):
            return start
    print("clones: no namespaces here (unshare -u), so both clones have one host name")
    return []


def _finished(copy: Path, done: subprocess.CompletedProcess[str]) -> Row:
    said = "" if done.returncode == 0 else f": {(done.stdout + done.stderr)[-2000:]}"
    return Row(f"smoke scale in {copy.name}", "exit status 0", f"exit status {done.returncode}{said}", not said)
