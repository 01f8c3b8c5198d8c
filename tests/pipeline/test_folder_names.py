"""A checkout may lie in a folder of any name that PATH can hold: every rule, its interpreter and TeX work there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.pipeline.test_workflow import Workflow

PROJECT = Path(__file__).parents[2]
NAMES = ["a b 'c' \"d\"", "$HOME `e` \\f %20 #g ~h", "& i; (j) * [k] {l} ünïcode 数"]
TEXT = r"""\documentclass{article}
\input{preamble-of-made}
\begin{document}
Read \cite{one} \bibliographystyle{plain}\bibliography{references}
\end{document}
"""


def checkout(folder: Path) -> Workflow:
    """Return a copy of the project with an environment of its own, which takes its packages from this one."""
    folder.mkdir(parents=True)
    venv.create(folder / ".venv", symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder / ".venv")})
    Path(packages, "this-environment.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Workflow(folder)


def copied(folder: Path) -> Path:
    """Return a copy of the sources and of the workflow."""
    for part in ("Snakefile", "workflow", "config", "src"):
        source = PROJECT / part
        folder.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    return folder


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / '.venv/bin'}{os.pathsep}{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "workflow/run.sh", "--profile", "profiles/default", "--cores", "1", *options]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_runs_the_code_of_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    checkout(folder)
    (folder / "src/replication/__main__.py").write_text(
        "import sys, replication, pathlib\n"
        "pathlib.Path(sys.argv[-1]).write_text(sys.executable + '\\n' + replication.__file__)"
    )
    done = run(folder, "--config", "scale=smoke", "--", "results/smoke/config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    executable, code = (folder / "results/smoke/config.json").read_text().splitlines()
    assert Path(executable) == folder / ".venv/bin" / Path(executable).name
    assert Path(code) == folder / "src/replication/__init__.py"


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="needs TeX")
def test_every_rule_and_tex_work_in_a_folder_with_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "".join(NAMES)
    temporary = tmp_path / "a$HOME b{c,d}"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    workflow = checkout(folder)
    shutil.rmtree(folder / "bin")
    (folder / "paper/main.tex").write_text(TEXT)
    (folder / "paper/references.bib").write_text("@misc{one, title={T}, author={A}, year={1}}\n")
    made = folder / "results/smoke/report/preamble-of-made.tex"
    made.parent.mkdir(parents=True)
    made.write_text("\n")
    workflow.finish()
    assert (folder / "results/smoke/report/report.pdf").read_bytes().startswith(b"%PDF")
    assert "(./main.bbl)" in (folder / "logs/smoke/report/pdf.log").read_text()


@pytest.mark.parametrize("name", ["a:b", "a\nb"])
def test_what_path_cannot_hold_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    copied(folder)
    code = (
        f"import sys; sys.path.insert(0, {str(folder / 'src')!r}); from snakemake.cli import main; "
        "sys.argv[1:] = ['--dry-run', '--cores', '1', '--config', 'scale=smoke']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "the name of no folder above may hold" in done.stdout + done.stderr


def test_an_environment_copied_from_another_checkout_is_detected(tmp_path: Path) -> None:
    copy = copied(tmp_path / "copy")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--config", "scale=smoke"]
    other = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(command, cwd=copy, env=other, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "which is another checkout; run make setup here" in done.stdout + done.stderr
