"""The scripts in examples/ in their full form: wrapped no unsafe iterate, unwrapped some.

The seconds are processor time, as the scripts print it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .common import PROJECT, Options, Row, run

#: the most seconds of one training
LIMIT = 120
TABLE = re.compile(r"^\| (?:unwrapped|wrapped) \| (\S+) \| (\d+) of (\d+) \| [\d,]+ \| (\d+) \|$", re.MULTILINE)


def main(folder: Path, options: Options) -> list[Row]:
    """Run every script as a reader does."""
    scripts = [path for path in (PROJECT / "examples").glob("*.py") if "__main__" in path.read_text()]
    return [_row(path.stem, folder) for path in sorted(scripts)]


def _row(name: str, folder: Path) -> Row:
    """Run one script and read its table."""
    done = run([sys.executable, "-m", f"examples.{name}", "--out", str(folder)], PROJECT)
    expected = f"wrapped 0 unsafe, unwrapped more, at most {LIMIT} s each"
    try:
        unwrapped, wrapped = TABLE.findall(done.stdout)
    except ValueError:
        return Row(name, expected, f"no table; {done.stderr[-300:]}", passed=False)
    said = "; ".join(
        f"{objective}, {unsafe} of {of} unsafe, {seconds} s" for objective, unsafe, of, seconds in (unwrapped, wrapped)
    )
    passed = int(wrapped[1]) == 0 < int(unwrapped[1]) and max(int(unwrapped[3]), int(wrapped[3])) <= LIMIT
    return Row(name, expected, said, passed)
