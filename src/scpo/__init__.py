"""SCPO: constrained policy optimisation by sampling-based weight-space projection.

The public names are loaded when they are first used, so that ``import scpo`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "project": "scpo.projection.project",
    "Projection": "scpo.projection.project",
    "LocalSafeRegion": "scpo.projection.region",
    "SafeOptimizer": "scpo.optimizer",
    "StepInfo": "scpo.records",
    "ResidualPolicy": "scpo.policies",
    "FixedSmoothness": "scpo.smoothness",
    "EstimatedSmoothness": "scpo.smoothness",
    "Isotropic": "scpo.directions",
    "Tangent": "scpo.directions",
    "Mixed": "scpo.directions",
    "errors": "scpo",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("scpo.errors")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'scpo' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
