"""Files from elsewhere run no code and leave no trace outside their folder; nothing needs a network."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from replication import files, strict_yaml
from replication.errors import ResultError
from replication.shipped import bundle, ship
from replication.training import checkpoint
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]


class Attack:
    """An object that makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)  # type: ignore[return-value]


def test_a_checkpoint_with_code_is_not_run(tmp_path, capsys):
    mark = tmp_path / "mark"
    content = io.BytesIO()
    torch.save({"fingerprint": Attack(mark)}, content)
    body = content.getvalue()
    (tmp_path / checkpoint.NAME).write_bytes(hashlib.sha256(body).digest() + body)
    assert not checkpoint.load(tmp_path, None, "fingerprint")  # type: ignore[arg-type]
    assert "damaged checkpoint, starting anew" in capsys.readouterr().err
    assert not mark.exists()


def test_arrays_and_settings_with_code_are_refused(tmp_path):
    mark = tmp_path / "mark"
    np.savez(tmp_path / "a.npz", a=np.array([Attack(mark)], dtype=object))
    with pytest.raises(ResultError, match=r"a\.npz"):
        files.read_npz(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(ResultError, match=r"b\.npz"):
        files.read_npz(tmp_path / "b.npz")
    with pytest.raises(ConfigurationError, match="constructor"):
        strict_yaml.parse(f"!!python/object/apply:os.mkdir ['{mark}']", "c.yaml")
    assert not mark.exists()


def test_torch_loads_weights_only():
    """(ruff's rules, see pyproject.toml, refuse pickle, eval, unsafe YAML, unchecked archives and shells.)"""
    calls = [
        (path, node)
        for path in [*PROJECT.glob("src/**/*.py"), *PROJECT.glob("workflow/**/*.py"), *PROJECT.glob("benchmarks/*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load")
    ]
    assert {path.name for path, _ in calls} >= {"checkpoint.py", "files.py", "referee.py"}
    for path, call in calls:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        of_torch = "torch" in ast.unparse(call.func)  # NumPy's default is safe, torch's was not always
        safe = given.get("weights_only") == "True" if of_torch else given.get("allow_pickle", "False") == "False"
        assert safe, f"{path}:{call.lineno}"


@pytest.mark.parametrize("name", ["../escaped.json", "/tmp/escaped.json", "a/../../escaped.json"])
def test_a_manifest_that_names_files_outside_is_refused(name, tmp_path):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (tmp_path / "escaped.json").write_text("{}")
    digest = files.sha256(tmp_path / "escaped.json")
    manifest = {"scale": "s", "made_by": "m", "versions": {}, "files": {name: digest}}
    (shipped / ship.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ResultError, match="missing"):
        ship.restore(shipped, tmp_path / "out/results")
    assert not list(tmp_path.glob("out/**/*.json"))


def test_the_names_in_an_archive_stay_in_its_folder():
    for name in ("../a", "/a", "a/../../b", "a/./b", ""):
        with pytest.raises(ResultError, match="no name in an archive"):
            bundle.archive("folder", {name: b""}, set())
    assert bundle.archive("folder", {"a/b..c": b""}, set())


@pytest.fixture
def offline() -> list[str]:
    """The beginning of a command that cuts the network off."""
    for command in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    pytest.skip("no network namespaces here (unshare -n)")


def test_drawing_training_and_notebooks_need_no_network(offline, tmp_path):
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    refused = subprocess.run([*offline, sys.executable, "-c", reach], capture_output=True, text=True, check=False)
    assert "OSError" in refused.stderr
    template = tmp_path / "a.ipynb"
    cells = [new_code_cell("results = ''", metadata={"tags": ["parameters"]}), new_code_cell("print('ran')")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), template)
    scale = ["--scale-file", str(PROJECT / "config/smoke.yaml"), "--experiment", "regression", "--seed", "0"]
    made = {name: str(tmp_path / name) for name in ("d.npz", "run", "out.ipynb", "out.html", "log.ipynb")}
    outputs = ["--out", made["out.ipynb"], "--html", made["out.html"], "--log", made["log.ipynb"]]
    for command in (
        ["dataset", *scale, "--dataset", "normal", "--out", made["d.npz"]],
        ["train", *scale, "--arm", "scpo", "--data", made["d.npz"], "--out", made["run"]],
        ["notebook", "--template", str(template), "--results", "x", *outputs],
    ):
        job = [*offline, sys.executable, "-m", "replication", *command]
        done = subprocess.run(job, cwd=PROJECT, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/run.json").is_file() and "ran" in (tmp_path / "out.ipynb").read_text()
    plan = [*offline, sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--config", "scale=smoke"]
    assert subprocess.run(plan, cwd=PROJECT, capture_output=True, check=False).returncode == 0
