"""The state of a run as text: a view that is drawn again and again, and plain lines for files and pipes."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from replication.progress.state import Job, State
from replication.progress.training import Reading, tail

#: Widest view in columns; a short line stays one line when the terminal gets narrower.
WIDEST = 100
#: What is told of a run that trains, and the narrowest view in which each is.
COLUMNS = {"update": 80, "loss": 60, "slack": 0, "unsafe": 80}
#: The narrowest view with a bar, and with the time of each job.
ROOMY = 60
#: Lines of a failed job's log that are shown.
LOG_LINES = 15
#: Failed jobs that the live view names.
FAILED_SHOWN = 3


def spoken(seconds: float) -> str:
    """Return a duration in words, such as "45 s", "12 min" or "1 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def render(state: State, console: Console, now: float | None = None) -> RenderableType:
    """Return the view of a run, no wider and no higher than the terminal."""
    now = time.time() if now is None else now
    width = min(console.width, WIDEST)
    lines: list[RenderableType] = [_bar(state, now, width), _counts(state, width)]
    lines += [
        Text(failed(job), "bold red", no_wrap=True, overflow="ellipsis")
        for job in list(state.failed.values())[-FAILED_SHOWN:]
    ]
    room = console.height - len(lines) - 2  # for the heading and the cursor
    if state.running and room > 0:
        lines.append(_running(state, now, width, room))
    return Group(*lines)


def _bar(state: State, now: float, width: int) -> RenderableType:
    spent, left = state.elapsed(now), state.left(now)
    share = spent / (spent + left) if spent + left else 1.0
    if state.running or state.waiting:
        share = min(share, 0.99)
    rest = f"about {spoken(left)} left"
    if width < ROOMY:
        return Text(f"{100 * share:.0f} %, {rest}", no_wrap=True, overflow="ellipsis")
    text = f"{100 * share:3.0f} %  {spoken(spent)} so far, {rest}"
    line = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(completed=100 * share, width=min(40, width - len(text) - 4), complete_style="blue")
    line.add_row(bar, Text(text, no_wrap=True))
    return line


def counts(state: State) -> str:
    """Return how many jobs are done, running, waiting and failed."""
    text = f"{len(state.done)} done, {len(state.running)} running, {state.waiting.total()} waiting"
    return text + (f", {len(state.failed)} failed" if state.failed else "")


def _counts(state: State, width: int) -> Text:
    text = Text(counts(state), no_wrap=True, overflow="ellipsis")
    text.truncate(width)
    text.highlight_regex(r"\d+ failed", "bold red")
    return text


def _running(state: State, now: float, width: int, height: int) -> Table:
    """Return a table of the running jobs, training runs on top, with at most ``height`` rows."""
    jobs = [(job, state.reading(job)) for job in state.running.values()]
    jobs.sort(key=lambda one: (one[1] is None, one[0].began))
    training = [name for name, least in COLUMNS.items() if width >= least and any(said for _, said in jobs)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", width=width)
    table.add_column("running", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in [*training, *(["time"] if width >= ROOMY else []), "left"]:
        table.add_column(name, justify="right", no_wrap=True)
    for job, said in jobs[:height]:
        cells: list[str | Text] = ["" if said is None else _number(said, name) for name in training]
        if width >= ROOMY:
            cells.append(spoken(job.seconds(now)))
        left = "" if said is None else spoken(said.left_at(now))
        table.add_row(_name(job, width), *cells, left)
    return table


def _name(job: Job, width: int) -> str:
    """Return a job's name; a narrow view gets its end, which tells jobs of one kind apart."""
    name, room = job.name.removeprefix("Training: "), width - 18
    return name if width >= ROOMY or len(name) <= room else "\u2026" + name[-max(1, room - 1) :]


def _number(said: Reading, name: str) -> str | Text:
    match name:
        case "update":
            return f"{said.update}/{said.updates}"
        case "loss":
            return f"{said.loss:.4g}"
        case "slack":
            return Text(f"{said.slack:.2g}", "bold red" if said.slack < 0 else "")
        case _:
            return str(said.unsafe)


def finished(state: State, job: Job, now: float) -> str:
    """Return the line that says that a job is done, with the loss and the slack of a training run."""
    total = state.planned.total()
    numbers = ""
    if said := state.reading(job):
        numbers = f", loss {said.loss:.4g}, slack {said.slack:.2g}, {said.unsafe} unsafe"
    return (
        f"[{time.strftime('%H:%M:%S', time.localtime(now))}] {len(state.done)} of {total}: {job.name}, "
        f"{spoken(job.seconds(now))}{numbers}; about {spoken(state.left(now))} left"
    )


def failure(job: Job, now: float) -> str:
    """Return the description of a failed job, with the last lines of its log."""
    head = f"Failed after {spoken(job.seconds(now))}: {job.name}"
    if not job.log:
        return f"{head}; it has no log; its command: {job.command}"
    return f"{head}; {log_end(job.log)}"


def log_end(log: str, telling: str = "") -> str:
    """Return the last lines of a log under its name, after earlier ones that have the word ``telling``."""
    lines = tail(Path(log), 16 * 1024).splitlines()
    if not lines:
        return f"its log, {log}, is empty"
    told = [line for line in lines[:-LOG_LINES] if telling and telling in line]
    return "\n".join([f"the end of {log}:", *(f"    {line}" for line in [*told, *lines[-LOG_LINES:]])])


def failed(job: Job) -> str:
    """Return the line that names a job that failed, and its log."""
    return f"failed: {job.name}" + (f" ({job.log})" if job.log else "")


def summary(state: State, now: float | None = None) -> str:
    """Return a text on how a run ended: how many jobs are done, which failed, and the files to look at."""
    now = time.time() if now is None else now
    took = spoken(state.elapsed(now))
    unfinished = [(len(state.failed), "failed"), (state.waiting.total() + len(state.running), "not done")]
    lines = [", ".join([f"{len(state.done)} jobs done in {took}", *(f"{n} {what}" for n, what in unfinished if n)])]
    return "\n".join([*lines, *map(failed, state.failed.values()), *made(state)])


def made(state: State) -> list[str]:
    """Return the line that names what to look at; no line where the run was to make something else, or failed."""
    there = [name for name in state.made if Path(name).is_file()]
    whole = state.began is None or "all" in state.planned
    return [f"Look at {' and '.join(there)}"] if there and whole and not (state.failed or state.waiting) else []
