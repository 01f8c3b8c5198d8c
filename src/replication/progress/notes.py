"""Notes: Snakemake's events as plain dictionaries, written to a file with one note on each line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from logging import LogRecord
from pathlib import Path
from typing import Any

#: Notes of the last run in a checkout, relative to it.
FILE = Path(".snakemake/progress.jsonl")

Note = dict[str, Any]


def of(record: LogRecord) -> Note | None:
    """Return the note for a record of Snakemake's logger, or None if it says nothing about the run.

    A note has ``what`` (plan, cores, begin, start, finish or fail), ``at`` (seconds since 1970) and its own entries.
    """
    event = str(getattr(record, "event", ""))
    if event == "run_info":
        jobs = {rule: count for rule, count in record.stats.items() if rule != "total"}  # type: ignore[attr-defined]
        found: Note = {"what": "begin", "jobs": jobs, "host": os.uname().nodename, "process": os.getpid()}
    elif event == "resources_info" and (cores := getattr(record, "cores", None)):
        found = {"what": "cores", "cores": cores}
    elif event == "job_info":
        found = {"what": "start", "job": record.jobid, "rule": record.rule_name, "name": _name(record)}  # type: ignore[attr-defined]
        found |= {"log": _log(record), "command": getattr(record, "shellcmd", None) or ""}
    elif event == "job_finished":
        found = {"what": "finish", "job": record.job_id}  # type: ignore[attr-defined]
    elif event == "job_error":
        found = {"what": "fail", "job": record.jobid, "rule": record.rule_name, "log": _log(record)}  # type: ignore[attr-defined]
    elif plan := getattr(record, "plan", None):
        found = {"what": "plan", **plan}
    else:
        return None
    return found | {"at": record.created}


def _name(record: LogRecord) -> str:
    """Return the name of a job: the message of its rule if there is one."""
    wildcards = [str(value) for value in (getattr(record, "wildcards", None) or {}).values()]
    return getattr(record, "rule_msg", None) or ", ".join([str(getattr(record, "rule_name", "?")), *wildcards])


def _log(record: LogRecord) -> str:
    logs = getattr(record, "log", None)
    return str(logs[0]) if logs else ""


class Writer:
    """Writes the notes of one run.  Early notes wait until the run begins; then the file replaces the last run's."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._early: list[Note] | None = []

    def write(self, note: Note) -> None:
        """Add a note.  If the file cannot be written, the run goes on."""
        if self._early is not None:
            self._early.append(note)
            if note["what"] != "begin":
                return
        notes, mode = ([note], "a") if self._early is None else (self._early, "w")
        self._early = None
        try:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open(mode, encoding="utf-8") as stream:
                stream.writelines(json.dumps(one) + "\n" for one in notes)
        except OSError:
            return

    def end(self) -> None:
        """Note the end of the run, if it began."""
        if self._early is None:
            self.write({"what": "end", "at": time.time()})


def read(path: Path = FILE) -> Iterator[Note]:
    """Yield the notes of the last run; an unfinished line of a killed run is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
