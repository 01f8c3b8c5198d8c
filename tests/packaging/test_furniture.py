"""Pages and files about the project agree with the project."""

from __future__ import annotations

import ast
import json
import re
import runpy
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import scpo
from replication import environment

from .environments import PROJECT, project_table

PAGES = (
    *("README.md", "REPRODUCE.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *(path.relative_to(PROJECT).as_posix() for path in sorted((PROJECT / "docs").rglob("*.md"))),
)


def test_the_floors_are_those_of_the_contract() -> None:
    module = runpy.run_path(str(PROJECT / "docs" / "architecture.py"))
    text = (PROJECT / "docs" / "architecture.md").read_text()
    assert module["page"](text) == text


def test_the_picture_of_the_architecture_is_that_of_the_contracts() -> None:
    module = runpy.run_path(str(PROJECT / "docs" / "architecture.py"))
    committed = module["PICTURE"].read_text()
    assert module["picture"]() == committed, "run python docs/architecture.py"
    labels = [element.text for element in ElementTree.fromstring(committed).iter("{http://www.w3.org/2000/svg}text")]
    contract = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = [room for layer in module["layers"]("floors") for room in layer]
    for name in (*contract["root_packages"], *rooms):
        assert labels.count(name) == 1, name


@pytest.mark.parametrize(("package", "title"), [("scpo", "library"), ("replication", "replication")])
def test_every_module_has_a_row_in_the_architecture(package: str, title: str) -> None:
    folder = PROJECT / "src" / package
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
    text = (PROJECT / "docs" / "architecture.md").read_text()
    section = text.partition(f"## Rooms of the {title}\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)/?` \|", section, re.MULTILINE)) == sorted(modules)


def test_every_package_is_under_the_contracts_and_in_the_architecture() -> None:
    packages = {path.parent.name for path in (PROJECT / "src").glob("*/__init__.py")}
    contract = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(contract["root_packages"]) == packages
    text = (PROJECT / "docs" / "architecture.md").read_text()
    for package in packages:
        assert f"- `{package}` is " in text


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert scpo.__version__ == project_table()["version"] == citation["version"]
    assert [author["name"] for author in project_table()["authors"]] == [one["name"] for one in citation["authors"]]


def test_the_archive_is_told_what_the_citation_says() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    archive = json.loads((PROJECT / ".zenodo.json").read_text())
    for ours, theirs in (("title", "title"), ("version", "version"), ("license", "license"), ("keywords", "keywords")):
        assert archive[ours] == citation[theirs]
    assert archive["publication_date"] == citation["date-released"]
    assert [one["name"] for one in archive["creators"]] == [one["name"] for one in citation["authors"]]
    assert archive["description"] == " ".join(citation["abstract"].split())
    assert [one["identifier"] for one in archive["related_identifiers"]] == [
        one["value"] for one in citation["references"][0]["identifiers"]
    ]


def test_the_release_has_the_date_of_the_changelog() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert f"## {citation['version']} - {citation['date-released']}" in (PROJECT / "CHANGELOG.md").read_text()
    assert environment.RELEASED == citation["date-released"]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_targets_exist(name: str) -> None:
    page = PROJECT / name
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, f"make {target}"


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".pre-commit-config.yaml", "CITATION.cff"])
def test_yaml_files_can_be_read(name: str) -> None:
    assert yaml.safe_load((PROJECT / name).read_text())


def test_hooks_and_ci_call_the_same_commands() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert Path(hook["entry"].split()[0]).name in makefile, hook["id"]
    steps = [
        step.get("run", "")
        for job in yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())["jobs"].values()
        for step in job["steps"]
    ]
    assert {"make setup", "make quick", "make test"} <= set(steps)


def test_no_function_is_longer_than_a_screen() -> None:
    """CONTRIBUTING.md says 60 lines."""
    long = [
        f"{path.relative_to(PROJECT)}: {node.name}"
        for path in sorted((PROJECT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60  # type: ignore[operator]
    ]
    assert not long
