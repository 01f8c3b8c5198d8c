"""The state of the last run in this folder, for a second terminal."""

from __future__ import annotations

import time

from rich.console import Console

from replication.progress import notes, view
from replication.progress.state import State


def show(console: Console | None = None) -> None:
    """Print what the run is doing, or how the last one ended."""
    console = console or Console(no_color=True)
    state = State.told_by(notes.read())
    said: list[str] = []
    if state.began is None:
        said = ["No run of the pipeline has begun in this folder."]
    elif state.at_work:
        console.print(view.render(state, console))
    elif state.ended is None:
        said = [view.counts(state), "The run was ended before it could finish; the same command goes on where it was."]
    else:
        said = [view.summary(state)]
    for text in (*(view.failure(job, time.time()) for job in state.failed.values()), *said):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
