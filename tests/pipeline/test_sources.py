"""Import closures: what a result depends on, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replication import report, tasks
from replication.provenance import sources
from scpo.errors import ConfigurationError


@pytest.fixture
def tree(tmp_path):
    """A package with each kind of import."""
    texts = {
        "p/__init__.py": "from importlib import import_module\nVERSION = 1\n"
        "def __getattr__(name):\n    from p import lazy\n    return import_module(f'p.{name}')\n",
        "p/a.py": "import os\nfrom typing import TYPE_CHECKING\nfrom p.b import f\n"
        "if TYPE_CHECKING:\n    from p import types_only\nelse:\n    from p import otherwise\n"
        "def g():\n    from . import later\n",
        "p/b.py": "from .sub.c import h\n",
        "p/sub/__init__.py": "from p.sub.always import x\n",
        "p/sub/c.py": "from ..up import y\nimport importlib\nimportlib.import_module('p.named')\n",
        "p/sub/always.py": "x = 1\n",
        "p/lone/d.py": "from p import a\n",
        "p/refused.py": "from p import Lazy\n",
        "p/computed.py": "from importlib import import_module\nimport_module('p.' + 'a')\n",
        "p/broken.py": "def\n",
    }
    for name in ("lazy", "types_only", "otherwise", "later", "up", "named", "unused"):
        texts[f"p/{name}.py"] = ""
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(paths, root):
    return {path.relative_to(root).with_suffix("").as_posix() for path in paths}


CLOSURE_OF_A = {"a", "b", "otherwise", "later", "up", "named", "__init__", "sub/__init__", "sub/c", "sub/always"}


def test_the_closure_follows_every_import_that_can_run(tree):
    assert names(sources.closure("p.a", tree), tree / "p") == CLOSURE_OF_A


def test_a_folder_without_init_is_followed_through(tree):
    assert names(sources.closure("p.lone.d", tree), tree / "p") == CLOSURE_OF_A | {"lone/d"}


def test_what_cannot_be_followed_is_refused(tree):
    with pytest.raises(ConfigurationError, match=r"'Lazy'.*import it from the module"):
        sources.closure("p.refused", tree)
    with pytest.raises(ConfigurationError, match="computed name"):
        sources.closure("p.computed", tree)
    with pytest.raises(ConfigurationError, match="line 1"):
        sources.closure("p.broken", tree)
    with pytest.raises(ConfigurationError, match=r"no module 'p\.none'"):
        sources.closure("p.none", tree)


def test_a_notebook_depends_on_what_its_code_cells_import(tree):
    cells = [
        {"cell_type": "markdown", "source": ["from p import unused"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from p.b import f"]},
    ]
    notebook = tree / "n.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    reached = names(sources.notebook_closure(notebook, tree), tree / "p")
    assert reached == {"b", "up", "named", "__init__", "sub/__init__", "sub/c", "sub/always"}


def test_the_digest_changes_with_content_and_name(tree):
    paths = sources.closure("p.a", tree)
    before = sources.digest(paths, tree)
    assert sources.digest(reversed(paths), tree) == before
    (tree / "p/up.py").write_text("# edited\n")
    edited = sources.digest(paths, tree)
    assert edited != before
    assert sources.digest(paths[1:], tree) != edited


def test_training_depends_on_the_method_and_not_on_the_report():
    modules = ["replication.training.train", tasks.MODULES["regression"]]
    reached = names(sources.closure(modules, sources.ROOT), sources.ROOT)
    library = {f"scpo/{name}" for name in ("projection/project", "projection/region", "directions", "smoothness")}
    assert library | {"replication/tasks/regression/task"} <= reached
    assert not {name for name in reached if name.startswith("replication/report/")}
    other = {name for name in reached if name.startswith("replication/experiments/double_integrator")}
    assert other <= {f"replication/experiments/double_integrator/{name}" for name in ("__init__", "settings")}
    assert "replication/cli" not in reached


@pytest.mark.parametrize("name", sorted(report.FIGURES | report.TABLES))
def test_figures_and_tables_depend_on_no_training_and_no_solver(name):
    reached = names(sources.closure(report.module_of(name)), sources.ROOT)
    assert not reached & {"replication/training/train", "replication/cli", "scpo/projection/solvers", "scpo/optimizer"}


def test_nothing_below_the_top_floor_imports_it():
    for path in sorted((sources.ROOT).rglob("*.py")):
        module = ".".join(path.relative_to(sources.ROOT).with_suffix("").parts)
        if module in ("replication.cli", "replication.__main__"):
            continue
        assert Path(sources.ROOT / "replication/cli.py") not in sources.closure(module), module
