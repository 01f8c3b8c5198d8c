"""Replaces old names by the present ones in the shipped results, which were written before names changed.

Only names change here, never values.  A setting that did not exist then gets the value that gives the old behaviour.
This module can be removed when the shipped results are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Old key -> today's key, at the top level of config.json.
CONFIG = {"profile": "scale"}
#: Old key -> path of today's key, in a section ``scpo`` and in the overrides of an arm; None: there is none any more.
METHOD = {
    "samples": "directions.count",
    "sampler": "directions.kind",
    "recycle": "directions.recycled",
    "probe_step": "directions.probe_length",
    "safe_probes": "directions.safe_probes",
    "smoothness": "smoothness.kind",
    "initial_smoothness": None,
    "safety_factor": "smoothness.factor",
    "decay": "smoothness.decay",
    "kink_ratio": None,
    "kink_factor": None,
    "max_radius": "smoothness.max_radius",
    "margin": "tightening",
    "backend": None,
}
#: Settings of the method that came later, with the values that they had before.
LATER: dict[str, Any] = {"look": None}
#: Old key -> today's key, in run.json and in each arm's entry of referee.json (see replication.documents).
RUN = {"task": "experiment"}


def upgrade_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a config.json with the present names."""
    sections = {name: _section(part) for name, part in raw.items() if isinstance(part, Mapping) and "arms" in part}
    return _renamed({**raw, **sections}, CONFIG)


def _renamed(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in raw.items()}


def _section(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's section with the present names of the method's settings."""
    arms = {name: {**arm, "overrides": _method_of(arm["overrides"])} for name, arm in raw["arms"].items()}
    section = _method_of(raw)
    return {**section, "scpo": LATER | section["scpo"], "arms": arms}


def _method_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "scpo": _method(raw["scpo"])} if "scpo" in raw else dict(raw)


def _method(raw: Mapping[str, Any]) -> dict[str, Any]:
    upgraded: dict[str, Any] = {}
    for key, value in raw.items():
        path = key if isinstance(value, Mapping) else METHOD.get(key, key)
        if path is None:
            continue
        group, _, name = path.rpartition(".")
        if group:
            upgraded.setdefault(group, {})[name] = value
        else:
            upgraded[path] = value
    return upgraded
