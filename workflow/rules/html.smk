"""What only Snakemake's own HTML report shows (make html): the claims as a page."""

CLAIMS_PAGE = f"{REPORT}/claims.html"


rule claims_page:
    """Lay out the verdicts on the claims as a page."""
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
        "Laying out the claims"
    shell:
        "{PYTHON:q} -m replication page --claims {input.claims} --out {output} > {log} 2>&1"
