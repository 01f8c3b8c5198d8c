"""Finds the class of a baseline by the method's name."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def class_of(name: str) -> Any:
    """Return the class of the method ``name``; for "two-steps" this is ``two_steps.TwoSteps``."""
    words = name.split("-")
    return getattr(import_module(f"{__package__}.{'_'.join(words)}"), "".join(word.capitalize() for word in words))
