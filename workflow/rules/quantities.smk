"""The table of quantities: every number about the results, which tables, text, claims and figures read."""

from replication.results.inventory import BENCHMARKS

QUANTITIES = f"{RESULTS}/quantities.parquet"


def benchmarks():
    """The ratios that `make bench` wrote, if it was run, or that the shipped results hold."""
    path = Path(RESULTS).parent / BENCHMARKS
    return [str(path)] if (BENCHMARKS in SHIPPED if FROM else path.is_file()) else []


rule quantities:
    """Compute every quantity from the records of the runs."""
    input:
        records=REPORTED,
        published=PUBLISHED,
        benchmarks=benchmarks(),
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
