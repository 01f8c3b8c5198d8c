"""Clean environments for the tests of the installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
# This checkout must not be found by what runs in a clean environment.
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def canonical(name: str) -> str:
    """Return the name of a package as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project_table() -> dict:
    """Return the table [project] of pyproject.toml."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def core() -> list[Requirement]:
    """Return what the library needs."""
    return [Requirement(text) for text in project_table()["dependencies"]]


def extra(name: str = "replication") -> list[Requirement]:
    """Return what an extra needs besides."""
    return [Requirement(text) for text in project_table()["optional-dependencies"][name]]


def floors(packages: Iterable[Requirement] | None = None) -> dict[str, str]:
    """Return the lowest version of each of ``packages``, by default of those that the library needs."""
    lowest = {}
    for wanted in core() if packages is None else packages:
        (bound,) = wanted.specifier
        assert bound.operator == ">=", f"{wanted}: the tests need one lower bound"
        lowest[wanted.name] = bound.version
    return lowest


class Environment:
    """A virtual environment that shares nothing with the one that runs the tests, unless it is linked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, env=OUTSIDE)

    def pip(self, *arguments: object) -> None:
        """Install what ``arguments`` say; pip's output is the message when that fails."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        command = [*pip, "install", "--quiet", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=OUTSIDE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments."""
        command = [self.python, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=OUTSIDE | {"OMP_NUM_THREADS": "1"}, check=False, cwd=cwd
        )

    def link_torch(self) -> None:
        """Make the torch of the environment that runs the tests visible here, with what torch itself needs.

        Torch is gigabytes to install.  NumPy is left out: this environment has its own.
        """
        links = self.folder / "torch"
        links.mkdir()
        for name in needed_by("torch") - {"numpy"}:
            distribution = metadata.distribution(name)
            parts = {path.parts[0] for path in distribution.files or [] if path.parts[0] not in ("..", "__pycache__")}
            for part in parts:
                (links / part).symlink_to(Path(str(distribution.locate_file(part))).resolve())
        (site,) = self.folder.glob("lib/python*/site-packages")
        (site / "torch.pth").write_text(f"{links}\n")


def needed_by(name: str) -> set[str]:
    """Return ``name`` and every installed package that it needs, directly or not."""
    found, left = set(), [name]
    while left:
        name = canonical(left.pop())
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                left.append(wanted.name)
    return found
