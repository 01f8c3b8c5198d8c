"""Typed errors.  Every message says what is wrong, where, and what to do about it."""

from __future__ import annotations

from typing import Any


class ScpoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(ScpoError, ValueError):
    """A configuration, an option or an argument is unusable."""


class ShapeError(ScpoError, ValueError):
    """An array does not have the shape or the type that is needed."""


class NonFiniteError(ScpoError, ArithmeticError):
    """A loss, a gradient, a constraint value or a parameter is NaN or infinite."""


class UnsafeStartError(ScpoError, RuntimeError):
    """The policy violates the constraint where the method needs a safe one."""


class ConstraintError(ScpoError, RuntimeError):
    """The constraint raised, timed out, changed its length, or returned something unusable."""


class NonDeterministicConstraintError(ConstraintError):
    """Two evaluations of the same parameters gave different values."""


class SolverError(ScpoError, RuntimeError):
    """No solver reached the accuracy that the projection needs.

    Attributes:
        best: the ``Projection`` at the nearest point that was found.  It certainly lies in the region and satisfies the
            descent inequality; only that no other point is much nearer is not proven.  None: no solver found a point.
    """

    best: Any = None  # of a type that its module defines, which imports this one
