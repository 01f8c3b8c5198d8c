"""Memory and time that the jobs of each rule ask a cluster for: measured, scaled to the settings, with a reserve.

``workflow/resources.yaml`` holds the measurements; :func:`measured_in` writes it from Snakemake's benchmarks.  A job
that was ended for its time or its memory is tried again, and asks for more.
"""

from __future__ import annotations

import ast
import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path

from pydantic import PositiveFloat, TypeAdapter, ValidationError

from replication import memory, strict_yaml
from replication.config import Config, load_json
from replication.errors import ResultError
from replication.files import write_text
from replication.paths import REPOSITORY
from replication.settings import Model
from scpo.errors import ConfigurationError

FILE = REPOSITORY / "workflow/resources.yaml"
#: How much more than measured is asked for: other machines are slower, other seeds take longer.
ROOM_IN_TIME, ROOM_IN_MEMORY = 4.0, 1.5
#: Seconds that every job is given besides: file systems are slow to load Python and torch from.
START = 600.0
TRAINING = "train_"
#: Rules whose jobs read every run.
OF_ALL_RUNS = ("referee", "stationarity", "policies", "notebook")
HEADER = """\
# What a job of each rule took: megabytes (the largest), processor seconds (the longest job) and its work, counted in
# updates (training), cells (certificates), runs (jobs that read all of them) or jobs.  Written by
#   replicate resources results/<scale> ... --out workflow/resources.yaml
# of runs with snakemake --benchmark-extended.
"""


class Measured(Model):
    """The memory and time that a job of a rule took."""

    megabytes: PositiveFloat
    seconds: PositiveFloat
    work: PositiveFloat


@dataclass(frozen=True)
class Job:
    """A job of a finished run: its rule, its arm ("" if it has none), megabytes and processor seconds."""

    rule: str
    arm: str
    megabytes: float
    seconds: float


@cache
def read(path: Path = FILE) -> dict[str, Measured]:
    """Return rule -> its measurement.

    Raises:
        ConfigurationError: the file is missing or was not written by :func:`measured_in`.
    """
    try:
        content = strict_yaml.parse(path.read_text(encoding="utf-8"), str(path))
        return TypeAdapter(dict[str, Measured]).validate_python(content)
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}; write it with replicate resources") from error


def work(config: Config, rule: str, arm: str = "") -> float:
    """Return the amount of work of a job of ``rule``: updates, cells, runs, or 1 if it is always the same."""
    if rule.startswith(TRAINING):
        return float(config.section(rule.removeprefix(TRAINING).replace("_", "-")).for_arm(arm).updates)
    if rule == "certificate" and config.double_integrator and (settings := config.double_integrator.certificate):
        return float(settings.cells_in_all)
    if rule in OF_ALL_RUNS:
        return float(sum(arm.seeds for section in config.experiments.values() for arm in section.arms.values()))
    return 1.0


def measured(rule: str) -> Measured:
    """Return what the longest job of ``rule`` took; for a rule without a measurement, the most of a similar rule."""
    found = read()
    if rule in found:
        return found[rule]
    alike = [one for name, one in found.items() if name.startswith(TRAINING) == rule.startswith(TRAINING)]
    return max(alike, key=lambda one: one.seconds / one.work)


def megabytes(config: Config, rule: str, arm: str = "", attempt: int = 1) -> int:
    """Return the memory to ask for, in megabytes, at the given attempt (1, 2, ...)."""
    needed = measured(rule).megabytes
    if rule.startswith(TRAINING):
        section = config.section(rule.removeprefix(TRAINING).replace("_", "-"))
        needed += sum(memory.of_run(section, arm).values()) / 1e6
    return 100 * math.ceil(ROOM_IN_MEMORY * needed / 100) * attempt


def minutes(config: Config, rule: str, arm: str = "", attempt: int = 1) -> int:
    """Return the time to ask for, in minutes, at the given attempt (1, 2, ...); each asks for twice the last."""
    longest = measured(rule)
    seconds = START + ROOM_IN_TIME * longest.seconds * work(config, rule, arm) / longest.work
    return math.ceil(seconds / 60) * int(2 ** (attempt - 1))


def expected(config: Config) -> dict[str, float]:
    """Return rule -> measured processor seconds of one of its jobs; rules without a measurement are left out."""
    found = {}
    for rule, longest in read().items():
        works = [work(config, rule)] if not rule.startswith(TRAINING) else _works_of_runs(config, rule)
        if works:
            found[rule] = longest.seconds * sum(works) / len(works) / longest.work
    return found


def _works_of_runs(config: Config, rule: str) -> list[float]:
    section = config.experiments.get(rule.removeprefix(TRAINING).replace("_", "-"))
    arms = {} if section is None else section.arms
    return [work(config, rule, arm) for arm, chosen in arms.items() for _ in chosen.seed_range]


def measured_in(folders: Iterable[Path], out: Path = FILE) -> None:
    """Write the memory and the time that the jobs of finished runs took.

    Args:
        folders: results/<scale>; Snakemake's benchmarks lie in logs/<scale>.
        out: the file.

    Raises:
        ResultError: the benchmarks were written without their rules' names.
    """
    most: dict[str, Measured] = {}
    for folder in folders:
        config = load_json(folder / "config.json")
        for job in _jobs(folder.parent.parent / "logs" / folder.name):
            seen, done = most.get(job.rule), work(config, job.rule, job.arm)
            found = Measured(megabytes=job.megabytes, seconds=job.seconds, work=done)
            longer = max(found, seen or found, key=attrgetter("seconds"))
            larger = max(found, seen or found, key=attrgetter("megabytes"))
            most[job.rule] = longer.model_copy(update={"megabytes": larger.megabytes})
    lines = [
        f"{rule}: {{megabytes: {found.megabytes:.0f}, seconds: {found.seconds:.1f}, work: {found.work:.0f}}}\n"
        for rule, found in sorted(most.items())
    ]
    write_text(out, HEADER + "".join(lines))


def _jobs(logs: Path) -> Iterator[Job]:
    for path in sorted(logs.rglob("*.benchmark.tsv")):
        with path.open(encoding="utf-8", newline="") as content:
            for row in csv.DictReader(content, delimiter="\t"):
                if "rule_name" not in row:
                    raise ResultError(f"{path}: names no rule; run the scale with snakemake --benchmark-extended")
                arm = ast.literal_eval(row["wildcards"]).get("arm", "")
                # a job that ended at once has no measurement of its memory
                size, seconds = (
                    0.0 if row[name] in ("NA", "-") else float(row[name]) for name in ("max_rss", "cpu_time")
                )
                yield Job(row["rule_name"], arm, max(size, 1.0), max(seconds, 0.1))
