"""SCPO: constrained policy optimisation by sampling-based weight-space projection.

The public names are loaded when they are first used, so that ``import scpo`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scpo import chance as chance
    from scpo import errors as errors
    from scpo.directions import Isotropic as Isotropic
    from scpo.directions import Mixed as Mixed
    from scpo.directions import Tangent as Tangent
    from scpo.optimizer import SafeOptimizer as SafeOptimizer
    from scpo.options import Constraint as Constraint
    from scpo.options import Descent as Descent
    from scpo.options import Look as Look
    from scpo.policies import ResidualPolicy as ResidualPolicy
    from scpo.projection.project import Projection as Projection
    from scpo.projection.project import project as project
    from scpo.projection.region import LocalSafeRegion as LocalSafeRegion
    from scpo.records import StepInfo as StepInfo
    from scpo.sampling import Directions as Directions
    from scpo.smoothness import EstimatedSmoothness as EstimatedSmoothness
    from scpo.smoothness import FixedSmoothness as FixedSmoothness
    from scpo.smoothness import Smoothness as Smoothness

__version__ = "0.2.0"

#: public name -> module that defines it; "scpo" for the modules themselves
_PUBLIC = {
    "project": "scpo.projection.project",
    "Projection": "scpo.projection.project",
    "LocalSafeRegion": "scpo.projection.region",
    "SafeOptimizer": "scpo.optimizer",
    "StepInfo": "scpo.records",
    "ResidualPolicy": "scpo.policies",
    "Constraint": "scpo.options",
    "Descent": "scpo.options",
    "Look": "scpo.options",
    "Directions": "scpo.sampling",
    "Isotropic": "scpo.directions",
    "Tangent": "scpo.directions",
    "Mixed": "scpo.directions",
    "Smoothness": "scpo.smoothness",
    "FixedSmoothness": "scpo.smoothness",
    "EstimatedSmoothness": "scpo.smoothness",
    "chance": "scpo",
    "errors": "scpo",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


if not TYPE_CHECKING:  # a type checker must not take unknown names for known ones

    def __getattr__(name: str) -> Any:
        if _PUBLIC.get(name) == "scpo":  # a module
            return import_module(f"scpo.{name}")
        if name in _PUBLIC:
            return getattr(import_module(_PUBLIC[name]), name)
        raise AttributeError(f"module 'scpo' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
