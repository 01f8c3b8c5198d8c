"""What is written for readers is run: docstring examples, the code in docs/, the tutorial's cells and claims."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest

import scpo

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]
GUIDE = [PROJECT / "docs/library.md", *sorted((PROJECT / "docs/library").glob("*.md"))]
CONSTANTS = PROJECT / "docs/method/constants.md"
TUTORIAL = PROJECT / "notebooks" / "tutorial.ipynb"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def public_modules():
    homes = {inspect.getmodule(getattr(scpo, name)) for name in scpo.__all__ if name not in ("__version__", "errors")}
    return sorted(homes, key=lambda module: module.__name__)


def blocks():
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text[: match.start()].count("\n") + 1
            found.append(pytest.param(match[1], f"{page}:{line}", id=f"{page.stem}-{line}"))
    return found


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", ["project", "SafeOptimizer"])
def test_the_main_entries_have_an_example(name):
    examples = doctest.DocTestFinder(recurse=False).find(getattr(scpo, name), name)
    assert sum(len(found.examples) for found in examples) > 0


@pytest.mark.parametrize("name", [name for name in scpo.__all__ if name != "__version__"])
def test_every_public_name_is_explained(name):
    assert len((inspect.getdoc(getattr(scpo, name)) or "").split()) >= 3


@pytest.mark.parametrize(("source", "place"), blocks())
def test_the_code_in_the_documentation_runs(source, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one block writes a simulator, one a checkpoint
    exec(compile(source, place, "exec"), {"__name__": "__documentation__"})


def test_the_guide_has_code_that_checks_itself():
    guide = tuple(f"{page}:" for page in GUIDE)
    sources = [parameter.values[0] for parameter in blocks() if parameter.values[1].startswith(guide)]
    assert len(sources) >= 8
    assert all(any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source))) for source in sources)


def links(text):
    """Return the targets of a page's links, but those to other hosts."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"(https?|mailto):", target)]


def anchors(text):
    """Return the anchors of a page: those that GitHub and the site give its headings, and explicit labels."""
    text = re.sub(r"^(```+|~~~+).*?^\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = set(re.findall(r"^\(([^()\s]+)\)= *$", text, re.MULTILINE))
    counts = Counter()
    for heading in re.findall(r"^#{1,3} +(.*?)[ #]*$", text, re.MULTILINE):  # the site gives deeper ones no anchor
        shown = re.sub(r"<!--.*?-->|`|\*", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading))
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return found


def test_anchors_are_those_that_a_reader_can_follow():
    page = """# A `name`, and *more* (1.5)
## Twice
## Twice
(label)=
### A [link](other.md) — it's here
#### too deep
```python
# no heading
```
"""
    assert anchors(page) == {"a-name-and-more-15", "twice", "twice-1", "label", "a-link--its-here"}
    assert links("[a](b.md#c) [d](https://e#f) [g](#h)") == ["b.md#c", "#h"]


def test_some_links_have_anchors():
    assert any("#" in target for page in PAGES for target in links(page.read_text()))


