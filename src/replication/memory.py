"""Refuses settings whose runs are too many, or need more memory than this machine has, before anything is run."""

from __future__ import annotations

import os
from itertools import accumulate
from operator import attrgetter
from pathlib import Path

from replication.config import Config
from replication.settings import ExperimentSettings
from scpo.errors import ConfigurationError

#: Files in which Linux states the most memory that a container or a job may use.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
#: Bytes that a process of a run takes beside its settings' and what processes share: interpreter, torch, SciPy.
PROCESS = 2.5e8
#: The most runs of a scale.  To plan one run takes Snakemake about 10 ms and 90 kB, so to plan these takes 9 GB.
MOST_RUNS = 100_000


def available() -> float:
    """Return the bytes that processes of this machine, or of this container, can use."""
    found = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    for path in LIMITS:
        try:
            found.append(float(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # not Linux, or "max"
            continue
    return min(found)


def of_run(section: ExperimentSettings, arm: str) -> dict[str, float]:
    """Return setting -> the bytes that a run of one arm needs because of it, without the process's own memory."""
    return section.for_arm(arm).memory(section.arms[arm].dataset)


def require(config: Config, jobs: int = 1, most: float | None = None) -> None:
    """Refuse a configuration whose largest runs, ``jobs`` of them side by side, would need more than ``most`` bytes.

    Args:
        config: the configuration of a scale.
        jobs: processes at a time on this machine.
        most: bytes; by default the memory of this machine.

    Raises:
        ConfigurationError: there are more than :data:`MOST_RUNS` runs; or a run does not fit, and the message names the
            arm and the setting that takes most memory; or one run fits and ``jobs`` runs do not, and the message says
            how many fit.
    """
    _require_few(config)
    most = available() if most is None else most
    sizes: list[float] = []
    for experiment, section in config.experiments.items():
        for arm, chosen in section.arms.items():
            parts = of_run(section, arm)
            total = PROCESS + sum(parts.values())
            if total > most:
                settings = section.for_arm(arm)
                large = [name for name in sorted(parts, key=lambda name: -parts[name]) if parts[name] > total / 10]
                named = ", ".join(f"{_gigabytes(parts[name])} for {name} = {_value(settings, name)}" for name in large)
                raise ConfigurationError(
                    f"{experiment.replace('-', '_')}, arm {arm}: a run needs about {_gigabytes(total)} of memory "
                    f"({named}); this machine has {_gigabytes(most)}"
                )
            sizes += [total] * min(chosen.seeds, jobs)
    together = list(accumulate(sorted(sizes, reverse=True)[:jobs]))
    if together and together[-1] > most:
        fitting = sum(needed <= most for needed in together)
        raise ConfigurationError(
            f"{len(together)} runs side by side need about {_gigabytes(together[-1])} of memory; this machine has "
            f"{_gigabytes(most)}, enough for {fitting}: make JOBS={fitting}, or snakemake --cores {fitting}"
        )


def _require_few(config: Config) -> None:
    """Refuse more runs than can be planned, and name the arm with the most seeds."""
    seeds = {
        f"{experiment.replace('-', '_')}.arms.{arm}.seeds": chosen.seeds
        for experiment, section in config.experiments.items()
        for arm, chosen in section.arms.items()
    }
    if (runs := sum(seeds.values())) > MOST_RUNS:
        largest = max(seeds, key=lambda name: seeds[name])
        raise ConfigurationError(
            f"{largest} = {seeds[largest]}: the scale has {runs:,} runs; more than {MOST_RUNS:,} cannot be planned"
        )


def _value(settings: object, name: str) -> object:
    """Return the value of a setting by its dotted name; names within mappings are looked up."""
    group, _, last = name.rpartition(".")
    if group.startswith("datasets."):
        datasets = attrgetter("datasets")(settings)
        return getattr(datasets[group.removeprefix("datasets.")], last)
    return attrgetter(name)(settings)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
