"""The page of habits and failures: every test that it names exists."""

from __future__ import annotations

import ast
import re

from .environments import PROJECT


def test_every_test_that_the_page_names_exists() -> None:
    page = (PROJECT / "docs/robustness.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| habit", "| input"))]
    named = [re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.rsplit(" | ", 1)[1]) for row in rows]
    assert len(rows) > 30
    assert all(named), [row for row, tests in zip(rows, named, strict=True) if not tests]
    defined = {
        (file.name, node.name)
        for file in (PROJECT / "tests").rglob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {test for tests in named for test in tests} <= defined
