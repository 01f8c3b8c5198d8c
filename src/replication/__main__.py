"""``python -m replication``: see :mod:`replication.cli`."""

from __future__ import annotations

import sys


def start() -> int:
    """Run the command ``replicate`` in the environment of a job and return its exit status."""
    from replication import environment, paths

    if (folder := environment.other_checkout()) is not None:
        print(
            f"replicate: {sys.executable} runs the code in {paths.REPOSITORY}, and {folder} is another checkout; "
            "run make setup there and take its .venv",
            file=sys.stderr,
        )
        return 2
    environment.adopt()
    from replication.cli import main  # now, since what it imports reads the environment

    return main()


if __name__ == "__main__":
    sys.exit(start())
