"""What the paper's experiments are about: quantities, figures, tables and jobs beside the runs, one folder each.

An experiment's folder is found by its name: nothing lists them.
"""

from __future__ import annotations

from pathlib import Path


def modules(name: str) -> dict[str, str]:
    """Return experiment -> dotted name of its module ``name``, for every experiment that has one."""
    found = sorted(Path(__file__).parent.glob(f"*/{name}.py"), reverse=True)
    return {path.parent.name.replace("_", "-"): f"{__name__}.{path.parent.name}.{name}" for path in found}
