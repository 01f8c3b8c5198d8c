"""The replication of the paper: tasks, training, results, claims and report.  It uses the library ``scpo``.

Raises:
    ModuleNotFoundError: the packages of the extra ``[replication]`` are not installed.
"""

from importlib.util import find_spec

# Snakemake stands for the whole extra: the library does not bring it, and few environments have it for other reasons.
if find_spec("snakemake") is None:
    raise ModuleNotFoundError("the replication needs more than the library: pip install 'scpo[replication]'")
