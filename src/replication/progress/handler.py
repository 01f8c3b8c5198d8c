"""Follows Snakemake's events and shows them, by the interface of its logger plugins.

On a terminal one view is kept up to date below the messages.  Elsewhere each finished job is a line.  Errors and
warnings are always printed.  A dry run and the options --verbose, --quiet, --debug-dag and --printshellcmds have
Snakemake's own output.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase

from replication.progress import notes
from replication.progress.state import Job, State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

#: Redraws of the live view in a second.
PER_SECOND = 1
#: Colours of messages on a terminal with a view.
STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
#: Snakemake's events that the view or the lines say in other words.
SAID_OTHERWISE = (
    *("workflow_started", "run_info", "resources_info", "progress"),
    *("job_info", "job_started", "job_finished", "job_error"),
)


#: Slurm's name for what watches over a job; it says why a job was ended, before the job's own last words.
CLUSTER = "slurmstepd"


def lively(stream: TextIO) -> bool:
    """Return whether a view can be redrawn on ``stream``: a capable terminal, and nobody asked for plain text."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    return stream.isatty() and not plain


def _reason(record: logging.LogRecord) -> str:
    """Return why an executor says that a job failed, such as a cluster's status of it; "" if it says nothing."""
    told = getattr(record, "event", "") == "job_error" and getattr(record, "rule_msg", None)
    return str(told) if told else ""


def _group_failure(record: logging.LogRecord) -> str:
    """Return that jobs failed which went to a cluster together, with the end of the cluster's log of them.

    Snakemake passes on no reason for a group.  The log has it: a job that took too long, or was killed.
    """
    from replication.progress import view

    group, logs = getattr(record, "groupid", "?"), getattr(record, "aux_logs", None) or []
    return "\n".join([f"Failed: the group of jobs {group}", *(view.log_end(str(log), CLUSTER) for log in logs)])


class LogHandler(LogHandlerBase):
    """The handler that Snakemake makes for ``--logger replication``."""

    writes_to_stream = True
    writes_to_file = False
    # Snakemake's own filter and formatter are used for all other messages
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Start without knowledge of the run."""
        asked = self.common_settings
        quiet = {str(getattr(one, "name", one)).lower() for one in asked.quiet or ()}
        self._own = not (asked.dryrun or asked.verbose or asked.debug_dag or asked.printshellcmds)
        self._own = self._own and not quiet & {"all", "progress", "rules"}
        self._records_notes = not asked.dryrun
        self._stream: TextIO = sys.stdout if asked.stdout else sys.stderr
        self._live_wanted = self._own and not asked.nocolor and lively(self._stream)
        self._writer, self._state, self._known = notes.Writer(), State(), threading.Lock()
        self._nothing_to_do = False
        self._job: Job | None = None
        self._live: Live | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Apply a record to the state of the run, also with --quiet, and show it if it passes Snakemake's filter."""
        self._job = None
        if self._records_notes and (note := notes.of(record)):
            with self._known:
                self._job = self._state.apply(note)
            self._writer.write(note)
            if note["what"] == "begin" and self._live_wanted:
                self._start_live()
        return bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        try:
            if text := self._text(record):
                self._print(text, STYLES.get(record.levelno, ""))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Stop the view and say how the run ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._writer.end()
        if self._own and self._records_notes:
            from replication.progress import view

            if self._state.began is not None:
                self._print(view.summary(self._state))
            elif self._nothing_to_do:
                self._print("\n".join(view.made(self._state)))
        self._own = False
        super().close()

    def _text(self, record: logging.LogRecord) -> str:
        event = str(getattr(record, "event", ""))
        if not self._own or not self._records_notes:
            text = self.format(record)
            return "" if text == "None" else text
        if event in SAID_OTHERWISE:
            return "\n".join(filter(None, [self._line(event, record.created), _reason(record)]))
        if event == "group_error":
            return _group_failure(record)
        if self._state.began is not None and record.levelno < logging.WARNING:
            return ""  # what Snakemake says of its scheduling, once the run has begun
        text = self.format(record)
        if event == "error" and "CalledProcessError" in text:
            return ""  # a job's command has failed, which the job's own event says
        self._nothing_to_do = self._nothing_to_do or text.startswith("Nothing to be done")
        return "" if text == "None" else text

    def _line(self, event: str, at: float) -> str:
        from replication.progress import view

        if event == "job_error" and self._job is not None:
            return view.failure(self._job, at)
        if self._live is not None:
            return ""
        if event == "run_info":
            return f"{self._state.planned.total()} jobs, about {view.spoken(self._state.left(at))}"
        if event == "job_finished" and self._job is not None:
            return view.finished(self._state, self._job, at)
        return ""

    def _print(self, text: str, style: str = "") -> None:
        if self._live is not None:
            self._live.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        elif text:
            print(text, file=self._stream, flush=True)

    def _start_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        self._live = Live(
            get_renderable=lambda: self._view(console), console=console, refresh_per_second=PER_SECOND, transient=True
        )
        self._live.start()
        console.show_cursor(True)  # a run that is killed leaves it visible

    def _view(self, console: Console) -> RenderableType:
        from rich.text import Text

        from replication.progress import view

        try:
            with self._known:
                return view.render(self._state, console, time.time())
        except Exception as error:  # the run goes on, and this says why it cannot be seen
            return Text(f"the progress cannot be shown: {error!r}")
