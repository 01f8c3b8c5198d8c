"""The explorer: one page that shows the results and needs neither a server nor a network."""

POLICIES = [f"{RESULTS}/{name}" for name in experiments.policies_of(EXPERIMENTS)]
EXPLORER = f"{RESULTS}/explorer.html"


if not FROM:

    rule policies:
        """Keep the saved policies of some runs in one file, which the page shows and which can be shipped."""
        input:
            config=CONFIG,
            runs=lambda wildcards: runs_of(wildcards.experiment, only=["weights.npz"]),
            code=code("replication.experiments.policies"),
        output:
            f"{RESULTS}/{{experiment}}/{experiments.POLICIES}",
            f"{RESULTS}/{{experiment}}/{experiments.POLICIES}".replace(".npz", ".stamp.json"),
        log:
            f"{LOGS}/{{experiment}}/policies.log",
        benchmark:
            f"{LOGS}/{{experiment}}/policies.benchmark.tsv"
        resources:
            **needs("policies"),
        params:
            results=RESULTS,
        message:
            "Keeping saved policies of {wildcards.experiment}"
        shell:
            "{PYTHON:q} -m replication policies --results {params.results} --experiment {wildcards.experiment}"
            " --out {output[0]} > {log} 2>&1"


rule explorer:
    """Make the page from the results, the verdicts and the saved policies."""
    input:
        records=QUANTITIES_AND_RECORDS,
        claims=CLAIMS,
        stated="config/claims.yaml",
        policies=POLICIES,
        published=PUBLISHED,
        tex=TEX_SOURCES,
        assets=sorted(map(str, Path("src/replication/page").glob("*.[!p]*"))),
        code=code("replication.page.build"),
    output:
        EXPLORER,
        EXPLORER.replace(".html", ".stamp.json"),
    log:
        f"{LOGS}/explorer.log",
    benchmark:
        f"{LOGS}/explorer.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Making {output[0]}"
    shell:
        "{PYTHON:q} -m replication explorer --results {params.results} --out {output[0]} > {log} 2>&1"
