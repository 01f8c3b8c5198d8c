"""Claims: decided from the records of the runs, against the tolerances of config/claims.yaml."""

CLAIMS = f"{RESULTS}/claims.json"


rule claims:
    """Decide every claim; evidence that does not match its stamps stops the build."""
    input:
        claims="config/claims.yaml",
        published=PUBLISHED,
        beside=beside(),
        records=QUANTITIES_AND_RECORDS,
        code=code("replication.claims.decide"),
    output:
        CLAIMS,
        CLAIMS.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/claims.log",
    benchmark:
        f"{LOGS}/claims.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Deciding the claims"
    shell:
        "{PYTHON:q} -m replication claims --results {params.results} --out {output[0]} > {log} 2>&1"
