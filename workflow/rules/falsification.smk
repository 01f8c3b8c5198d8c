"""Faults planted on purpose: the build stops when one of them is not caught."""

FALSIFICATION = f"{RESULTS}/falsification.json"


rule falsification:
    """Plant faults in constants, probes, starts, policies and result files, and see each caught or break a promise."""
    input:
        script="workflow/scripts/referee.py",
        code=code("replication.planted_faults.run", tasks.MODULES["regression"]),
    output:
        FALSIFICATION,
        FALSIFICATION.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/falsification.log",
    benchmark:
        f"{LOGS}/falsification.benchmark.tsv"
    message:
        "Planting faults that must be caught"
    shell:
        "{PYTHON:q} -m replication plant-faults --referee {input.script} --out {output[0]} > {log} 2>&1"
