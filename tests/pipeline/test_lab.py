"""JupyterLab starts from the environment, as `make lab` starts it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOKEN = "a-token-of-this-test"
#: Seconds until the server answers, on a busy machine.
PATIENCE = 200
#: The server is on this machine, so no proxy leads to it.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab on a copy of the notebooks, which reads and writes nothing of the user's."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed; make setup installs it")
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    jupyter = Path(sys.executable).with_name("jupyter")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG_"))}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [jupyter, "lab", *options, f"--IdentityProvider.token={TOKEN}", "notebooks"],
            cwd=tmp_path,
            env=environment | {"HOME": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE
        while not answers(address):
            log_of = (tmp_path / "log").read_text
            assert server.poll() is None, log_of()
            assert time.monotonic() < deadline, log_of()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers(address: str) -> bool:
    try:
        with open_url(f"{address}/api", timeout=10) as answer:
            return "version" in json.load(answer)
    except OSError:
        return False


@pytest.mark.slow
def test_jupyter_lab_starts_and_lists_the_notebooks_for_the_token(lab: str) -> None:
    with open_url(f"{lab}/api/contents?token={TOKEN}", timeout=60) as answer:
        listed = {one["name"] for one in json.load(answer)["content"]}
    assert listed >= {path.name for path in (PROJECT / "notebooks").glob("*.ipynb")}
    with open_url(f"{lab}/lab?token={TOKEN}", timeout=60) as answer:
        assert "JupyterLab" in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        open_url(f"{lab}/api/contents", timeout=60)


@pytest.mark.parametrize(("user", "asked"), [(0, True), (1000, False)])
def test_make_lab_lets_root_start_it(tmp_path: Path, user: int, asked: bool) -> None:
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (tmp_path / "id").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        ["make", "--dry-run", "lab"],
        cwd=PROJECT,
        env=environment | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m jupyterlab" in done.stdout
    assert ("--allow-root" in done.stdout) == asked
