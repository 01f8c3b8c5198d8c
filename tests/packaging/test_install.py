"""The wheel works in a clean environment: with the newest versions, and with the lowest that pyproject.toml allows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from .environments import OUTSIDE, PROJECT, Environment, extra, floors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TOOLS = ("pytest", "pytest-timeout", "hypothesis")
# Tests of the replication that need most of its packages.
REPLICATION = ("claims", "documents", "results_read", "quantities", "report_tables", "literal")
# Disk that an installation of torch from the default index takes (it may bring CUDA).
GIGABYTES = 12


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no package index answers."""
    folder = tmp_path_factory.mktemp("online")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", "--timeout", "20"]
    done = subprocess.run([*command, "daqp"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a package index: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def clean(wheel: Path, online: None, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The library with its own dependencies only."""
    environment = Environment(tmp_path_factory.mktemp("clean") / "env")
    environment.link_torch()
    environment.pip(wheel)
    return environment


def test_the_readme_runs_without_the_extra(clean: Environment, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    done = clean.run("example.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_module_of_scpo_needs_the_core_only(clean: Environment) -> None:
    code = (
        "import importlib, importlib.util, pkgutil, scpo\n"
        "for module in pkgutil.walk_packages(scpo.__path__, 'scpo.'): importlib.import_module(module.name)\n"
        "print(scpo.__file__)\n"
        "extra = 'matplotlib pandas pydantic cvxpy scs snakemake'.split()\n"
        "print([name for name in extra if importlib.util.find_spec(name)])\n"
    )
    done = clean.run("-c", code)
    assert done.returncode == 0, done.stderr
    place, present = done.stdout.splitlines()
    assert Path(place).is_relative_to(clean.folder)
    assert present == "[]"


@pytest.mark.parametrize("arguments", [("-c", "import replication"), ("-m", "replication", "--help")])
def test_replication_without_its_extra_says_what_to_install(clean: Environment, arguments: tuple[str, ...]) -> None:
    done = clean.run(*arguments)
    assert done.returncode != 0
    assert "pip install 'scpo[replication]'" in done.stderr.splitlines()[-1]


def run_method_tests(environment: Environment) -> None:
    """Run the method's tests in ``environment``, all but the slow ones and those that compare with cvxpy."""
    tests = PROJECT / "tests" / "scpo"
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "-o", "filterwarnings="]
    options += ["-m", "not slow", f"--ignore={tests / 'test_backend_agreement.py'}"]
    done = environment.run("-m", "pytest", *options, tests, cwd=PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]


def install_floors(environment: Environment, wheel: Path, names: set[str]) -> None:
    lowest = {name: version for name, version in floors().items() if name in names}
    environment.pip(wheel, *(f"{name}=={version}" for name, version in lowest.items()), *TOOLS)
    # the tests share problems with replication.planted_faults, and `import replication` looks for Snakemake
    environment.pip("--no-deps", "snakemake")
    code = f"from importlib.metadata import version; print(*map(version, {sorted(lowest)}))"
    installed = environment.run("-c", code).stdout.split()
    assert [Version(text.split("+")[0]) for text in installed] == [Version(lowest[name]) for name in sorted(lowest)]


def test_the_lowest_versions_work(wheel: Path, online: None, tmp_path: Path) -> None:
    """Everything but torch at its lowest version; torch is this environment's."""
    environment = Environment(tmp_path / "env")
    environment.link_torch()
    install_floors(environment, wheel, floors().keys() - {"torch"})
    run_method_tests(environment)


def test_the_lowest_torch_works(wheel: Path, online: None, tmp_path: Path) -> None:
    """Torch at its lowest version, too: from TORCH_INDEX, or with TORCH_FLOOR=1 from the default index."""
    index = os.environ.get("TORCH_INDEX")
    if Version(torch.__version__).release == Version(floors()["torch"]).release:
        pytest.skip("this environment has the lowest torch: the test above used it")
    if not index and not os.environ.get("TORCH_FLOOR"):
        pytest.skip("gigabytes: set TORCH_INDEX to an index of CPU builds, or TORCH_FLOOR=1 for the default index")
    if shutil.disk_usage(tmp_path).free < GIGABYTES * 2**30:
        pytest.skip(f"needs {GIGABYTES} GB of disk in {tmp_path}")
    environment = Environment(tmp_path / "env")
    try:
        if index:
            environment.pip("--index-url", index, f"torch=={floors()['torch']}")
        install_floors(environment, wheel, set(floors()))
        run_method_tests(environment)
    finally:
        shutil.rmtree(environment.folder)


@pytest.mark.skipif(not os.environ.get("EXTRA_FLOOR"), reason="takes five minutes; EXTRA_FLOOR=1 runs it")
def test_the_lowest_versions_of_the_extra_work(wheel: Path, online: None, tmp_path: Path) -> None:
    """The checkout's replication reads results, computes quantities, decides claims, writes tables, projects."""
    environment = Environment(tmp_path / "env")
    environment.link_torch()
    lowest = floors() | floors(extra())
    packages = [f"{name}=={version}" for name, version in lowest.items() if name != "torch"]
    environment.pip(wheel, *packages, *TOOLS)
    tests = [PROJECT / "tests" / "replication" / f"test_{name}.py" for name in REPLICATION]
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "-o", "filterwarnings="]
    done = environment.run("-m", "pytest", *options, "-o", "pythonpath=. src", *tests, cwd=PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_building_leaves_nothing_that_git_sees() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "build/lib", "src/scpo.egg-info/PKG-INFO"],
        cwd=PROJECT, capture_output=True, text=True, check=False, env=OUTSIDE,
    )  # fmt: skip
    assert len(ignored.stdout.splitlines()) == 2
