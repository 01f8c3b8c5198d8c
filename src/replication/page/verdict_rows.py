"""The page's data on the claims: each verdict, how it was decided, and the figures that show its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replication.claims import claims, evidence
from replication.claims.claims import Claim
from replication.claims.verdicts import Verdict
from replication.config import Config
from replication.report import parts, text

#: Mark of a setting -> what it says.
SETTINGS = {"S": "stated by the paper", "F": "read off its figure", "R": "our reconstruction"}
#: Beginning of a claim's source -> what the page calls it.
SOURCES = {"abstract": "stated by the abstract", "figure": "read off the published figure", "ours": "ours"}
#: The experiment of a claim that is about none.
METHOD = "method"


def rows(found: Sequence[Verdict], config: Config) -> list[dict[str, Any]]:
    """Return a row for each verdict, in their order, with the numbers of figures in the report of the scale.

    Raises:
        ConfigurationError: a claim names a figure or a table that nothing makes.
    """
    stated = claims.load()
    known = {claim.id: claim for claim in stated.claims}
    labels = text.labels(config)
    return [_row(one, known.get(one.id), stated, labels) for one in found]


def _row(one: Verdict, claim: Claim | None, stated: claims.Claims, labels: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": one.id,
        "status": one.status,
        "said": one.said,
        "leftOpen": one.left_open,
        "statement": one.statement,
        "source": one.source,
        "origin": SOURCES[one.source.partition(" ")[0]],
        "setting": f"{one.mark}: {SETTINGS[one.mark]}",
        "quantity": one.quantity,
        "measured": one.measured,
        "found": one.found,
        "wanted": one.wanted,
        "tolerance": one.tolerance,
        "tier": one.tier,
        "seeds": len(one.seeds),
        "evidence": evidence.grouped(one.evidence),
        "calibrated": one.calibrated,
        "undecided": one.reason,
    }
    if claim is None:  # the results were judged by claims that are no longer stated
        return row | {"experiments": [METHOD], "shown": [], "reason": "", "chosen": [], "changes": [], "effort": ""}
    effort = stated.efforts[claim.effort]
    return row | {
        "experiments": sorted({arm.partition("/")[0] for arm in claim.needs.arms}) or [METHOD],
        "shown": [_shown(name, labels) for name in claim.shown_in],
        "reason": claim.reason,
        "chosen": claim.calibrated,
        "changes": [f"{change.on}: {change.change}. {change.reason}" for change in claim.history],
        "effort": f"{effort.command}: {effort.human} of yours, {effort.compute} of the machine",
    }


def _shown(name: str, labels: dict[str, str]) -> dict[str, str]:
    """Return a figure or table of the report: its number there, its name, and what it shows."""
    part = parts.part(name)
    label = labels.get(f"{part.kind}s/{name}", "")
    kind, _, number = label.partition("-")
    words = {"fig": "Figure", "tab": "Table"}
    return {"label": f"{words[kind]} {number}" if number else part.kind, "name": name, "shows": part.shows}
