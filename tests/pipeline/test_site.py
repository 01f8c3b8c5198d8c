"""The documentation site is built without a warning, needs no network, and shows what it is to show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scpo

sphinx = pytest.importorskip("sphinx", reason="sphinx is not installed; make setup installs it")

PROJECT = Path(__file__).parents[2]
OPTIONS = ["--quiet", "--fail-on-warning", "--keep-going", "-c", str(PROJECT / "docs"), str(PROJECT)]
#: A formula with an index on an accent and a number, which the site renders by itself.
FORMULA = "```math\n\\hat g_i(\\theta) \\le |z| \\tag{7}\n```"


def _build(out: Path, *options: str) -> Path:
    command = [sys.executable, "-c", "from sphinx.cmd.build import main; raise SystemExit(main())", *OPTIONS, str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return out


LOADED = re.compile(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="((?:https?:)?//[^"]*)')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with an executed regression notebook of one cell, and the others without outputs."""
    results = tmp_path_factory.mktemp("results")
    outputs = [
        {"output_type": "stream", "text": ["said <so>\n"]},
        {"output_type": "display_data", "data": {"image/png": "aGk=\n"}},
        {"output_type": "execute_result", "data": {"text/html": "<table><td>cell</td></table>", "text/plain": "no"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# A notebook\n", "\n", FORMULA]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": outputs},
    ]
    (results / "regression").mkdir()
    (results / "regression/notebook.ipynb").write_text(json.dumps({"cells": cells}))
    return _build(tmp_path_factory.mktemp("site"), "-D", f"executed_notebooks={results}")


def _page(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text(encoding="utf-8")


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = [(path.name, found) for path in site.rglob("*.html") for found in LOADED.findall(path.read_text())]
    assert loaded == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


def test_every_link_inside_the_site_leads_to_a_page(site: Path) -> None:
    for path in site.rglob("*.html"):
        for target in re.findall(r'href="([^"#?:]+)[^":]*"', path.read_text()):
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_formulas_are_mathml(site: Path) -> None:
    page = _page(site, "docs/method/safety")
    assert page.count("<math") > 100
    assert '<span class="eqno">(1)</span>' in page
    assert "\\frac" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_a_half_is_a_half(site: Path) -> None:
    """TeX reads one digit after another where a fraction needs its parts: \\frac12|z|^2 is half of |z|^2."""
    page = re.sub(r"\s+", "", _page(site, "docs/method/estimates"))
    assert re.search(r"<mfrac[^>]*><mn>1</mn><mn>2</mn></mfrac>", page)
    assert not re.search(r"<mfrac[^>]*><mn>\d\d", page)


def test_an_accent_keeps_its_index_beside_it(site: Path) -> None:
    page = re.sub(r"\s+", "", _page(site, "notebooks/regression"))
    assert "<munderover>" not in page
    assert re.search(r"<msub><mover[^>]*><mi>g</mi><mo[^>]*>\u02c6</mo></mover><mi>i</mi></msub>", page)
    assert '<spanclass="eqno">(7)</span>' in page


def test_executed_notebooks_are_shown_with_their_outputs(site: Path) -> None:
    page = _page(site, "notebooks/regression")
    assert "said &lt;so&gt;" in page
    assert "data:image/png;base64,aGk=" in page
    assert "<table><td>cell</td></table>" in page
    assert "Not executed here" in _page(site, "notebooks/tutorial")
    assert "Not executed here" not in page


def test_the_reference_has_every_public_name(site: Path) -> None:
    page = _page(site, "docs/api")
    for name in scpo.__all__:
        if name not in ("__version__", "chance", "errors"):
            assert f'id="scpo.{name}"' in page, name
    assert 'id="scpo.errors.ScpoError"' in page
    assert 'id="scpo.chance.UpperMean"' in page


def test_the_reference_has_every_command(site: Path) -> None:
    from replication.cli.app import app

    page = _page(site, "docs/replicate")
    commands = [name for name in app if not name.startswith("-")]
    assert commands
    for name in commands:
        assert f"replicate {name}" in page, name
