"""Python and Snakemake for many short runs: forks of one process that has imported what each of them needs.

A plan of the workflow takes a second; the imports before it take two.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Imports packages, but nothing of this project, which a run takes from its own checkout.  For each line that it reads,
#: a fork of it runs a code; it answers with the fork's exit status.
SERVER = """
import json, os, sys
import grimp, pandas, pydantic, smart_open, snakemake.cli, snakemake.report.html_reporter, yaml
assert not {"scpo", "replication"} & sys.modules.keys()
for line in sys.stdin:
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    raise SystemExit
asked = json.loads(line)
os.chdir(asked["folder"])
os.environ.clear()
os.environ.update(asked["environment"])
for number, file in enumerate([os.devnull, *asked["outputs"]]):
    os.dup2(os.open(file, os.O_RDWR), number)
sys.argv[1:] = asked["arguments"]
sys.path[:1] = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
exec(asked["code"], {"__name__": "__main__"})
"""
MODULE = "import runpy; runpy.run_module({!r}, run_name='__main__', alter_sys=True)"

_servers: list[subprocess.Popen[str]] = []


@atexit.register
def _end() -> None:
    while _servers:
        server = _servers.pop()
        server.kill()
        server.communicate()


def _answer(question: str) -> int:
    if not _servers:
        pipe, environment = subprocess.PIPE, {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-c", SERVER]
        _servers.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True))
    (server,) = _servers
    assert server.stdin and server.stdout
    try:
        server.stdin.write(f"{question}\n")
        server.stdin.flush()
        return int(server.stdout.readline())
    except BaseException:  # a test out of time: the next answer would be that of this question
        _end()
        raise


def python(
    code: str, *arguments: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a code as ``python -c`` does, in a folder and with an environment."""
    with tempfile.TemporaryDirectory() as made:
        outputs = [Path(made, name) for name in ("out", "err")]
        for path in outputs:
            path.touch()
        asked = {"code": code, "arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        status = _answer(json.dumps(asked | {"outputs": list(map(str, outputs))}))
        return subprocess.CompletedProcess([code, *arguments], status, *(path.read_text() for path in outputs))


def module(
    name: str, *arguments: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a module as ``python -m`` does, in a folder and with an environment."""
    return python(MODULE.format(name), *arguments, folder=folder, environment=environment)
