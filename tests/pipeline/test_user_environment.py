"""A job sees nothing of the user's machine but what the project lists: one figure, one notebook, TeX, NumPy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from replication import environment

PYTHON = f"'{sys.executable}'"


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """The variables of a user whose every setting would change a result or end the job."""
    home = tmp_path / "her home"
    written = {
        ".config/matplotlib/matplotlibrc": "figure.facecolor: red\nsavefig.facecolor: red\nfont.size: 40\n",
        ".ipython/profile_default/startup/own.py": "print('MINE'); raise SystemExit(1)",
        ".jupyter/jupyter_config.json": '{"KernelManager": {"kernel_cmd": ["false"]}}',
        ".local/share/jupyter/kernels/python3/kernel.json": '{"argv": ["false"], "display_name": "x"}',
        "texmf/tex/latex/local/booktabs.sty": r"\errmessage{hers}",
        "shadow/numpy.py": "raise ImportError('a numpy of her own')",
    }
    for name, text in written.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    home.chmod(0o555)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(home / "shadow"),
        "MATPLOTLIBRC": str(home / ".config/matplotlib/matplotlibrc"),
        "MPLBACKEND": "no-such-backend",
        "TEXINPUTS": str(home / "texmf/tex/latex/local") + ":",
        "OMP_NUM_THREADS": "64",
        "LC_ALL": "tr_TR.UTF-8",
        "TZ": "Asia/Kathmandu",
        "PYTHONOPTIMIZE": "2",
        "HER_OWN": "1",
    }


def job(command: str, variables: dict[str, str]) -> str:
    """Run a command as the workflow runs it and return what it printed."""
    shell = ["bash", "-c", environment.shell_prefix() + command]
    run = subprocess.run(shell, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_job_has_the_stated_and_the_listed_variables(hostile):
    given = hostile | {"TMPDIR": "/tmp", "CUDA_VISIBLE_DEVICES": "3"}
    lines = job("env -0", given).strip("\0").split("\0")
    found = dict(line.split("=", 1) for line in lines)
    for name in ("_", "SHLVL", "PWD"):  # bash's own
        found.pop(name, None)
    inherited = {name: given[name] for name in environment.INHERITED if name in given}
    config = {"GIT_CONFIG_GLOBAL": f"{hostile['HOME']}/.gitconfig"}  # says whose repositories git may read
    assert found == {**environment.stated(), **inherited, **config}
    assert {"PATH", "TMPDIR", "CUDA_VISIBLE_DEVICES"} <= inherited.keys()


def test_the_command_adopts_the_same_environment(hostile, monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    environment.adopt()
    assert dict(os.environ) == {
        **environment.stated(),
        "PATH": hostile["PATH"],
        "GIT_CONFIG_GLOBAL": f"{hostile['HOME']}/.gitconfig",
    }


def command(folder: Path, variables: dict[str, str]) -> str:
    """Run a command that imports NumPy in ``folder``, by hand and not by make, and return its message."""
    words = [sys.executable, "-m", "replication", "quantities", "--results", "nowhere", "--out", "nowhere.parquet"]
    run = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    return run.stderr


def test_a_command_by_hand_takes_no_package_of_the_users(hostile, tmp_path):
    assert "ResultError: nowhere" in command(tmp_path, hostile)


def test_the_command_of_another_checkout_is_refused(hostile, tmp_path):
    (tmp_path / "src/replication").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "Snakefile").touch()
    for folder in (tmp_path, tmp_path / "docs"):
        assert f"and {tmp_path} is another checkout; run make setup there" in command(folder, hostile)


def test_a_notebook_is_the_same_in_any_home(hostile, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    template = tmp_path / "template.ipynb"
    source = """import matplotlib, matplotlib.pyplot as plt, os, numpy, torch
print(torch.get_num_threads(), os.environ["TZ"], numpy.__file__.endswith("__init__.py"), __debug__)
figure, axes = plt.subplots()
axes.plot([0, 1])
figure.savefig(results + "/figure.png", metadata={"Software": None})"""
    cells = [new_code_cell("results = 'none'", metadata={"tags": ["parameters"]}), new_code_cell(source)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), template)
    made = []
    for variables in ({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, hostile):
        out = tmp_path / "out.ipynb"
        options = f"--template '{template}' --results '{results}' --out '{out}' --html '{out}.html' --log '{out}.log'"
        job(f"{PYTHON} -m replication notebook {options}", variables)
        outputs = [output.get("text") for output in nbformat.read(out, as_version=4).cells[-1].outputs]
        made.append((outputs, (results / "figure.png").read_bytes()))
    assert made[0][0] == ["1 UTC True True\n"]
    assert made[0] == made[1]


def test_a_figure_of_the_report_is_the_same_in_any_home(hostile, tmp_path):
    made = []
    for name, variables in (("plain", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}), ("hostile", hostile)):
        out = tmp_path / name / "figure.pdf"
        shipped = environment.REPOSITORY / "shipped/results/study"
        job(f"{PYTHON} -m replication figure falsification-smoothness --results '{shipped}' --out '{out}'", variables)
        made.append(out.read_bytes())
    assert made[0] == made[1]


@pytest.mark.skipif(shutil.which("kpsewhich") is None, reason="needs TeX")
def test_tex_reads_no_file_of_the_user(hostile):
    found = job("kpsewhich booktabs.sty", hostile).strip()
    assert found and not found.startswith(hostile["HOME"])
