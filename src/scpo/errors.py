"""Typed errors: every message says what was wrong, where, and what to do."""

from __future__ import annotations


class ScpoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(ScpoError, ValueError):
    """A configuration, an option or an argument is unusable."""


class ShapeError(ScpoError, ValueError):
    """An array does not have the shape or the dtype that is needed."""


class NonFiniteError(ScpoError, ArithmeticError):
    """A loss, a gradient, a constraint or a parameter is NaN or infinite."""


class UnsafeStartError(ScpoError, RuntimeError):
    """The initial policy violates a constraint; the induction needs a safe start."""


class ConstraintError(ScpoError, RuntimeError):
    """The constraint raised, timed out, changed its length, or returned something unusable."""


class NonDeterministicConstraintError(ConstraintError):
    """Two evaluations of the same parameters gave different values."""


class SolverError(ScpoError, RuntimeError):
    """No backend solved the projection to the required accuracy."""


class ResultError(ScpoError, RuntimeError):
    """A result file is missing, damaged, stale, or not what its name says."""


class FalsificationError(ScpoError, AssertionError):
    """A fault that was planted on purpose was not caught, so a check is not worth its name."""
