"""Fixtures of the library's tests."""

from __future__ import annotations

from functools import partial

import pytest

from scpo.watch import Watch


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No evaluation is repeated to look for noise, so that the rollouts of an update can be counted."""
    monkeypatch.setattr("scpo.optimizer.Watch", partial(Watch, check_at=10**9))