@pytest.mark.parametrize("page", [*PAGES, PROJECT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_and_mentioned_names_exist(page):
    text = page.read_text()
    for target in links(text):
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), target
        assert not anchor or (place.suffix == ".md" and anchor in anchors(place.read_text())), target
    for error in set(re.findall(r"\b[A-Z][A-Za-z]+Error\b", text)) - {"OSError", "TimeoutError"}:
        assert issubclass(getattr(scpo.errors, error), scpo.errors.ScpoError)
    for module, name in re.findall(r"`scpo\.([a-z_]+)\.([A-Za-z_]+)`", text):
        package = importlib.import_module(f"scpo.{module}")
        found = hasattr(package, name) or (hasattr(package, "__path__") and find_spec(f"{package.__name__}.{name}"))
        assert found, f"scpo.{module}.{name}"


def test_the_fields_in_the_guide_are_those_of_a_step():
    table = (PROJECT / "docs/library.md").read_text().split("| field | read it as |")[1].split("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert named
    assert named <= set(scpo.StepInfo.__dataclass_fields__)


def test_the_constants_in_the_method_are_those_of_the_code():
    rows = re.findall(r"^\| `scpo\.([\w.]+)\.(\w+)` \| `([^`]+)` \|", CONSTANTS.read_text(), re.MULTILINE)
    assert len(rows) >= 5
    for module, name, value in rows:
        base, *power = map(ast.literal_eval, value.split("**"))
        stated = base ** power[0] if power else base
        assert getattr(importlib.import_module(f"scpo.{module}"), name) == stated, name


def test_the_defaults_in_the_method_are_those_of_the_code():
    text = CONSTANTS.read_text()
    owners = "SafeOptimizer|Directions|EstimatedSmoothness|Look"
    rows = re.findall(rf"^\| `({owners})\((\w+)=([^)`]+)\)` \|", text, re.MULTILINE)
    assert len(rows) >= 5
    for owner, name, value in rows:
        assert inspect.signature(getattr(scpo, owner)).parameters[name].default == ast.literal_eval(value), name


@pytest.fixture(scope="module")
def tutorial():
    """Namespace after all cells of the tutorial."""
    matplotlib.use("Agg")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    namespace = {"__name__": "__tutorial__"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"tutorial:{cell.id}", "exec"), namespace)
    yield namespace
    matplotlib.pyplot.close("all")


def test_the_tutorial_has_no_outputs_and_stable_ids():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert all(re.fullmatch(r"[a-z][a-z-]*", identifier) for identifier in ids)
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert [cell.id for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]


def test_making_the_simulator_safe_takes_about_twenty_lines():
    cells = {cell.id: cell.source for cell in nbformat.read(TUTORIAL, as_version=4).cells}
    assert sum(bool(line.strip()) for line in cells["safe"].splitlines()) <= 25


def test_the_simulator_of_the_tutorial_is_plain_numpy():
    cells = {cell.id: cell.source for cell in nbformat.read(TUTORIAL, as_version=4).cells}
    tree = ast.parse(cells["plant"])
    simulate = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "simulate")
    assert {node.id for node in ast.walk(simulate) if isinstance(node, ast.Name)}.isdisjoint({"torch", "scpo"})


@pytest.mark.parametrize("history", ["safe_history", "euclidean_history", "sgd_history"])
def test_no_policy_of_the_wrapped_optimisers_overflows(tutorial, history):
    assert tutorial[history]["slack"].min() >= 0
    assert tutorial[history]["loss"].iloc[-1] < 0.5 * tutorial[history]["loss"].iloc[0]


def test_the_recorded_slack_is_what_the_simulator_says(tutorial):
    for policy, history in ((tutorial["safe_policy"], "safe_history"), (tutorial["sgd_policy"], "sgd_history")):
        levels = tutorial["rollout"](policy)
        assert -(levels[:, :, 1].max() - tutorial["OVERFLOW"]) == tutorial[history]["slack"].iloc[-1]


def test_the_unwrapped_optimiser_overflows(tutorial):
    assert tutorial["free_history"]["slack"].min() < -0.1
    assert tutorial["rollout"](tutorial["free_policy"])[:, :, 1].max() > tutorial["OVERFLOW"]


def test_wrapped_adam_gets_further_in_its_own_metric(tutorial):
    last = {name: run["loss"].iloc[-1] for name, run in tutorial["runs"].items()}
    assert last["Adam, wrapped"] < 0.6 * last["Adam, Euclidean"]
    assert last["SGD, wrapped"] < 0.6 * last["Adam, Euclidean"]


def test_with_a_known_constant_the_bound_alone_is_enough(tutorial):
    records = tutorial["records"]
    assert (records["slack"] >= 0).all()
    assert records["unsafe_proposals"].sum() == 0
    assert records["bound_misses"].sum() == 0
    assert records["slack"].iloc[-1] < 1e-3  # and the budget is used
    assert np.isclose(tutorial["known"], np.linalg.eigvalsh(tutorial["hessian"].numpy())[-1])


def test_the_errors_shown_are_the_ones_described(tutorial):
    kinds = {name: message.split(":")[0] for name, message in tutorial["messages"].items()}
    assert kinds == {
        "too_full": "UnsafeStartError",
        "noisy": "NonDeterministicConstraintError",
        "crashing": "ConstraintError",
        "diverging": "NonFiniteError",
    }
