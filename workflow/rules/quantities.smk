"""The table of quantities: every number about the results, which tables, text, claims and figures read."""

from replication.results.inventory import BENCHMARKS, PLANNED

QUANTITIES = f"{RESULTS}/quantities.parquet"
# What jobs that read the quantities beside any records ask for: a changed record makes both anew, even if all numbers
# stay.  If each of these jobs asked for every record, Snakemake would take twice as long to plan.
QUANTITIES_AND_RECORDS = [QUANTITIES, QUANTITIES.replace(".parquet", ".stamp.json")]


def beside():
    """What some results have: the ratios that `make bench` wrote, and how much of a study was planned."""
    paths = {BENCHMARKS: Path(RESULTS).parent / BENCHMARKS, PLANNED: Path(RESULTS) / PLANNED}
    return [str(path) for name, path in paths.items() if (name in SHIPPED if FROM else path.is_file())]


rule quantities:
    """Compute every quantity from the records of the runs."""
    input:
        records=REPORTED,
        published=PUBLISHED,
        beside=beside(),
        code=code("replication.experiments.quantities"),
    output:
        QUANTITIES,
        QUANTITIES.replace(".parquet", ".stamp.json"),
    log:
        f"{LOGS}/quantities.log",
    benchmark:
        f"{LOGS}/quantities.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Computing the table of quantities"
    shell:
        "{PYTHON:q} -m replication quantities --results {params.results} --out {output[0]} > {log} 2>&1"
