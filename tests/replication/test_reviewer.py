"""REPRODUCE.md: what is generated is current, and what it tells a reviewer to run exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from replication import report
from replication.cli import main
from replication.errors import ResultError
from replication.report import reviewer
from replication.shipped import collection

from .synthetic_results import small_config, write_results
from .synthetic_stamps import write_stamps

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "REPRODUCE.md"
SHIPPED = PROJECT / "shipped/results/paper"


def test_the_generated_parts_are_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == reviewer.updated(text, SHIPPED), "run: replicate reviewer"


def test_the_map_has_every_figure_and_table_once_under_its_number() -> None:
    rows = [line.split(" | ") for line in reviewer.made_by().splitlines()[2:]]
    for name, item in (report.FIGURES | report.TABLES).items():
        found = [row for row in rows if row[-1].rstrip("` |").endswith((f"/{name}.pdf", f"/{name}.tex"))]
        assert len(found) == 1, name
        assert found[0][0].removeprefix("| ").startswith("fig-" if name in report.FIGURES else "tab-"), name
        assert found[0][3] == f"`{item.module}.{item.function}`"
        assert found[0][1] == report.caption(name)
    numbers = [int(row[0].partition("-")[2]) for row in rows if row[0].startswith("| fig-")]
    assert numbers == sorted(numbers) == list(range(1, len(report.FIGURES) + 1))


def test_times_are_those_of_the_jobs(tmp_path: Path) -> None:
    config = small_config(epochs=10, seeds=2)
    write_results(tmp_path / "results", config)
    write_stamps(tmp_path / "results", config)
    path = tmp_path / "results/regression/scpo/seed-0/run.timing.json"
    path.write_text(json.dumps({"seconds": 3600.0, "processor": "a processor", "platform": "an OS"}))
    assert reviewer.times(tmp_path / "shipped") == reviewer.NONE
    collection.collect(tmp_path / "results", tmp_path / "shipped")
    runs = sum(arm.seeds for arm in config.experiments["regression"].arms.values())
    table = reviewer.times(tmp_path / "shipped")
    assert f"| regression: training run | {runs} | 2 s | {(3600 + 1.5 * (runs - 1)) / 60:.0f} min |" in table
    assert f"| **all** | {runs} | | **1.0 h** |" in table
    assert "a processor (an OS)" in table


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "REPRODUCE.md"
    page.write_text("<!-- generated: map -->\n")
    with pytest.raises(ResultError, match="generated: map"):
        reviewer.refresh(page, SHIPPED)


def test_what_the_page_tells_to_run_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
    for path in re.findall(r"`((?:config|src|docs|notebooks)/[a-z_./-]+)`", text):
        assert (PROJECT / path).exists(), path
    for command in set(re.findall(r"`scpo ([a-z]+)", text)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
