"""Executes a notebook with parameters, as a stage of the workflow, the same way every time.

A parameter that the notebook does not have is an error (papermill only warns).  The notebook is executed at the path
of its log, so that the copy of a failed run stays.  The output is written when every cell has run; it holds no times.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from papermill.exceptions import PapermillException, PapermillExecutionError
from traitlets.config import Config as Traits

from replication.errors import ResultError
from replication.files import write_text
from scpo.errors import ConfigurationError

#: Kernels that are started at most; and the last lines of a cell's traceback that an error shows.
ATTEMPTS, SHOWN_LINES = 3, 20
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def execute(template: Path, out: Path, html: Path, log: Path, parameters: Mapping[str, str]) -> None:
    """Execute ``template`` and write the executed notebook and its HTML page.

    Args:
        template: the notebook, with a cell tagged "parameters".
        out: the executed copy.
        html: one offline page of it.
        log: the path at which it is executed; this copy stays, also if a cell fails.
        parameters: values as YAML, by name.

    Raises:
        ConfigurationError: the notebook does not exist or lacks a parameter.
        ResultError: a cell failed.
    """
    if not template.is_file():
        raise ConfigurationError(f"{template}: no such notebook")
    known = papermill.inspect_notebook(str(template))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ConfigurationError(f"{template}: no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    log.parent.mkdir(parents=True, exist_ok=True)
    import matplotlib.font_manager  # noqa: F401  # makes its cache now, so that no cell's output says so

    with _short_folder() as folder, _own_kernel(folder):
        _run(template, log, parameters, folder)
    # how a stream is cut into pieces depends on the moment
    joined, _ = CoalesceStreamsPreprocessor().preprocess(nbformat.read(log, as_version=4), {})
    notebook = _without_times(joined)
    write_text(out, nbformat.writes(notebook) + "\n")
    page, _ = HTMLExporter(mathjax_url="", require_js_url="").from_notebook_node(notebook)
    write_text(html, re.sub(r'<script src="">\s*</script>', "", page))  # one page that loads nothing


def _run(template: Path, log: Path, parameters: Mapping[str, str], folder: Path) -> None:
    """Execute ``template`` at ``log``.  If the kernel dies, as on a loaded machine, it is tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            papermill.execute_notebook(
                str(template),
                str(log),
                parameters={name: yaml.safe_load(value) for name, value in parameters.items()},
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                # sockets in a folder of its own: the ports of parallel runs can collide
                config=Traits(KernelManager={"transport": "ipc", "connection_file": str(folder / f"{attempt}.json")}),
            )
        except PapermillExecutionError as error:
            last = "\n".join(_ANSI.sub("", "\n".join(error.traceback)).splitlines()[-SHOWN_LINES:])
            raise ResultError(
                f"{template}: cell [{error.exec_count}] failed with {error.ename}: {error.evalue}\n{last}\n"
                f"the executed copy is {log}"
            ) from None
        except (PapermillException, DeadKernelError, RuntimeError) as error:
            if attempt == ATTEMPTS:
                raise ResultError(f"{template}: the kernel failed {ATTEMPTS} times: {error}") from error
        else:
            return


@contextmanager
def _own_kernel(folder: Path) -> Iterator[None]:
    """Make the block use the kernel of this environment, without the user's IPython settings and start-up files."""
    ours = {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Yield a temporary folder with a short path: a socket's path has at most 107 bytes, folders can have more."""
    folder = Path(tempfile.mkdtemp(prefix="nb-", dir=None if len(tempfile.gettempdir()) < 80 else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_times(notebook: Any) -> Any:
    notes = notebook.metadata.pop("papermill", {})
    notebook.metadata["parameters"] = notes.get("parameters", {})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    return notebook
