"""The claims as an HTML page, for Snakemake's own report (make html)."""

CLAIMS_PAGE = f"{REPORT}/claims.html"


rule claims_page:
    """Write the verdicts on the claims as an HTML page."""
    input:
        claims=CLAIMS,
        code=code("replication.report.html"),
    output:
        in_html(CLAIMS_PAGE, caption="../report/claims.rst", category="Claims", labels={"table": "claims"}),
    log:
        f"{LOGS}/report/claims-page.log",
    benchmark:
        f"{LOGS}/report/claims-page.benchmark.tsv"
    message:
        "Writing the page of the claims"
    shell:
        "{PYTHON:q} -m replication page --claims {input.claims} --out {output} > {log} 2>&1"
