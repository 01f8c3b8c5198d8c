"""The baselines: other methods with the same interface.

Each method has a module here.  The module has the name of the method, and so has the class in it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

#: the names of the methods, as settings write them
NAMES = tuple(
    sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem != "base")
)


def class_of(name: str) -> Any:
    """Return the class of the method ``name``; for "two-steps" this is ``two_steps.TwoSteps``."""
    words = name.split("-")
    return getattr(import_module(f"{__name__}.{'_'.join(words)}"), "".join(word.capitalize() for word in words))
