"""Describes invalid settings in words: the key, its value, and the values that are allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def problems(error: ValidationError, defaults: BaseModel) -> list[str]:
    """Return one line for each problem.

    Args:
        error: raised by the model of ``defaults``.
        defaults: valid settings, from which the keys that are allowed are taken.
    """
    lines = []
    for item in error.errors():
        place = [str(step) for step in item["loc"]]
        key, value = ".".join(place) or "top level", item["input"]
        if item["type"] in _UNKNOWN:
            lines.append(f"{key} = {_short(value)}: no such key{known(place[-1], _keys(defaults, place[:-1]))}")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{key} = {_short(value)}: {item['msg'].replace('Input should be', 'must be')}")
    return lines


def known(given: str, names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest of ``names``, and all of them."""
    names = sorted(names)
    nearest = difflib.get_close_matches(given, names, n=1)
    return "".join(f"; did you mean {name}" for name in nearest) + f"; there are {', '.join(names) or 'none'}"


def _keys(node: Any, place: Sequence[str]) -> list[str]:
    """Return the keys of the section at ``place``; a section of a new name has the keys of its neighbours."""
    for step in place:
        if isinstance(node, Mapping):
            node = node.get(step, next(iter(node.values()), None))
        else:
            node = getattr(node, step, None)
    if isinstance(node, BaseModel):
        return list(type(node).model_fields)
    return [one.name for one in fields(node)] if is_dataclass(node) else []


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
