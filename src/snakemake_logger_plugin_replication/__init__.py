"""``snakemake --logger replication``: Snakemake finds :mod:`replication.progress` by the name of this package."""

from replication.progress.handler import LogHandler

__all__ = ["LogHandler"]
