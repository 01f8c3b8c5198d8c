"""Reference results: what the repository ships is checked and taken as the results of the profile."""

from replication.shipped import shipped as reference

try:
    SHIPPED = reference.check(Path(REFERENCE))["files"]  # refused before anything is planned
except ScpoError as error:
    raise WorkflowError(str(error)) from error


rule restore:
    """Check every reference result against its checksum and copy it to where the report is made."""
    input:
        # stands for all of them, by checksum: with a thousand inputs Snakemake's own records of a thousand outputs
        # take longer than the report
        manifest=f"{REFERENCE}/manifest.json",
    output:
        [str(reference.target(Path(RESULTS), name)) for name in SHIPPED],
    log:
        f"{LOGS}/restore.log",
    benchmark:
        f"{LOGS}/restore.benchmark.tsv"
    threads: 1
    params:
        reference=REFERENCE,
        results=RESULTS,
    message:
        f"Checking and restoring the reference results of profile {PROFILE}"
    shell:
        "{PYTHON} -m replication restore --reference {params.reference} --out {params.results} > {log} 2>&1"
