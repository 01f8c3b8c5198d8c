"""Settings, paths and helper functions that the rules share."""

import hashlib
import os
import shutil
import sys

from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import report as in_html
from snakemake.logging import logger

from scpo.errors import ScpoError
from replication import experiments
from replication.results import inventory
from replication.provenance import sources
from replication.report import parts
from replication import environment
from replication import overwritten
from replication import resources
from replication import scales
from replication import tasks
from replication.config import Config, load_json
from replication.files import sha256
from replication.paths import REPOSITORY

# a copied environment would run the code of the checkout that it was made for
if Path(workflow.basedir).resolve() != REPOSITORY:
    raise WorkflowError(
        f"{sys.executable} runs the code in {REPOSITORY}, which is another checkout; run make setup here"
    )

# in PATH and PYTHONPATH a colon begins another folder
if set(os.pathsep + "\n") & set(str(REPOSITORY)):
    raise WorkflowError(f"{str(REPOSITORY)!r}: the name of no folder above may hold {os.pathsep!r} or a line break")

PYTHON = sys.executable
# runs side by side on this machine; on a cluster, the nodes' memory is the cluster's affair
JOBS_HERE = workflow.resource_settings.cores or 1 if workflow.is_main_process and workflow.local_exec else 1
try:
    COMMAND = (sys.argv, workflow.config_settings.configfiles) if workflow.is_main_process else ()
    CHOICE = scales.choose(config, *COMMAND)
    SCALE, SET, FROM, SCALE_FILE = CHOICE.scale, CHOICE.changes, CHOICE.origin, CHOICE.file
    # from=shipped makes everything from the shipped results and trains nothing
    SHIPPED_RESULTS = f"shipped/results/{SCALE}"
    SETTINGS = load_json(f"{SHIPPED_RESULTS}/config.json") if FROM else scales.load_scale(SCALE_FILE, [SET], JOBS_HERE)
except ScpoError as error:
    raise WorkflowError(str(error)) from error
if SETTINGS.scale != SCALE:
    raise WorkflowError(f"{SCALE_FILE}: says that it is scale {SETTINGS.scale!r}")

EXPERIMENTS = sorted(SETTINGS.experiments)
RESULTS = f"results/{FROM}/{SCALE}" if FROM else f"results/{SCALE}"
LOGS = RESULTS.replace("results", "logs", 1)
if not FROM and workflow.is_main_process and (replaced := overwritten.warning(SETTINGS, Path(RESULTS))):
    logger.warning(replaced)
CONFIG = f"{RESULTS}/config.json"
RUN = f"{RESULTS}/{{experiment}}/{{arm}}/seed-{{seed}}"
# The digitised published figure.
PUBLISHED = sorted(map(str, Path("shipped/published-figure").glob("*.csv")))
DATASET = f"{RESULTS}/{{experiment}}/data/{{dataset}}/seed-{{seed}}.npz"
# The files that report, claims and notebooks read.
REPORTED = [f"{RESULTS}/{name}" for name in inventory.files_of(SETTINGS)]

# The files of a run: records that later stages read, its stamp and its time.
RECORDS = ["updates.parquet", "series.parquet", "evaluations.parquet", "weights.npz", "final.safetensors", "run.json"]
STAMPS = ["run.stamp.json", "run.timing.json"]

# (Snakemake formats the prefix, so braces are doubled)
shell.prefix(environment.shell_prefix().replace("{", "{{").replace("}", "}}"))


wildcard_constraints:
    experiment="[a-z0-9-]+",
    arm="[a-z0-9-]+",
    dataset="[a-z0-9-]+",
    seed=r"\d+",
    name="[a-z0-9-]+",


@cache
def asked(rule, arm, attempt):
    """Memory and time of the jobs of a rule for one arm: its seeds ask for the same."""
    return resources.megabytes(SETTINGS, rule, arm, attempt), resources.minutes(SETTINGS, rule, arm, attempt)


def needs(rule):
    """Memory and time that the jobs of a rule ask a cluster for; the next attempt asks for more."""

    def mem_mb(wildcards, attempt):
        return asked(rule, wildcards.get("arm", ""), attempt)[0]

    def runtime(wildcards, attempt):
        return asked(rule, wildcards.get("arm", ""), attempt)[1]

    return {"mem_mb": mem_mb, "runtime": runtime}


def relative(paths):
    """Paths of source files, relative to the checkout."""
    return [path.relative_to(REPOSITORY).as_posix() for path in paths]


@cache
def code(*modules):
    """Source files that jobs of these modules depend on."""
    return relative(sources.closure(modules))


@cache
def code_digest(*modules):
    """Digest of the source files that jobs of these modules depend on.

    For rules with a job for each run: Snakemake plans them in half the time if the files are no inputs of each job.
    """
    content = hashlib.sha256()
    for name in code(*modules):
        content.update(f"{name} {sha256(Path(name))}\n".encode())
    return content.hexdigest()


@cache
def arm_settings(experiment, arm):
    """Digest of the settings that training reads: a change of any of them trains the arm again."""
    return scales.digest(scales.for_arm(SETTINGS, experiment, arm))


@cache
def dataset_settings(experiment, dataset):
    """Digest of the settings that drawing a data set reads."""
    return scales.digest(scales.for_dataset(SETTINGS, experiment, dataset))


def notebook_code(experiment):
    """Source files that an experiment's notebook depends on."""
    return sorted({*code("replication.notebook"), *relative(sources.notebook_closure(f"notebooks/{experiment}.ipynb"))})


def records_of(experiment):
    """Files of one run of an experiment that later stages read."""
    tables = tasks.tables_of(experiment)
    return RECORDS + [f"{name}.parquet" for name in (*tables.exhibits, *tables.for_referee)]


def runs_of(*experiments, only=()):
    """Records of every run of these experiments; some of them, if they are named.

    A job asks for what it reads and for no more: Snakemake's time to plan grows with the inputs of all jobs.
    """
    return [
        f"{RUN.format(experiment=experiment, arm=arm, seed=seed)}/{name}"
        for experiment in experiments
        for arm, settings in SETTINGS.experiments[experiment].arms.items()
        for seed in settings.seed_range
        for name in only or records_of(experiment)
    ]


def all_records():
    """Files of which each job before the report makes at least one: the stamps, and whatever was deleted beside them.

    Snakemake makes a deleted file again if the target asks for it, but plans faster the less it asks for.
    """
    made = {*runs_of(*EXPERIMENTS), *datasets_of(*EXPERIMENTS), *REPORTED}
    looked_for = made if workflow.is_main_process else ()
    deleted = [name for name in looked_for if os.path.isdir(os.path.dirname(name)) and not os.path.exists(name)]
    stamps = [str(Path(name).with_suffix(".stamp.json")) for name in made if name.endswith((".json", ".npz"))]
    unstamped = ("config", "weights")
    return sorted({*deleted, *(name for name in stamps if Path(name).name.partition(".")[0] not in unstamped)})


def datasets_of(*experiments):
    """Data sets of every run of these experiments."""
    runs = [
        (experiment, arm, seed)
        for experiment in experiments
        for arm in SETTINGS.experiments[experiment].arms.values()
        for seed in arm.seed_range
    ]
    return sorted(
        {DATASET.format(experiment=experiment, dataset=arm.dataset, seed=seed) for experiment, arm, seed in runs}
    )
