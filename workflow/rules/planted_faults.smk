"""Faults that are planted on purpose; the build stops if one of them is not caught."""

PLANTED_FAULTS = f"{RESULTS}/falsification.json"


rule plant_faults:
    """Plant faults in constants, probes, starts, policies and result files; each must be caught."""
    input:
        script="workflow/scripts/referee.py",
        code=code("replication.planted_faults.run", tasks.MODULES["regression"]),
    output:
        PLANTED_FAULTS,
        PLANTED_FAULTS.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/planted-faults.log",
    benchmark:
        f"{LOGS}/planted-faults.benchmark.tsv"
    resources:
        **needs("plant_faults"),
    message:
        "Planting faults that must be caught"
    shell:
        "{PYTHON:q} -m replication plant-faults --referee {input.script} --out {output[0]} > {log} 2>&1"
