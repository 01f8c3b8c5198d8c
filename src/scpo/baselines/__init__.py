"""The baselines: other methods with the same interface.

Each method has a module here.  The module has the name of the method, and so has the class in it.
"""

from __future__ import annotations

from pathlib import Path

#: the names of the methods, as settings write them
NAMES = tuple(
    sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem != "base")
)
