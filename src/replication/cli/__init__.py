"""The command ``replicate``: one subcommand for each stage of the replication.

The workflow's rules call these commands, and each runs without Snakemake as well.  A command imports its modules
when it is called, so that every start is quick.  An error that this project raises on purpose ends a command with one
message and exit status 2, as does a command line that cannot be understood.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from replication.cli import maintain, report, runs  # noqa: F401  # they register their commands
from replication.cli.app import app
from scpo.errors import ScpoError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, what the command found (1), or 2 after an error."""
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return app(tokens, exit_on_error=False) or 0
    except CycloptsError:  # its message was printed
        return 2
    except ScpoError as error:
        print(f"replicate {tokens[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
