"""The state of the last run in this folder, for a second terminal."""

from __future__ import annotations

from rich.console import Console

from replication.progress import notes, view
from replication.progress.state import State


def show(console: Console | None = None) -> None:
    """Print what the run is doing, or how the last one ended."""
    console = console or Console(no_color=True)
    state = State.told_by(notes.read())
    if state.began is None:
        text = "No run of the pipeline has begun in this folder."
    elif state.at_work:
        console.print(view.render(state, console))
        failed = [view.failure(job, job.ended or job.began) for job in state.failed.values()]
        text = "\n".join(failed)
    elif state.ended is None:
        text = f"{view.counts(state)}\nThe run was ended before it could finish; the same command goes on where it was."
    else:
        text = view.summary(state)
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
