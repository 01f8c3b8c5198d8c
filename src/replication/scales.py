"""Scales as the workflow uses them: single settings changed, and each job's own part of the configuration.

A job reads a configuration that holds its experiment, its arm and its data set and nothing else.  So it is repeated
when a setting that it can see changes, and more seeds or another experiment add runs and repeat none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from replication.config import Config, dump, load
from replication.settings import merge
from scpo.errors import ConfigurationError


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``["a.b=1 a.c=x", "d=[2]"]`` as the overlay {"a": {"b": 1, "c": "x"}, "d": [2]}; values are YAML.

    Raises:
        ConfigurationError: an assignment is not of the form key=value, or its value is not YAML.
    """
    overlay: dict[str, Any] = {}
    for assignment in (part for text in assignments for part in text.split()):
        key, separator, value = assignment.partition("=")
        steps = key.split(".")
        if not separator or not all(steps):
            raise ConfigurationError(f"--set {assignment!r}: expected key=value, for example regression.bound=1.2")
        try:
            nested: Any = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {assignment!r}: the value is not valid YAML: {error}") from error
        for step in reversed(steps):
            nested = {step: nested}
        overlay = merge(overlay, nested)
    return overlay


def load_scale(path: Path | str, assignments: Iterable[str] = ()) -> Config:
    """Read a scale's file and change single settings of it.

    Raises:
        ConfigurationError: as for :func:`replication.config.load`, or an assignment is unusable.
    """
    config = load(path)
    overlay = parse(assignments)
    if not overlay:
        return config
    try:
        return Config.model_validate(merge(config.model_dump(), overlay))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError("--set: invalid configuration\n" + "\n".join(lines)) from error


def for_arm(config: Config, experiment: str, arm: str) -> Config:
    """Return the part of ``config`` that runs of one arm read.

    The number of seeds is left out (it reads 1): a run's seed is given to it.

    Raises:
        ConfigurationError: there is no such experiment or arm.
    """
    _require("arm", arm, config.section(experiment).arms, experiment)
    return Config.model_validate(_arm_part(config.model_dump(), _field(experiment), arm))


def for_dataset(config: Config, experiment: str, dataset: str) -> Config:
    """Return the part of ``config`` that drawing one data set reads.

    Raises:
        ConfigurationError: there is no such experiment or data set.
    """
    _require("data set", dataset, config.section(experiment).datasets, experiment)
    raw = config.model_dump() | {"device": "cpu"}  # data are always drawn on the CPU
    return Config.model_validate(_part(raw, _field(experiment), dataset, {}))


def digest(config: Config) -> str:
    """Return the SHA-256 of a configuration's canonical JSON, which is that of the file that holds it."""
    return hashlib.sha256(dump(config).encode()).hexdigest()


def digest_on_disk(raw: Mapping[str, Any], experiment: str, arm: str) -> str:
    """Return the digest of what runs of one arm read, from the content of a config.json as it lies on disk.

    The file may have been written by an earlier version: its own names are kept.
    """
    part = _arm_part(raw, _field(experiment), arm)
    return hashlib.sha256((json.dumps(part, sort_keys=True, indent=2) + "\n").encode()).hexdigest()


def _field(experiment: str) -> str:
    return experiment.replace("-", "_")


def _require(kind: str, name: str, known: Mapping[str, Any], experiment: str) -> None:
    if name not in known:
        raise ConfigurationError(f"{experiment}: no {kind} {name!r}; there are {', '.join(sorted(known))}")


def _arm_part(raw: Mapping[str, Any], field: str, arm: str) -> dict[str, Any]:
    chosen = raw[field]["arms"][arm] | {"seeds": 1, "first_seed": 0}
    return _part(raw, field, chosen["dataset"], {arm: chosen})


def _part(raw: Mapping[str, Any], field: str, dataset: str, arms: dict[str, Any]) -> dict[str, Any]:
    """Return ``raw`` with one experiment's section, one data set and the given arms; certificates are left out."""
    sections = [name for name, value in raw.items() if isinstance(value, Mapping) and "arms" in value]
    section = raw[field] | {"arms": arms, "datasets": {dataset: raw[field]["datasets"][dataset]}}
    if "certificate" in section:  # made of finished runs
        section["certificate"] = None
    return {**raw, **dict.fromkeys(sections), field: section}
