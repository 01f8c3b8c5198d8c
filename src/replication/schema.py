"""Generates the JSON schema of a scale's file and the commented default YAML from the configuration models.

``make schema`` writes both to config/; a test compares the files there with the models.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import yaml
from pydantic import BaseModel

from replication.config import Config
from scpo.options import Options

SCHEMA_FILE = "schema.json"
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
#
# Every setting with its default, generated from the models (make schema): read this, write a scale.
# A scale such as paper.yaml names only what differs; results of a scale lie in results/<scale>/.
"""
_WIDTH = 118


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) that a scale's file obeys.

    A scale is laid over the defaults, so no key is required.  An arm that is null is left out.  Unknown keys are
    refused at every level.
    """
    schema = _without_required(Config.model_json_schema())
    for section in schema["$defs"].values():
        if arms := section.get("properties", {}).get("arms"):
            arms["patternProperties"] = {
                pattern: {"anyOf": [arm, {"type": "null"}]} for pattern, arm in arms["patternProperties"].items()
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def json_schema_text() -> str:
    """Return the text of config/schema.json."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def default_yaml() -> str:
    """Return the text of config/default.yaml: every setting, explained at its first occurrence."""
    return _HEAD + "\n" + "\n".join(_section(Config(), 0, set())) + "\n"


def _without_required(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_required(value) for key, value in node.items() if not _is_required_list(key, value)}
    return [_without_required(item) for item in node] if isinstance(node, list) else node


def _is_required_list(key: str, value: Any) -> bool:
    return key == "required" and isinstance(value, list)  # not a setting of that name


def descriptions(section: Any) -> dict[str, str | None]:
    """Return name -> meaning of the settings of a section: a pydantic model, or options of the library."""
    if isinstance(section, BaseModel):
        return {name: field.description for name, field in type(section).model_fields.items()}
    return {field.name: field.metadata.get("description") for field in fields(section)}


def _section(section: Any, depth: int, explained: set[str]) -> Iterator[str]:
    for name, description in descriptions(section).items():
        setting = f"{type(section).__name__}.{name}"
        if description and setting not in explained:
            yield from _comment(description, depth)
            explained.add(setting)
        yield from _entry(name, getattr(section, name), depth, explained)


def _entry(name: str, value: Any, depth: int, explained: set[str]) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, BaseModel | Options):
        yield f"{indent}{name}:"
        yield from _section(value, depth + 1, explained)
    elif isinstance(value, Mapping) and value:
        yield f"{indent}{name}:"
        for key, item in value.items():
            yield from _entry(str(key), item, depth + 1, explained)
    else:
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
        yield f"{indent}{name}: {text}"


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield from textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
