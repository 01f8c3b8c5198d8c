"""Read the shipped results, whose files were written before names changed: old keys become today's.

Only names change here, never values.  The module goes when the shipped results are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Old key -> today's key, at the top level of config.json.
CONFIG = {"profile": "scale"}
#: Old key -> today's key, in run.json and in each arm's entry of referee.json.
RUN = {"task": "experiment"}


def upgrade_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a config.json under today's names."""
    return _renamed(raw, CONFIG)


def upgrade_run(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a run.json under today's names."""
    return _renamed(raw, RUN)


def upgrade_referee(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a referee.json under today's names."""
    return {**raw, "arms": [_renamed(arm, RUN) for arm in raw["arms"]]}


def _renamed(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in raw.items()}
