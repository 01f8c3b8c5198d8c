"""The page of planted faults in print: nothing that was not caught is printed as if it had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication.errors import ResultError
from replication.planted_faults import certificates, method, records
from replication.planted_faults import report as falsification
from replication.typeset import latex

from . import synthetic_falsification


@pytest.fixture
def results(tmp_path: Path) -> Path:
    synthetic_falsification.write(tmp_path)
    return tmp_path


def test_the_table_prints_every_fault_in_latex(results: Path) -> None:
    lines = [
        line for line in falsification.faults(results).splitlines() if line.endswith(r"refused \num{3} of \num{3} \\")
    ]
    assert len(lines) == len(falsification.HEADINGS)
    assert all(r"\num{1e-7} of a\_b \& \num{100}\% & refused &" in line for line in lines)
    assert lines[0].startswith("constants-too-small,")


def test_a_fault_that_was_not_caught_is_never_printed(tmp_path: Path) -> None:
    synthetic_falsification.write(tmp_path, caught=False)
    for make in (falsification.faults, falsification.smoothness):
        with pytest.raises(ResultError, match="not caught"):
            make(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"findings": []}', '{"findings": [{"name": "x"}]}', "[", "[1]"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "falsification.json").write_text(text)
    with pytest.raises(ResultError, match=r"falsification\.json"):
        falsification.read(tmp_path)


def test_the_figure_shows_the_shares_that_were_counted(results: Path) -> None:
    axes = falsification.smoothness(results).axes[0]
    misses, unsafe = (line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(misses.get_xdata()) == [2.0, 1.0, 0.1]
    assert list(misses.get_ydata()) == [0.0, 0.0, 0.5]
    assert list(unsafe.get_ydata()) == [0.0, 0.0, 0.25]


@pytest.mark.parametrize(
    ("text", "printed"),
    [("seed-3 of v2.5", "seed-3 of v2.5"), ("0.85, then 3.", r"\num{0.85}, then \num{3}."), ("g_i", r"g\_i")],
)
def test_only_whole_numbers_and_decimals_are_set_as_numbers(text: str, printed: str) -> None:
    assert latex.text_with_numbers(text) == printed


def test_the_headings_stand_above_findings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "FACTORS", (1.0,))
    monkeypatch.setattr(method, "SEEDS", 1)
    monkeypatch.setattr(method, "UPDATES", 1)
    made = {method.constants_too_small().name, certificates.unsafe_pocket().name}
    assert falsification.HEADINGS.keys() <= made | {case.name for case in records.CASES}
