"""Pages in Markdown say what the results say: numbers, counts of verdicts, the table of claims, figures."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from replication.claims import decide, verdicts
from replication.claims.claims import load
from replication.claims.verdicts import Verdict
from replication.cli import main
from replication.config import Config, dump
from replication.errors import ResultError
from replication.report import html, pages
from replication.results import quantities
from replication.results.quantities import Table, of_rows
from replication.results.read import read_config
from scpo.errors import ConfigurationError

from . import planted_claims

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
WRITTEN = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]
FILLED = [path for path in WRITTEN if "<!--/q-->" in path.read_text() or verdicts.BEGIN in path.read_text()]
SHOWING = [path for path in WRITTEN if pages.figures(path.read_text())]


@pytest.fixture(scope="module")
def table() -> Table:
    rows = [
        ("regression", arm, seed, "unsafe-iterates", value)
        for arm, values in {"scpo": (0.0, 2.0), "unconstrained": (90000.0, 9999.0)}.items()
        for seed, value in enumerate(values)
    ]
    shares = [("regression", "scpo", seed, "bound-miss-share", value) for seed, value in enumerate((0.25, 0.0001))]
    return of_rows([*rows, *shares])


def _filled(page: str, table: Table) -> str:
    return pages.filled(page, "page.md", table, Config(), [])


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ("q regression/scpo/unsafe-iterates sum", "2"),
        ("q regression/unconstrained/unsafe-iterates sum", "99,999"),
        ("q regression/scpo/bound-miss-share max", "25.0 %"),
        ("q[0] regression/scpo/bound-miss-share max", "25 %"),
        ("q regression/scpo/bound-miss-share min", "less than 0.1 %"),
        ("q regression/scpo/unsafe-iterates range", "[0, 2]"),
        ("setting regression/bound", "1.4"),
        ("count all", "0"),
        ("count deviates", "0"),
        ("count open", "0"),
    ],
)
def test_a_number_between_marks_is_that_of_the_results(table: Table, mark: str, shown: str) -> None:
    page = "before <!--{}-->{}<!--/q--> after <!--{}-->{}<!--/q-->\n"
    wanted = page.format(mark, shown, mark, shown)
    assert _filled(page.format(mark, "", mark, "1 of yesterday"), table) == wanted
    assert _filled(wanted, table) == wanted


def test_claims_that_are_left_open_are_counted(table: Table) -> None:
    first = load().claims[0]
    found = [Verdict.of(first, "deviates", left_open=True), Verdict.of(first, "deviates")]
    page = "<!--count deviates-->{}<!--/q--> deviate, <!--count open-->{}<!--/q--> of them left open"
    assert pages.filled(page.format("", ""), "page.md", table, Config(), found) == page.format(2, 1)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("\n<!--q regression/scpo/guess sum-->1<!--/q-->", r"page\.md:2: .*no quantity 'guess'"),
        ("<!--q regression/scpo/unsafe-iterates mode-->1<!--/q-->", "no statistic 'mode'"),
        ("<!--count guessed-->1<!--/q-->", r"page\.md:1: no verdict 'guessed'"),
        ("<!--q regression/scpo/unsafe-iterates sum>1<!--/q-->", "ends no number"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(table: Table, page: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _filled(page, table)


def test_a_table_of_claims_needs_both_marks(table: Table) -> None:
    with pytest.raises(ResultError, match="once each"):
        _filled(f"{verdicts.BEGIN}\n", table)


def test_the_command_brings_pages_up_to_date(tmp_path: Path) -> None:
    results, page = tmp_path / "study", tmp_path / "page.md"
    planted_claims.write(results)
    number = "<!--q regression/scpo/updates sum-->{}<!--/q-->"
    page.write_text(f"{number.format('')}\n\n{verdicts.BEGIN}\nold\n{verdicts.END}\n\nafter\n")
    assert main(["fill", str(page), "--results", str(results)]) == 0
    found = decide.evaluate(results, load())
    assert page.read_text() == f"{number.format('2000')}\n\n{verdicts.markdown(found)}\nafter\n"
    assert f"| {found[0].statement} |" in page.read_text()


def test_every_page_is_that_of_the_shipped_results(shipped_study: Path) -> None:
    table, config = quantities.read(shipped_study), read_config(shipped_study)
    decided = decide.evaluate(shipped_study, load(), table)
    assert {path.name for path in FILLED} >= {"README.md", "claims.md"}
    for path in FILLED:
        text = path.read_text()
        assert pages.filled(text, path.name, table, config, decided) == text, f"{path}: make readme"


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.stem)
def test_the_figures_of_a_page_are_those_of_the_shipped_results(shipped_study: Path, path: Path) -> None:
    for shown, name in pages.figures(path.read_text()).items():
        drawn, kept = (
            matplotlib.image.imread(BytesIO(content))
            for content in (pages.picture(name, shipped_study), (path.parent / shown).read_bytes())
        )
        assert drawn.shape == kept.shape, f"{shown}: make readme"
        assert np.abs(drawn - kept).mean() < 2e-3, f"{shown}: make readme"  # fonts may be rendered a little differently


def test_no_number_of_the_results_is_typed_in_the_readme() -> None:
    found = (PROJECT / "README.md").read_text().split("## What was found")[1].split("\n## ")[0]
    assert "<!--/q-->" in found
    said = r"<!--q.*?<!--/q-->|<!--count.*?<!--/q-->|\(.*?\)|95 % confidence"  # the level is no result
    words = re.sub(said, "", found, flags=re.DOTALL)
    assert not re.search(r"\d", words)


def test_the_page_of_the_claims_has_a_command_of_its_own(tmp_path: Path) -> None:
    verdicts.write(tmp_path / verdicts.NAME, [])
    out = tmp_path / "claims.html"
    assert main(["claims-page", "--claims", str(tmp_path / verdicts.NAME), "--out", str(out)]) == 0
    assert "<th>verdict</th>" in out.read_text()


def test_the_gallery_shows_figures_in_the_order_of_the_report(tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    paper.mkdir()
    shown = ("regression-safety", "regression-replication")
    floats = "".join(rf"\begin{{figure}}\includegraphics{{figures/{name}}}\end{{figure}}" for name in shown)
    (paper / "main.tex").write_text(floats)
    pictures = [
        tmp_path / f"{name}.png" for name in ("regression-replication", "regression-safety", "falsification-smoothness")
    ]
    for picture in pictures:
        picture.write_bytes(b"picture")
    (tmp_path / "config.json").write_text(dump(Config()))
    html.write_gallery(pictures, tmp_path, tmp_path / "figures.html", paper)
    page = (tmp_path / "figures.html").read_text()
    titles = re.findall(r"<b>([^<]*)</b>, ([a-z-]+)\.", page)
    assert titles == [
        ("Figure 1", "regression-safety"),
        ("Figure 2", "regression-replication"),
        ("Not in the report", "falsification-smoothness"),
    ]
    assert page.count("data:image/png;base64,cGljdHVyZQ==") == 3
