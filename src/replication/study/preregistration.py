"""What the study was fixed to before its first run: its settings and its claims, by their digests.

``config/frozen.json`` has an entry for the freeze, and one for each later change with its reason.  The commit that adds
the first entry is older than any result.  docs/preregistration.md says in words what is fixed.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field

from replication import documents, scales
from replication.claims import claims
from replication.documents import Document
from replication.errors import ResultError
from replication.paths import REPOSITORY

SCALE, FROZEN = (REPOSITORY / "config" / name for name in ("study.yaml", "frozen.json"))


class Entry(Document):
    """The freeze, or a change after it.

    Attributes:
        on: the day.
        reason: why; of the first entry: what was chosen how.
        settings: SHA-256 of all settings of the study.
        claims: SHA-256 of the claims, their tolerances and their reasons.
    """

    on: date
    reason: Annotated[str, Field(min_length=10)]
    settings: str
    claims: str


class Frozen(Document):
    """config/frozen.json."""

    entries: Annotated[tuple[Entry, ...], Field(min_length=1)]


def today(scale: Path = SCALE, stated: Path = claims.FILE) -> dict[str, str]:
    """Return the digests of the settings and of the claims as they are."""
    content = json.dumps(claims.load(stated).model_dump(mode="json"), sort_keys=True)
    return {
        "settings": scales.digest(scales.load_scale(scale)),
        "claims": hashlib.sha256(content.encode()).hexdigest(),
    }


def entries(path: Path = FROZEN) -> tuple[Entry, ...]:
    """Return the freeze and the changes after it; empty before the freeze.

    Raises:
        ResultError: the file is damaged.
    """
    return documents.read(path, Frozen).entries if path.exists() else ()


def add(reason: str, path: Path = FROZEN, scale: Path = SCALE, stated: Path = claims.FILE) -> None:
    """Write that settings and claims are fixed as they are, for ``reason``.

    Raises:
        ResultError: nothing has changed since the last entry, or the reason is too short.
    """
    found, now = entries(path), today(scale, stated)
    if found and (found[-1].settings, found[-1].claims) == (now["settings"], now["claims"]):
        raise ResultError(f"{path}: settings and claims are those of the last entry; nothing to add")
    entry = {"on": date.today().isoformat(), "reason": reason, **now}
    content = {"entries": [*(one.model_dump(mode="json") for one in found), entry]}
    documents.write(path, Frozen, content)


def problem(path: Path = FROZEN, scale: Path = SCALE, stated: Path = claims.FILE) -> str | None:
    """Return that settings or claims have changed since the freeze without a stated reason, and what to do.

    None if they have not, or if the study is not frozen yet.
    """
    found = entries(path)
    if not found:
        return None
    now = today(scale, stated)
    changed = [name for name, digest in now.items() if digest != getattr(found[-1], name)]
    if not changed:
        return None
    return (
        f"the study's {' and '.join(changed)} are not those of {path.name} ({found[-1].on}): take the change back, "
        "or state its reason: replicate freeze --reason TEXT"
    )


def summary(path: Path = FROZEN) -> str:
    """Return one line: whether the study is frozen, since when, and how often it was changed after."""
    found = entries(path)
    if not found:
        return "study: not frozen yet"
    changes = len(found) - 1
    after = f"; {changes} {'change' if changes == 1 else 'changes'} since, with reasons" if changes else ""
    return f"study: settings and claims frozen on {found[0].on}{after}"
