"""Finds finished results that a call of the workflow will replace, because they were made with other settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from replication import scales
from replication.bank import is_made
from replication.config import Config, load_json
from scpo.errors import ConfigurationError


def warning(config: Config, results: Path, only: Collection[str] = ()) -> str | None:
    """Return a sentence on the finished results in ``results`` (results/<scale>) that ``config`` replaces, or None.

    ``only`` names the arms that are run, as regression/scpo; none: all.
    """
    arms = [name for name in _replaced(config, results) if not only or name in only]
    try:
        changed = list(_differences(load_json(results / "config.json").model_dump(), config.model_dump(), ""))
    except ConfigurationError:  # it is missing or older; the runs' own stamps tell enough
        changed = []
    keep = "to keep them, stop and rename the folder"
    if arms:
        settings = f" ({', '.join(changed)})" if changed else ""
        return (
            f"{results}: finished runs of {', '.join(arms)} were made with other settings{settings} and are replaced; "
            f"{keep}"
        )
    if shared := [one for one in changed if ".arms." not in one]:  # such as the settings of certificates
        return f"{results}: results that depend on {', '.join(shared)} are replaced; {keep}"
    return None


def _replaced(config: Config, results: Path) -> Iterator[str]:
    """Yield the arms of ``config`` that have a run in ``results`` with the stamp of other settings."""
    for experiment, section in config.experiments.items():
        for arm in section.arms:
            stamps = sorted((results / experiment / arm).glob("seed-*/run.stamp.json"))
            wanted = scales.digest(scales.for_arm(config, experiment, arm)) if stamps else ""
            if not all(is_made(path, wanted) for path in stamps):
                yield f"{experiment}/{arm}"


def _differences(before: Any, after: Any, key: str) -> Iterator[str]:
    """Yield the settings that differ, as "key: before -> after"; arms that only one side has are left out."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = sorted(before.keys() & after.keys() if key.endswith(".arms") else before.keys() | after.keys())
        for name in names:
            yield from _differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after and not (key.count(".") == 0 and None in (before, after)):
        yield f"{key}: {before} -> {after}"
