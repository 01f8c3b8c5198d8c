"""The report: its figures and tables, its text, and where each of them comes from.  No training, no solver."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.report.parts import Part


def made(part: Part, results: Path) -> Any:
    """Return a part of the report, made from ``results``: a figure of matplotlib, or the LaTeX of a table."""
    return getattr(import_module(part.module), part.function)(results)


def render(name: str, results: Path, out: Path) -> None:
    """Make the figure (PDF) or the table (LaTeX) ``name`` from ``results/<scale>`` and write it to ``out``.

    A stamp beside it says where it comes from.  A figure is written as PNG as well.

    Raises:
        ConfigurationError: there is no figure or table of that name, or it reads a file that its mark leaves out.
        ResultError: a result file is missing, damaged or has another schema.
    """
    from replication.files import write_text
    from replication.provenance.stamp import RESULTS, read, stamped
    from replication.report.parts import part
    from scpo.errors import ConfigurationError

    found = part(name)
    with stamped(out, results, found.modules) as outputs:
        whole = made(found, results)
        if found.kind == "figure":
            from replication.typeset.style import save

            outputs += save(whole, out)
        else:
            write_text(out, whole)
    results_read = [name.removeprefix(RESULTS) for name in read(out)["inputs"] if name.startswith(RESULTS)]
    if surprises := [one for one in results_read if not found.is_read(one)]:
        raise ConfigurationError(f"{name}: {found.module} reads {surprises[0]}, which reads= of its mark leaves out")
