"""Refuses settings whose runs do not fit into the memory of this machine, before anything is run."""

from __future__ import annotations

import os
from operator import attrgetter
from pathlib import Path

from replication.config import Config
from scpo.errors import ConfigurationError

#: Files in which Linux states the most memory that a container or a job may use.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available() -> float:
    """Return the bytes that processes of this machine, or of this container, can use."""
    found = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    for path in LIMITS:
        try:
            found.append(float(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # not Linux, or "max"
            continue
    return min(found)


def require(config: Config, most: float | None = None) -> None:
    """Refuse a configuration of which one run alone would need more than ``most`` bytes.

    Args:
        config: the configuration of a scale.
        most: bytes; those of this machine unless given.

    Raises:
        ConfigurationError: the message names the arm, the setting that takes most, and its value.
    """
    most = available() if most is None else most
    for experiment, section in config.experiments.items():
        for arm, chosen in section.arms.items():
            settings = section.for_arm(arm)
            parts = settings.memory(chosen.dataset)
            total = sum(parts.values())
            if total > most:
                large = [name for name in sorted(parts, key=lambda name: -parts[name]) if parts[name] > total / 10]
                named = ", ".join(f"{_gigabytes(parts[name])} for {name} = {_value(settings, name)}" for name in large)
                raise ConfigurationError(
                    f"{experiment.replace('-', '_')}, arm {arm}: a run needs about {_gigabytes(total)} of memory "
                    f"({named}); this machine has {_gigabytes(most)}"
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
