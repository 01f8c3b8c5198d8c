"""The progress of a run of the pipeline: shown while it runs, kept in a file, and printed by ``replicate status``.

Snakemake's events become notes (:mod:`.notes`), the notes a state (:mod:`.state`), and the state a live view or plain
lines (:mod:`.view`).  The file of notes holds all of it, so that a second terminal sees the same.
"""
