"""Notebooks: executed copies and HTML pages."""


def all_notebooks():
    """Executed notebooks of the scale."""
    return [
        f"{RESULTS}/{name}/notebook.{suffix}" for name in (*EXPERIMENTS, "tutorial") for suffix in ("ipynb", "html")
    ]


rule notebook:
    """Execute an experiment's notebook on the records of its runs; the copy of a failed run stays beside the log."""
    input:
        template="notebooks/{experiment}.ipynb",
        records=QUANTITIES_AND_RECORDS,
        published=PUBLISHED,
        code=lambda wildcards: notebook_code(wildcards.experiment),
    output:
        notebook=f"{RESULTS}/{{experiment}}/notebook.ipynb",
        html=in_html(
            f"{RESULTS}/{{experiment}}/notebook.html",
            caption="../report/notebook.rst",
            category="Notebooks",
            labels={"notebook": "{experiment}"},
        ),
    log:
        f"{LOGS}/{{experiment}}/notebook.log",
    benchmark:
        f"{LOGS}/{{experiment}}/notebook.benchmark.tsv"
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
    retries: 0  # a cell that fails once fails again
    resources:
        **needs("notebook"),
    params:
        results=RESULTS,
        executed=f"{LOGS}/{{experiment}}/notebook.ipynb",  # no log, since Snakemake prints the logs of failed jobs
    message:
        "Executing the notebook of {wildcards.experiment}"
    shell:
        "{PYTHON:q} -m replication notebook --template {input.template} --results {params.results} --out {output.notebook} --html {output.html}"
        " --log {params.executed} > {log} 2>&1"


rule tutorial:
    """Execute the tutorial, which makes a user's own simulator safe; it reads no results."""
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
        f"{LOGS}/tutorial/notebook.log",
    benchmark:
        f"{LOGS}/tutorial/notebook.benchmark.tsv"
    retries: 0  # a cell that fails once fails again
    resources:
        **needs("tutorial"),
    params:
        results=RESULTS,
        executed=f"{LOGS}/tutorial/notebook.ipynb",
    message:
        "Executing the tutorial"
    shell:
        "{PYTHON:q} -m replication notebook --template {input.template} --results {params.results} --out {output.notebook} --html {output.html}"
        " --log {params.executed} > {log} 2>&1"


rule notebooks:
    """All executed notebooks."""
    input:
        all_notebooks(),
