"""A note of each run, by host and process: workflow/run.sh looks whether the owner of a lock is still at work."""

import atexit
import os

RUNS = Path(".snakemake/runs")
NOTE = RUNS / f"{os.uname().nodename}.{os.getpid()}"

if workflow.is_main_process:
    RUNS.mkdir(parents=True, exist_ok=True)
    NOTE.touch()
    atexit.register(NOTE.unlink, missing_ok=True)
