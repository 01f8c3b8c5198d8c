"""The scripts in examples/: short forms of them train, and their pages hold what a run wrote there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from examples.compare import compare

pytest.importorskip("gymnasium", reason="the examples need their extra: pip install -e .[examples]")
pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
TOOLS = ("__init__", "compare")
NAMES = sorted(path.stem for path in (PROJECT / "examples").glob("*.py") if path.stem not in TOOLS)


def trained(name: str, folder: Path, updates: int) -> list[Any]:
    example = importlib.import_module(f"examples.{name}")
    words = example.OBJECTIVE, example.CONSTRAINT, getattr(example, "draw", None)
    return compare(name, example.train, example.rollout, updates, *words, ["--out", str(folder)])


@pytest.mark.parametrize("name", NAMES)
def test_a_short_form_trains_and_keeps_every_wrapped_iterate_safe(name: str, tmp_path: Path) -> None:
    unwrapped, wrapped = trained(name, tmp_path, 12)
    assert len(wrapped.worst) == len(unwrapped.worst) >= 12
    assert wrapped.unsafe == 0
    assert len(set(wrapped.objective)) > 6  # it moves
    assert wrapped.rollouts > 12 and unwrapped.rollouts == 0
    assert (tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_short_and_its_page_has_a_table_and_a_picture(name: str) -> None:
    assert len((PROJECT / "examples" / f"{name}.py").read_text().splitlines()) <= 80
    page = (PROJECT / "docs/examples" / f"{name}.md").read_text()
    rows = re.findall(r"^\| (unwrapped|wrapped) \| \S+ \| (\d+) of (\d+) \| ([\d,]+) \| \d+ \|$", page, re.MULTILINE)
    assert [row[0] for row in rows] == ["unwrapped", "wrapped"]
    assert int(rows[0][1]) > 0 == int(rows[1][1])
    assert f"]({name}.png)" in page and (PROJECT / "docs/examples" / f"{name}.png").exists()
    index = (PROJECT / "docs/examples.md").read_text()
    assert f"(examples/{name}.md)" in index and f"\nexamples/{name}\n" in index


def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    first, second = (trained("pendulum", tmp_path, 6) for _ in range(2))
    assert [run.objective for run in first] == [run.objective for run in second]
    assert [run.worst for run in first] == [run.worst for run in second]
