"""Notebooks: executed copies and HTML pages."""


def all_notebooks():
    """Executed notebooks of the profile."""
    return [f"{RESULTS}/{name}/notebook.{suffix}" for name in (*TASKS, "tutorial") for suffix in ("ipynb", "html")]


rule notebook:
    """Execute a task's notebook on the records of its runs; a failed copy stays beside the log."""
    input:
        template="notebooks/{task}.ipynb",
        records=lambda wildcards: reported_of(wildcards.task),
        published=PUBLISHED,
        code=lambda wildcards: notebook_code(wildcards.task),
    output:
        notebook=f"{RESULTS}/{{task}}/notebook.ipynb",
        html=in_html(
            f"{RESULTS}/{{task}}/notebook.html",
            caption="../report/notebook.rst",
            category="Notebooks",
            labels={"notebook": "{task}"},
        ),
    log:
        text=f"{LOGS}/{{task}}/notebook.log",
        executed=f"{LOGS}/{{task}}/notebook.ipynb",
    benchmark:
        f"{LOGS}/{{task}}/notebook.benchmark.tsv"
    wildcard_constraints:
        task="|".join(TASKS),
    retries: 2
    threads: 1
    params:
        results=RESULTS,
    message:
        "Executing the notebook of {wildcards.task}"
    shell:
        "{PYTHON} -m replication notebook --template {input.template} --out {output.notebook} --html {output.html}"
        " --log {log.executed} -p results {params.results} > {log.text} 2>&1"


rule tutorial:
    """Execute the tutorial, a user's own simulator made safe; it trains by itself and reads no results."""
    input:
        template="notebooks/tutorial.ipynb",
        code=code("replication.notebook", "scpo.optimizer"),
    output:
        notebook=f"{RESULTS}/tutorial/notebook.ipynb",
        html=in_html(
            f"{RESULTS}/tutorial/notebook.html",
            caption="../report/tutorial.rst",
            category="Notebooks",
            labels={"notebook": "tutorial"},
        ),
    log:
        text=f"{LOGS}/tutorial/notebook.log",
        executed=f"{LOGS}/tutorial/notebook.ipynb",
    benchmark:
        f"{LOGS}/tutorial/notebook.benchmark.tsv"
    retries: 2
    threads: 1
    params:
        results=RESULTS,
    message:
        "Executing the tutorial"
    shell:
        "{PYTHON} -m replication notebook --template {input.template} --out {output.notebook} --html {output.html}"
        " --log {log.executed} -p results {params.results} > {log.text} 2>&1"
