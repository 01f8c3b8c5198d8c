"""The regression: distance of its final policies from a constrained optimum."""

from replication.results.inventory import STATIONARITY


rule stationarity:
    """Measure the share of the loss gradient that the active constraints do not balance, at the end of every run."""
    input:
        config=CONFIG,
        runs=runs_of("regression", only=["final.safetensors"]) if "regression" in EXPERIMENTS else [],
        data=datasets_of("regression") if "regression" in EXPERIMENTS else [],
        code=code("replication.experiments.regression.stationarity"),
    output:
        f"{RESULTS}/{STATIONARITY}",
        f"{RESULTS}/{STATIONARITY.replace('.json', '.stamp.json')}",
    log:
        f"{LOGS}/regression/stationarity.log",
    benchmark:
        f"{LOGS}/regression/stationarity.benchmark.tsv"
    resources:
        **needs("stationarity"),
    params:
        results=RESULTS,
    message:
        "Measuring how far final policies are from a constrained optimum"
    shell:
        "{PYTHON:q} -m replication stationarity --results {params.results} --out {output[0]} > {log} 2>&1"
