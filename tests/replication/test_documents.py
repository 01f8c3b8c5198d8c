"""JSON documents: what is written can be read, and what could not be read is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication import documents, files
from replication.bank import Bank
from replication.documents import Document, Manifest, RunSummary, Stamp, Stationarity, Timing
from replication.errors import ResultError
from replication.paths import REPOSITORY

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


def test_what_ships_is_written_again_with_the_same_bytes() -> None:
    manifests = sorted(REPOSITORY.glob("shipped/**/manifest.json"))
    found: list[tuple[bytes, type[Document], Path]] = []
    for path in manifests:
        found.append((path.read_bytes(), Manifest, path))
        bank = Bank(path.parent)
        for _, contents in bank.read(bank.runs()[0].experiment, bank.runs()[0].arm):
            kinds = {"run.stamp.json": Stamp, "run.timing.json": Timing, "run.json": RunSummary}
            found += [(contents[name], kind, path) for name, kind in kinds.items() if name in contents]
    found += [(path.read_bytes(), Stamp, path) for path in REPOSITORY.glob("shipped/**/*.stamp.json")]
    assert len(manifests) == 5 and {Stamp, Timing, RunSummary} < {kind for _, kind, _ in found}
    for content, kind, path in found:
        document = documents.parse(content, kind, path)
        if kind is not RunSummary:  # whose older files lack younger counts, or have others
            stated = {**(document.model_extra or {}), **document.model_dump(exclude_unset=True)}
            assert files.json_text(stated).encode() == content, path
