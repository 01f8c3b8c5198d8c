"""Arrays as text that the page reads back without loss: little-endian bytes in base64."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Kind = Literal["f8", "f4", "i4", "i2"]


def array(values: ArrayLike, kind: Kind = "f8") -> dict[str, Any]:
    """Return ``values`` as a dictionary of type, shape and bytes, which core.js reads."""
    found = np.ascontiguousarray(values, dtype=f"<{kind}")
    return {"type": kind, "shape": list(found.shape), "bytes": base64.b64encode(found.tobytes()).decode("ascii")}


def shared(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``content`` with each encoded array that occurs several times only once, in a further list ``arrays``.

    In its place stands {"same": its number in the list}, which core.js looks up.  The runs of an arm share the updates
    at which they were recorded, and the safe ones among them their counts.
    """
    counts = Counter(map(_identity, _arrays(content)))
    numbers: dict[Any, int] = {}
    arrays: list[dict[str, Any]] = []

    def place(one: Any) -> Any:
        if _is_array(one):
            name = _identity(one)
            if counts[name] < 2:
                return one
            if name not in numbers:
                numbers[name] = len(arrays)
                arrays.append(one)
            return {"same": numbers[name]}
        if isinstance(one, Mapping):
            return {key: place(value) for key, value in one.items()}
        return [place(value) for value in one] if isinstance(one, list) else one

    return {**place(content), "arrays": arrays}


def _arrays(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every encoded array."""
    if _is_array(content):
        yield content
    elif isinstance(content, Mapping | list):
        for one in content.values() if isinstance(content, Mapping) else content:
            yield from _arrays(one)


def _is_array(one: Any) -> bool:
    return isinstance(one, Mapping) and one.keys() == {"type", "shape", "bytes"}


def _identity(one: Mapping[str, Any]) -> tuple[str, tuple[int, ...], str]:
    return one["type"], tuple(one["shape"]), one["bytes"]
