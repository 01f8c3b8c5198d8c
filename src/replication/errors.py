"""Errors that only the replication raises; all derive from :class:`scpo.errors.ScpoError`."""

from __future__ import annotations

from scpo.errors import ScpoError


class ResultError(ScpoError, RuntimeError):
    """A result file is missing, damaged, stale, or not what its name says."""


class NotRunError(ResultError):
    """The scale does not run the experiment or the arm that is asked for."""


class FalsificationError(ScpoError, AssertionError):
    """A fault that was planted on purpose was not caught, so a check does not work."""
