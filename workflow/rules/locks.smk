"""A run that was killed leaves Snakemake's lock behind; the next one removes it, if nothing else runs here.

The operating system gives a lock on a file back when its holder ends, in whatever way.  Every run holds a share of
.snakemake/running, so whoever can have it alone is the only one.
"""

import fcntl

from pathlib import Path

RUNNING = Path(".snakemake/running")
RUNNING.parent.mkdir(exist_ok=True)
running = RUNNING.open("w")  # held until this process ends
try:
    fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for stale in Path(".snakemake/locks").glob("*.lock"):
        stale.unlink()
except BlockingIOError:
    pass  # another run is at work: its locks are not stale
fcntl.flock(running, fcntl.LOCK_SH)
