"""The independent referee: every saved iterate judged again by a script that shares no code with the package."""

REFEREE = f"{RESULTS}/referee.json"


rule referee:
    """Recompute safety counts and figures of merit from the saved weights; any disagreement stops the build."""
    input:
        script="workflow/scripts/referee.py",
        config=CONFIG,
        runs=runs_of(*EXPERIMENTS),
        data=datasets_of(*EXPERIMENTS),
        references=all_references(),
    output:
        REFEREE,
    log:
        f"{LOGS}/referee.log",
    benchmark:
        f"{LOGS}/referee.benchmark.tsv"
    priority: 1  # it takes longest of what follows the runs
    params:
        results=RESULTS,
    message:
        "Refereeing every run"
    shell:
        "{PYTHON:q} {input.script} {params.results} {output} > {log} 2>&1"
