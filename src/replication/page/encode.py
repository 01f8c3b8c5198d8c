"""Arrays as text that the page reads back without loss: little-endian bytes in base64."""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Kind = Literal["f8", "f4", "i4", "i2"]


def array(values: ArrayLike, kind: Kind = "f8") -> dict[str, Any]:
    """Return ``values`` as a dictionary of type, shape and bytes, which core.js reads."""
    found = np.ascontiguousarray(values, dtype=f"<{kind}")
    return {"type": kind, "shape": list(found.shape), "bytes": base64.b64encode(found.tobytes()).decode("ascii")}
