"""environment.yml, requirements.in, pyproject.toml agree with the lock (no conda solve is run), make with nproc."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
#: conda's name -> the package index's name, where they differ
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}
NOT_LOCKED = {"python", "pip"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str) -> list[Requirement]:
    lines = re.findall(r"^[^\s#\\]+", (PROJECT / name).read_text(), re.MULTILINE)
    return [Requirement(line) for line in lines]


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    """The lock, and torch, whose version stands in requirements.in."""
    torch = [entry for entry in requirements("requirements.in") if entry.name == "torch"]
    return {canonical(entry.name): str(entry.specifier) for entry in [*requirements("requirements.lock"), *torch]}


@pytest.fixture(scope="module")
def conda() -> dict[str, str]:
    entries = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    from_pip = [entry for part in entries if isinstance(part, dict) for entry in part["pip"]]
    entries = [entry for entry in entries if isinstance(entry, str)] + [entry.replace("==", "=") for entry in from_pip]
    split = (entry.partition("=") for entry in entries)
    return {canonical(CONDA_NAMES.get(name, name)): version for name, _, version in split if name not in NOT_LOCKED}


def test_the_lock_has_exact_versions_and_no_local_builds(lock):
    assert all(re.fullmatch(r"==[0-9][^+,*]*", version) for version in lock.values()), lock
    assert "torch" not in (entry.name for entry in requirements("requirements.lock"))


def test_the_lock_has_a_checksum_of_every_file():
    blocks = re.split(r"^(?=\S)", (PROJECT / "requirements.lock").read_text(), flags=re.MULTILINE)
    packages = [block for block in blocks if re.match(r"\w", block)]
    assert len(packages) == len(requirements("requirements.lock"))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in packages)


def test_conda_has_the_locked_versions(lock, conda):
    direct = {canonical(entry.name) for entry in requirements("requirements.in")}
    assert set(conda) == direct
    assert conda == {name: lock[name].removeprefix("==") for name in direct}


def test_the_lock_satisfies_the_package(lock):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(lock[canonical(wanted.name)].removeprefix("==")), text


def test_the_workflow_asks_for_the_same_snakemake_as_the_package():
    (stated,) = re.findall(r'^min_version\("(.+)"\)$', (PROJECT / "Snakefile").read_text(), re.MULTILINE)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["optional-dependencies"]["replication"]]
    assert [str(one.specifier) for one in wanted if one.name == "snakemake"] == [f">={stated}"]


def test_one_thread_per_process_leaves_every_processor_to_make() -> None:
    """A make within make sees OMP_NUM_THREADS=1, which nproc would take for the number of processors."""
    environment = {name: value for name, value in os.environ.items() if name not in ("JOBS", "MAKEFLAGS", "MFLAGS")}
    command = ["make", "--no-print-directory", "--eval=jobs: ; @echo $(JOBS)", "jobs"]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(os.sched_getaffinity(0))
