"""The environment that jobs run in: stated here, so that the user's machine changes no result.

A job inherits the variables that :data:`INHERITED` lists, and has the values of :func:`stated`.  Everything else of the
user is unset: PYTHONPATH, matplotlibrc, IPython and Jupyter settings, ~/texmf, locale.  The home of the jobs is a
folder of the checkout, in which programs find no settings and can write their caches.  The shell of each job runs
:func:`shell_prefix` first; the command ``replicate`` does the same for itself.
"""

from __future__ import annotations

import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

from replication.paths import REPOSITORY

#: Day of the release, as in CITATION.cff, and its beginning in seconds since 1970, which files have as their date.
RELEASED = "2026-12-01"
EPOCH = int(datetime.fromisoformat(f"{RELEASED}T00:00:00+00:00").timestamp())
#: Home of the jobs.
HOME = REPOSITORY / "logs" / "home"
#: What a job takes over: where programs and libraries are, where to write, who she is, which GPU; and the instruction
#: sets that libraries may use, with which the results of another processor are repeated bit by bit.
INHERITED = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "CUDA_VISIBLE_DEVICES",
    "GIT_CONFIG_GLOBAL",
    "OPENBLAS_CORETYPE",
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
)
#: One thread per process, since the seeds run side by side.
THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def stated() -> dict[str, str]:
    """Return the variables that every job has."""
    return {
        **THREADS,
        "HOME": str(HOME),
        # the code of this checkout, and no packages that the user installed for herself
        "PYTHONPATH": str(REPOSITORY / "src"),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "LC_ALL": "C",
        "TZ": "UTC",
        "MPLBACKEND": "Agg",
        "JUPYTER_PREFER_ENV_PATH": "1",
        # a fixed date makes figures and the PDF repeatable
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "FORCE_SOURCE_DATE": "1",
    }


def other_checkout() -> Path | None:
    """Return the checkout around the working folder, if this process runs the code of another one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "Snakefile").is_file() and (folder / "src/replication").is_dir():
            return None if folder.resolve() == REPOSITORY else folder
    return None


def adopt() -> None:
    """Give this process the environment of a job.  Call this before numpy, torch and matplotlib are imported."""
    values = stated()
    shadowing = {Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    shadowing.discard(REPOSITORY / "src")
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() not in shadowing]
    gitconfig = Path("~/.gitconfig").expanduser()  # it may say whose repositories git may read
    os.environ.setdefault("GIT_CONFIG_GLOBAL", str(gitconfig))
    for name in set(os.environ) - {*INHERITED, *values}:
        del os.environ[name]
    os.environ.update(values)


def shell_prefix() -> str:
    """Return the beginning of each job's shell command (bash)."""
    kept = "|".join((*INHERITED, "PWD"))  # bash keeps PWD right by itself
    values = " ".join(f"{name}={shlex.quote(value)}" for name, value in stated().items())
    return (
        'export GIT_CONFIG_GLOBAL="${GIT_CONFIG_GLOBAL:-${HOME:-/}/.gitconfig}"; '
        f'for name in $(compgen -e); do case "$name" in {kept}) ;; *) unset "$name" ;; esac; done; '
        f'export {values}; mkdir -p "$HOME"; set -euo pipefail; '
    )
