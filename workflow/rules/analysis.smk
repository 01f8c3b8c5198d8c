"""Notebooks: executed copies and HTML pages."""


def all_notebooks():
    """Executed notebooks of the profile."""
    return [f"{RESULTS}/{task}/notebook.{suffix}" for task in TASKS for suffix in ("ipynb", "html")]


rule notebook:
    """Execute a task's notebook on the records of its runs; a failed copy stays beside the log."""
    input:
        template="notebooks/{task}.ipynb",
        config=CONFIG,
        runs=lambda wildcards: runs_of(wildcards.task),
        published=PUBLISHED,
        code=lambda wildcards: notebook_code(wildcards.task),
    output:
        notebook=f"{RESULTS}/{{task}}/notebook.ipynb",
        html=f"{RESULTS}/{{task}}/notebook.html",
    log:
        text=f"{LOGS}/{{task}}/notebook.log",
        executed=f"{LOGS}/{{task}}/notebook.ipynb",
    benchmark:
        f"{LOGS}/{{task}}/notebook.benchmark.tsv"
    retries: 2
    threads: 1
    params:
        results=RESULTS,
    message:
        "Executing the notebook of {wildcards.task}"
    shell:
        "{PYTHON} -m scpo notebook --template {input.template} --out {output.notebook} --html {output.html}"
        " --log {log.executed} -p results {params.results} > {log.text} 2>&1"
