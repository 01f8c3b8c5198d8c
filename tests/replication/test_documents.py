"""JSON documents: what is written can be read, and what could not be read is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication import documents
from replication.documents import Stationarity
from replication.errors import ResultError

CONTENT = {"near": 0.01, "runs": [{"arm": "scpo", "seed": 0, "active": 2, "residual": 0.5}]}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stationarity.json"
    documents.write(path, Stationarity, CONTENT)
    found = documents.read(path, Stationarity)
    assert (found.near, found.runs[0].residual) == (0.01, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"near": "0.01"}, "near: Input should be a valid number"),
        ({"near": float("nan")}, "near: Input should be a valid number"),  # JSON has no NaN
        ({"runs": [{"arm": "scpo"}]}, r"lacks runs\.0\.seed, runs\.0\.active, runs\.0\.residual"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "stationarity.json"
    with pytest.raises(ResultError, match=message):
        documents.write(path, Stationarity, CONTENT | change)
    assert not path.exists()
