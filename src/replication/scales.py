"""Profiles as the workflow uses them: single settings changed, and each job's own part of the configuration.

A job reads a configuration that holds its task, its arm and its data set and nothing else.  So it is repeated
when a setting that it can see changes, and more seeds or another task add runs and repeat none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from replication.config import Config, dump, load
from replication.settings import TaskSettings, merge
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


def load_profile(path: Path | str, assignments: Iterable[str] = ()) -> Config:
    """Read a profile and change single settings of it.

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


#: settings of the method that came after reference results had been made, each at the value that changes nothing
LATER = {"buffer": 0.0, "kink_factor": None}


def for_arm(config: Config, task: str, arm: str) -> Config:
    """Return the part of ``config`` that runs of one arm read.

    The number of seeds is left out (it reads 1): a run's seed is given to it.

    Raises:
        ConfigurationError: there is no such task or arm.
    """
    section = config.section(task)
    if arm not in section.arms:
        raise ConfigurationError(f"{task}: no arm {arm!r}; the arms are {', '.join(sorted(section.arms))}")
    chosen = section.arms[arm]
    arms = {arm: chosen.model_copy(update={"seeds": 1, "first_seed": 0}).model_dump()}
    return _narrowed(config, section, chosen.dataset, arms)


def for_dataset(config: Config, task: str, dataset: str) -> Config:
    """Return the part of ``config`` that drawing one data set reads.

    Raises:
        ConfigurationError: there is no such task or data set.
    """
    section = config.section(task)
    if dataset not in section.datasets:
        raise ConfigurationError(f"{task}: no data set {dataset!r}; there are {', '.join(sorted(section.datasets))}")
    return _narrowed(config.model_copy(update={"device": "cpu"}), section, dataset, {})  # drawn on the CPU always


def digest(config: Config) -> str:
    """Return the SHA-256 of a configuration's canonical JSON, which is that of the file that holds it."""
    return hashlib.sha256(dump(config).encode()).hexdigest()


def digests(config: Config) -> frozenset[str]:
    """Return the digests that records of this configuration may carry: :func:`digest`, and those from before LATER.

    A setting that is added at a value that means "as before" must not turn records made without it into those of
    another configuration.
    """
    raw = config.model_dump(mode="json")
    for section in raw.values():
        if isinstance(section, dict):
            for name, neutral in LATER.items():
                if section["scpo"][name] == neutral:
                    del section["scpo"][name]
    before = json.dumps(raw, sort_keys=True, indent=2) + "\n"
    return frozenset({digest(config), hashlib.sha256(before.encode()).hexdigest()})


def _narrowed(config: Config, section: TaskSettings, dataset: str, arms: dict[str, Any]) -> Config:
    raw = config.model_dump()
    for field, value in config:
        if value is section:
            raw[field] |= {"arms": arms, "datasets": {dataset: raw[field]["datasets"][dataset]}}
            raw[field] |= {"certificate": None} if "certificate" in raw[field] else {}  # made of finished runs
        elif isinstance(value, TaskSettings):
            raw[field] = None
    return Config.model_validate(raw)
