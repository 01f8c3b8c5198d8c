"""Names, paths and settings that the rules share.  Paths are made here and nowhere else."""

import shutil
import sys

from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import report as in_html
from snakemake.logging import logger

from replication import report
from scpo.errors import ScpoError
from replication.results import inventory
from replication.provenance import sources
from replication import scales as profiles
from replication import tasks
from replication.config import load_json

PYTHON = sys.executable
PROFILE = config.get("profile") or "paper"
SET = config.get("set") or ""
PROFILE_FILE = f"config/{PROFILE}.yaml"

# from=reference: everything is made of the results in the repository, and nothing is trained
FROM = config.get("from") or ""
REFERENCE = f"reference/results/{PROFILE}"
if FROM not in ("", "reference") or (FROM and SET):
    raise WorkflowError("from: only from=reference is known, and its settings (set) are what they were")

try:
    SETTINGS = load_json(f"{REFERENCE}/config.json") if FROM else profiles.load_profile(PROFILE_FILE, [SET])
except ScpoError as error:
    raise WorkflowError(str(error)) from error
if SETTINGS.profile != PROFILE:
    raise WorkflowError(f"{PROFILE_FILE}: says that it is profile {SETTINGS.profile!r}")

TASKS = sorted(SETTINGS.tasks)
RESULTS = f"results/{FROM}/{PROFILE}" if FROM else f"results/{PROFILE}"
LOGS = RESULTS.replace("results", "logs", 1)
CONFIG = f"{RESULTS}/config.json"
ARM_CONFIG = f"{RESULTS}/{{task}}/{{arm}}/config.json"
DATASET_CONFIG = f"{RESULTS}/{{task}}/data/{{dataset}}/config.json"
RUN = f"{RESULTS}/{{task}}/{{arm}}/seed-{{seed}}"
# the published figure, digitised
PUBLISHED = sorted(map(str, Path("reference/source").glob("*.csv")))
DATASET = f"{RESULTS}/{{task}}/data/{{dataset}}/seed-{{seed}}.npz"
# what report, claims and notebooks read of all that
REPORTED = [f"{RESULTS}/{name}" for name in inventory.files_of(SETTINGS)]

# What a run writes: records that later stages read, and beside them where it comes from and how long it took.
RECORDS = ["metrics.parquet", "series.parquet", "evaluations.parquet", "weights.npz", "final.safetensors", "run.json"]
TASK_RECORDS = {
    "regression": ["curve.parquet"],
    "double-integrator": ["trajectories.parquet", "surface.parquet", "starts.parquet"],
}
SIDECARS = ["run.provenance.json", "run.timing.json"]

# One thread per process: seeds are what runs in parallel.  A fixed date makes figures and the PDF reproducible.
shell.prefix(
    "export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg PYTHONHASHSEED=0 "
    "SOURCE_DATE_EPOCH=1765756800 FORCE_SOURCE_DATE=1; set -euo pipefail; "
)


wildcard_constraints:
    task="[a-z0-9-]+",
    arm="[a-z0-9-]+",
    dataset="[a-z0-9-]+",
    seed=r"\d+",
    name="[a-z0-9-]+",


@cache
def closure_of(module):
    """Source files that one module depends on, looked for once."""
    return frozenset(sources.closure(module, "src"))


def code(*modules):
    """Source files that jobs of these modules depend on."""
    return [str(path) for path in sorted(frozenset().union(*map(closure_of, modules)))]


def notebook_code(task):
    """Source files that a task's notebook depends on."""
    reached = set(code("replication.notebook"))
    return sorted(reached.union(map(str, sources.notebook_closure(f"notebooks/{task}.ipynb", "src"))))


def records_of(task):
    """Files of one run of a task that later stages read."""
    return RECORDS + TASK_RECORDS.get(task, [])


def runs_of(*tasks):
    """Records of every run of these tasks."""
    return [
        f"{RUN.format(task=task, arm=arm, seed=seed)}/{name}"
        for task in tasks
        for arm, settings in SETTINGS.tasks[task].arms.items()
        for seed in settings.seed_range
        for name in records_of(task)
    ]


def reported_of(task):
    """What a task's notebook reads."""
    return [CONFIG, *(name for name in REPORTED if name.startswith(f"{RESULTS}/{task}/"))]


def datasets_of(*tasks):
    """Data sets of every run of these tasks."""
    runs = [
        (task, arm, seed) for task in tasks for arm in SETTINGS.tasks[task].arms.values() for seed in arm.seed_range
    ]
    return sorted({DATASET.format(task=task, dataset=arm.dataset, seed=seed) for task, arm, seed in runs})
