"""Notebooks in the workflow: parameters are checked, failures keep their copy, outputs do not vary."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from replication import notebook
from replication.errors import ResultError
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
# papermill and nbconvert, as they are today, use names that others have deprecated
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def template(tmp_path):
    cells = [
        new_code_cell("results = 'none'\nfail = False", metadata={"tags": ["parameters"]}),
        new_code_cell("print(results)\nassert not fail, 'as asked'"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = tmp_path / "template.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return path


def run(template, name, **parameters):
    folder = template.parent / name
    out, html, log = folder / "n.ipynb", folder / "n.html", folder / "log" / "n.ipynb"
    notebook.execute(template, out, html, log, parameters)
    return out, html, log


def test_two_runs_with_parameters_are_the_same_bytes(template):
    first, second = (run(template, name, results="here") for name in ("1", "2"))
    assert "here" in first[0].read_text()
    assert "here" in first[1].read_text()
    for one, other in zip(first[:2], second[:2], strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_pieces_of_a_stream_are_joined(template):
    notebook_of = nbformat.read(template, as_version=4)
    notebook_of.cells[1].source = "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.3)"
    nbformat.write(notebook_of, template)
    outputs = nbformat.read(run(template, "1")[0], as_version=4).cells[-1].outputs
    assert [output.text for output in outputs] == ["0\n1\n2\n"]


def test_the_users_own_start_up_files_are_not_run(template, tmp_path, monkeypatch):
    start_up = tmp_path / "ipython/profile_default/startup/own.py"
    start_up.parent.mkdir(parents=True)
    start_up.write_text("print('mine'); raise SystemExit(1)")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert "mine" not in run(template, "1", results="here")[0].read_text()
    assert os.environ["IPYTHONDIR"] == str(tmp_path / "ipython")


def test_the_page_loads_nothing_from_elsewhere(template):
    page = run(template, "1")[1].read_text()
    assert "<script src=" not in page
    assert '<link rel="stylesheet"' not in page


def test_a_failing_cell_leaves_its_copy_at_the_log(template):
    with pytest.raises(ResultError, match="as asked"):
        run(template, "1", fail="true")
    assert "as asked" in (template.parent / "1/log/n.ipynb").read_text()
    assert not (template.parent / "1/n.ipynb").exists()
    assert not (template.parent / "1/n.html").exists()


def test_an_unknown_parameter_is_refused(template):
    with pytest.raises(ConfigurationError, match="no parameter resuls; it has results, fail"):
        run(template, "1", resuls="x")


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no such notebook"):
        run(tmp_path / "none.ipynb", "1")


@pytest.mark.parametrize("path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_tracked_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_a_failed_cell_is_run_once_and_shown_in_a_few_lines(template, tmp_path):
    count = tmp_path / "count"
    deep = "def dig(n):\n    return dig(n - 1) if n else 1 / 0\n"
    body = f"open({str(count)!r}, 'a').write('x')\nprint('much\\n' * 3000)\n{deep}dig(200)"
    content = nbformat.read(template, as_version=4)
    content.cells[1].source = body
    nbformat.write(content, template)
    with pytest.raises(ResultError, match=r"cell \[2\] failed with ZeroDivisionError: division by zero") as failed:
        run(template, "1")
    assert count.read_text() == "x"
    assert len(str(failed.value).splitlines()) < 30
    assert "\x1b" not in str(failed.value)


def test_a_kernel_that_died_is_started_again(template, tmp_path):
    died = tmp_path / "died"
    content = nbformat.read(template, as_version=4)
    content.cells[1].source = (
        f"import os, pathlib\nif not pathlib.Path({str(died)!r}).exists():\n"
        f"    pathlib.Path({str(died)!r}).touch()\n    os._exit(1)\nprint('alive')"
    )
    nbformat.write(content, template)
    assert "alive" in run(template, "1")[0].read_text()
