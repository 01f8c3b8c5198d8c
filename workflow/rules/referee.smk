"""The independent referee: a script that shares no code with the packages judges saved iterates, data and certificates."""

REFEREE = f"{RESULTS}/referee.json"


rule referee:
    """Judge every run from its weights, its data and its certificate; a disagreement stops the build."""
    input:
        script="workflow/scripts/referee.py",
        config=CONFIG,
        runs=runs_of(*EXPERIMENTS),
        data=datasets_of(*EXPERIMENTS),
        references=all_references(),
        certificates=all_certificates(),
    output:
        REFEREE,
        REFEREE.replace(".json", ".stamp.json"),
    log:
        f"{LOGS}/referee.log",
    benchmark:
        f"{LOGS}/referee.benchmark.tsv"
    priority: 1  # the longest job after the runs
    resources:
        **needs("referee"),
    params:
        results=RESULTS,
    message:
        "Refereeing every run"
    shell:
        "{PYTHON:q} -m replication referee --script {input.script} --results {params.results} --out {output[0]} > {log} 2>&1"
