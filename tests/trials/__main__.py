"""Trials that take too long for every change: python -m tests.trials [clones] [kills] [faults] [mutants].

What they found is printed as tables and kept in results/trials/.  Running on a cluster is not tried here.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import clones, faults, kills, mutants


def main() -> int:
    """Run the trials that are named, or all of them; return 1 if something did not go as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    names = ("faults", "kills", "mutants", "clones")
    parser.add_argument("names", nargs="*", metavar="trial", help=f"{', '.join(names)}; all of them by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--working-tree", action="store_true", help="clones: compare copies of the working tree")
    parser.add_argument("--sample", type=int, default=60, help="mutants: how many to try (60)")
    parser.add_argument("--pattern", default="*", help="mutants: of their names, such as '*pull_back*'")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no trial {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    trials: dict[str, Callable[[Path], bool]] = {
        "faults": faults.main,
        "kills": kills.main,
        "mutants": lambda folder: mutants.main(folder, options.jobs, options.sample, options.pattern),
        "clones": lambda folder: clones.main(folder, options.jobs, working_tree=options.working_tree),
    }
    passed = True
    for name in options.names or names:
        print(f"trials: {name} ...", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"scpo-{name}-") as folder:
            passed = trials[name](Path(folder)) and passed
        print(f"trials: {name}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
