"""Other methods behind the same interface: a module each, found by its name, and in it the class of that name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

#: Names of the methods, as settings write them.
NAMES = tuple(
    sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem != "base")
)


def class_of(name: str) -> Any:
    """Return the class of the method ``name``: ``two_steps.TwoSteps`` for "two-steps"."""
    words = name.split("-")
    return getattr(import_module(f"{__name__}.{'_'.join(words)}"), "".join(word.capitalize() for word in words))
