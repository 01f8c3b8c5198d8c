"""Folders and files of the repository."""

from __future__ import annotations

from pathlib import Path

#: The folder that holds the packages.
SOURCES = Path(__file__).resolve().parents[1]
#: The root of the checkout.
REPOSITORY = SOURCES.parent
#: The digitised published figure: loss and final policy, relative to the repository.
PUBLISHED = tuple(
    f"shipped/published-figure/{name}" for name in ("figure-regression-loss.csv", "figure-regression-policy.csv")
)
