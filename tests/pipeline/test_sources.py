"""Import closures: which source files a result depends on, and which it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from replication import tasks
from replication.paths import SOURCES
from replication.provenance import sources
from replication.report import parts
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
# A package with each kind of import.
PACKAGE = {
    "__init__": "VERSION = 1\n",
    "a": "import os\nfrom typing import TYPE_CHECKING\nfrom p.b import f\n"
    "if TYPE_CHECKING:\n    from p import types_only\n"
    "def g():\n    from . import later\n",
    "b": "from .sub.c import h\n",
    "sub/__init__": "from p.sub.always import x\n",
    "sub/c": "from ..up import y\n",
    "sub/always": "x = 1\n",
    "types_only": "",
    "later": "",
    "up": "",
    "unused": "",
}
CLOSURE_OF_B = {"__init__", "b", "sub/__init__", "sub/c", "sub/always", "up"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in PACKAGE.items():
        path = tmp_path / "p" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "SOURCES", tmp_path)
    monkeypatch.setattr(sources, "PACKAGES", ("p",))
    sources.import_graph.cache_clear()
    yield tmp_path
    sources.import_graph.cache_clear()


def names(paths, root=SOURCES):
    return {path.relative_to(root).with_suffix("").as_posix() for path in paths}


def test_closure_follows_imports_that_can_run(package):
    assert names(sources.closure("p.a"), package / "p") == CLOSURE_OF_B | {"a", "later"}


def test_unknown_module_is_refused():
    with pytest.raises(ConfigurationError, match=r"no module 'scpo\.none'"):
        sources.closure(["scpo.errors", "scpo.none"])


def test_unreadable_module_is_refused(package):
    (package / "p/broken.py").write_text("def\n")
    with pytest.raises(ConfigurationError, match=r"broken\.py"):
        sources.closure("p.a")


def test_notebook_closure_reads_code_cells(package):
    cells = [
        {"cell_type": "markdown", "source": ["from p import unused"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import os\n", "from p import b"]},
    ]
    notebook = package / "n.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert names(sources.notebook_closure(notebook), package / "p") == CLOSURE_OF_B


def test_digest_changes_with_content_and_name(package):
    paths = sources.closure("p.a")
    before = sources.digest(paths)
    assert sources.digest(reversed(paths)) == before
    (package / "p/up.py").write_text("# edited\n")
    edited = sources.digest(paths)
    assert edited != before
    assert sources.digest(paths[1:]) != edited


def test_closure_holds_all_that_an_import_loads():
    """What a process really imports lies in the closure, or the closure would miss edits."""
    module = "replication.training.train"
    code = f"import sys, {module}\nprint(*(n for n in sys.modules if n.split('.')[0] in ('scpo', 'replication')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    loaded = {name.replace(".", "/") for name in run.stdout.split()}
    assert "scpo/optimizer" in names(sources.closure(module))
    assert loaded <= {name.removesuffix("/__init__") for name in names(sources.closure(module))}


def test_computed_imports_are_where_rules_know_them():
    """A computed import stands only where the graph is told, where the rules name the modules, or above the floors."""
    known = {"scpo/__init__.py", "replication/tasks/__init__.py", "replication/report/__init__.py"}
    known |= {f"{name.replace('.', '/')}{end}" for name in sources.COMPUTED for end in (".py", "/__init__.py")}
    found = {path for path in SOURCES.rglob("*.py") if "import_module(" in path.read_text(encoding="utf-8")}
    assert {path.relative_to(SOURCES).as_posix() for path in found} <= known


def test_nothing_imports_the_lazy_names_of_the_library():
    """``from scpo import project`` depends on scpo alone for grimp, whatever it loads; name the module instead."""
    graph = sources.import_graph()
    assert [name for name in graph.modules if "scpo" in graph.find_modules_directly_imported_by(name)] == []


def test_training_depends_on_the_method_and_not_on_the_report():
    reached = names(sources.closure(["replication.training.train", tasks.MODULES["regression"]]))
    library = {f"scpo/{name}" for name in ("projection/project", "projection/region", "directions", "smoothness")}
    assert library | {"replication/tasks/regression/task"} <= reached
    assert not {name for name in reached if name.startswith("replication/report/")}
    other = {name for name in reached if name.startswith("replication/tasks/double_integrator/")}
    assert other <= {f"replication/tasks/double_integrator/{name}" for name in ("__init__", "settings")}
    assert "replication/cli" not in reached


@pytest.mark.parametrize("name", sorted(parts.all_parts()))
def test_figures_and_tables_depend_on_no_training(name):
    reached = names(sources.closure(parts.part(name).module))
    assert not reached & {"replication/training/train", "replication/cli", "scpo/projection/solvers", "scpo/optimizer"}


def test_computed_imports_are_in_the_closures():
    closure = names(sources.closure("replication.experiments.quantities"))
    for experiment in ("regression", "double_integrator"):
        assert f"replication/experiments/{experiment}/quantities" in closure
        assert f"replication/tasks/{experiment}/columns" in closure
    training = names(sources.closure(["replication.training.train", tasks.MODULES["regression"]]))
    assert not any("double_integrator/columns" in name for name in training)
    assert "scpo/baselines/backtracking" in training
