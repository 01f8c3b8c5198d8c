"""Shipped results: what the repository ships is checked and taken as the results of the scale."""

from replication.shipped import ship

try:
    SHIPPED = ship.check(Path(SHIPPED_RESULTS))["files"]  # refused before anything is planned
except ScpoError as error:
    raise WorkflowError(str(error)) from error


rule restore:
    """Check every shipped result against its checksum and copy it to where the report is made."""
    input:
        # stands for all of them, by checksum: with a thousand inputs Snakemake's own records of a thousand outputs
        # take longer than the report
        manifest=f"{SHIPPED_RESULTS}/manifest.json",
    output:
        [str(ship.restored_path(Path(RESULTS), name)) for name in SHIPPED],
    log:
        f"{LOGS}/restore.log",
    benchmark:
        f"{LOGS}/restore.benchmark.tsv"
    params:
        shipped=SHIPPED_RESULTS,
        results=RESULTS,
    message:
        f"Checking and restoring the shipped results of scale {SCALE}"
    shell:
        "{PYTHON:q} -m replication restore --shipped {params.shipped} --out {params.results} > {log} 2>&1"
