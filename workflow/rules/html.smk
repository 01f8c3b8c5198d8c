"""The claims, and the figures at a glance, as HTML pages for Snakemake's own report (make html)."""

CLAIMS_PAGE = f"{REPORT}/claims.html"
GALLERY = f"{REPORT}/figures.html"


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
        "{PYTHON:q} -m replication claims-page --claims {input.claims} --out {output} > {log} 2>&1"


rule gallery:
    """Show all figures in small on one HTML page."""
    input:
        pictures=PICTURES,
        tex=TEX_SOURCES,
        code=code("replication.report.html"),
    output:
        in_html(
            GALLERY,
            caption="../report/gallery.rst",
            category="Figures",
            labels={"figure": "all", "name": "at a glance"},
        ),
    log:
        f"{LOGS}/report/gallery.log",
    benchmark:
        f"{LOGS}/report/gallery.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Writing the page of the figures"
    shell:
        "{PYTHON:q} -m replication gallery {input.pictures} --results {params.results} --out {output} > {log} 2>&1"
