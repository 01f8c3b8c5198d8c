"""A user's own settings and home, odd folder names, no network: nothing of it changes a result or ends a job."""

from __future__ import annotations

from pathlib import Path

from .common import Options, Row, pytest_rows

FILES = ("test_user_environment.py", "test_environment.py", "test_folder_names.py", "test_security.py")


def main(folder: Path, options: Options) -> list[Row]:
    """Run the tests that are about where the project runs."""
    return pytest_rows([f"tests/pipeline/{name}" for name in FILES], folder, "the test passes")
