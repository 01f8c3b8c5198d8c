"""Shipped results: they are checked and serve as the results of the scale."""

from replication.shipped import ship

try:
    SHIPPED = ship.restored_names(Path(SHIPPED_RESULTS))  # altered files are refused before the jobs are planned
except ScpoError as error:
    raise WorkflowError(str(error)) from error

# Snakemake does not look at files that no job reads.  If a copy was altered or deleted, the number of times that the
# copies were restored goes up by one; it is a parameter of the rule, so the rule runs again.
RESTORED = Path(f"{RESULTS}/restored")
TIMES = int(RESTORED.read_text()) if RESTORED.is_file() else 1
if (
    workflow.is_main_process
    and Path(CONFIG).parent.is_dir()
    and (UNLIKE := ship.unlike(Path(SHIPPED_RESULTS), Path(RESULTS)))
):
    logger.warning(f"{UNLIKE[0]}: missing, or not the shipped file ({len(UNLIKE)} such); all are restored")
    TIMES += 1


localrules:
    restore,


rule restore:
    """Check every shipped result against its checksum and copy it to where the report is made."""
    input:
        # It has the checksums of all shipped files.  With a thousand inputs Snakemake would take longer to write its
        # own records of the outputs than the report takes.
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
        restored=RESTORED,
        times=TIMES,
    message:
        f"Checking and restoring the shipped results of scale {SCALE}"
    shell:
        "{PYTHON:q} -m replication restore --shipped {params.shipped} --out {params.results} > {log} 2>&1"
        " && echo {params.times} > {params.restored}"
