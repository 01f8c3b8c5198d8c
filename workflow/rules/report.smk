"""The report: figures, tables, the numbers of the text, and the PDF."""

REPORT = f"{RESULTS}/report"
PDF = "paper/report.pdf" if RESULTS == "results/paper" else f"{REPORT}/report.pdf"
FIGURES = [f"{REPORT}/figures/{name}.pdf" for name in parts.names_for("figure", SETTINGS)]
PICTURES = [f"{REPORT}/figures/{name}.png" for name in parts.names_for("figure", SETTINGS)]
TABLES = [f"{REPORT}/tables/{name}.tex" for name in parts.names_for("table", SETTINGS)]
NUMBERS = f"{REPORT}/numbers.tex"
PARTS = [*FIGURES, *TABLES, NUMBERS, CLAIMS]
REPORT_STAMPS = f"{REPORT}/stamps.tex"
# what the text is about and the scale does not run: experiments that have a section, and figures
LEFT_OUT = sorted(
    {name for name in tasks.MODULES if Path(f"paper/sections/{name.replace('-', '_')}.tex").exists()} - set(EXPERIMENTS)
) or sorted(set(parts.names_for("figure", Config())) - set(parts.names_for("figure", SETTINGS)))
TEX_SOURCES = [str(path) for pattern in ("*.tex", "*.bib") for path in sorted(Path("paper").rglob(pattern))]


def all_report_parts():
    """Figures, tables, numbers, quantities, claims, and their stamps; where there is a PDF, the check that they agree."""
    made = [*PARTS, QUANTITIES]
    return [*made, *map(stamp_of, made), *PICTURES, *([] if LEFT_OUT else [REPORT_STAMPS])]


def stamp_of(path):
    """The stamp of a part of the report."""
    return str(Path(path).with_suffix(".stamp.json"))


def figure_labels(wildcards):
    """A figure's number in the report, and its name, for Snakemake's own report."""
    from replication.report import text  # it imports pandas, which no job needs to start

    return {"figure": text.title(f"figures/{wildcards.name}", SETTINGS), "name": wildcards.name}


def drawn_from(wildcards):
    """What a figure reads: it waits for no other run."""
    return [name for name in REPORTED if parts.part(wildcards.name).is_read(name.removeprefix(f"{RESULTS}/"))]


def all_pdfs():
    """The PDF of the report, where there is TeX to make it and the scale runs everything that it is about."""
    if LEFT_OUT:
        logger.warning(
            f"{PDF} is left out: its text is about {', '.join(LEFT_OUT)} too, of which the scale has no run."
        )
        return []
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        return [PDF]
    logger.warning(f"{PDF} is left out: it needs latexmk and pdflatex (make setup says how to install them).")
    return []


rule figure:
    """Draw one figure from the records of the runs."""
    input:
        records=drawn_from,
        published=PUBLISHED,
        code=lambda wildcards: code(*parts.part(wildcards.name).modules),
    output:
        f"{REPORT}/figures/{{name}}.pdf",
        in_html(
            f"{REPORT}/figures/{{name}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=figure_labels,
        ),
        stamp_of(f"{REPORT}/figures/{{name}}.pdf"),
    log:
        f"{LOGS}/report/figures/{{name}}.log",
    benchmark:
        f"{LOGS}/report/figures/{{name}}.benchmark.tsv"
    params:
        results=RESULTS,
        caption=lambda wildcards: parts.part(wildcards.name).shows,
    message:
        "Drawing figure {wildcards.name}"
    shell:
        "{PYTHON:q} -m replication figure {wildcards.name} --results {params.results} --out {output[0]} > {log} 2>&1"


# tables of one module share its code, and the start of a process takes longer than a table
for made_by, names in parts.tables_by_rule(SETTINGS).items():

    rule:
        """Write the tables of one module from the records of the runs."""
        name:
            made_by
        input:
            records=QUANTITIES_AND_RECORDS,
            claims=[CLAIMS] if made_by == "tables_report_claims" else [],
            frozen=["config/frozen.json"] if made_by == "tables_report_study" else [],
            code=code(parts.part(names[0]).module),
        output:
            tables=[f"{REPORT}/tables/{name}.tex" for name in names],
            stamps=[stamp_of(f"{REPORT}/tables/{name}.tex") for name in names],
        log:
            f"{LOGS}/report/{made_by}.log",
        benchmark:
            f"{LOGS}/report/{made_by}.benchmark.tsv"
        params:
            names=names,
            results=RESULTS,
        message:
            "Writing tables: {params.names}"
        shell:
            "{PYTHON:q} -m replication table {params.names} --results {params.results} --out {output.tables} > {log} 2>&1"


rule numbers:
    """Write every number that the report's text uses as LaTeX."""
    input:
        config=CONFIG,
        study="config/study.yaml",  # the arms that the text may name
        quantities=QUANTITIES,
        tex=TEX_SOURCES,
        code=code("replication.report.numbers"),
    output:
        NUMBERS,
        stamp_of(NUMBERS),
    log:
        f"{LOGS}/report/numbers.log",
    benchmark:
        f"{LOGS}/report/numbers.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Writing the report's numbers"
    shell:
        "{PYTHON:q} -m replication numbers --results {params.results} --out {output[0]} > {log} 2>&1"


rule check_report:
    """Check that nothing in the report is stale or unreferenced; write the hashes that its captions print."""
    input:
        parts=[*PARTS, QUANTITIES],
        stamps=[stamp_of(path) for path in (*PARTS, QUANTITIES)],
        tex=TEX_SOURCES,
        code=code("replication.report.text"),
    output:
        REPORT_STAMPS,
    log:
        f"{LOGS}/report/check.log",
    benchmark:
        f"{LOGS}/report/check.benchmark.tsv"
    params:
        results=RESULTS,
    message:
        "Checking what the report shows"
    shell:
        "{PYTHON:q} -m replication check-report --results {params.results} --out {output} > {log} 2>&1"


rule pdf:
    """Typeset the report."""
    input:
        main="paper/main.tex",
        tex=TEX_SOURCES,
        parts=[*FIGURES, *TABLES, NUMBERS, REPORT_STAMPS],
    output:
        in_html(PDF, caption="../report/pdf.rst", category="Report", labels={"file": "the report"}),
    log:
        f"{LOGS}/report/pdf.log",
    benchmark:
        f"{LOGS}/report/pdf.benchmark.tsv"
    params:
        report=REPORT,
    message:
        "Typesetting {output}"
    shell:
        """
        # TeX cannot read every path, so it works in a folder of its own and sees this one through links
        case "${{TMPDIR:-}}" in *[!A-Za-z0-9/._-]*) export TMPDIR=/tmp ;; esac
        build=$(mktemp -d)
        trap 'rm -rf "$build"' EXIT
        ln -s "$PWD/paper" "$build/paper"
        ln -s "$PWD/{params.report}" "$build/made"
        export HOME="$build" TEXINPUTS="paper:made:" BIBINPUTS="$build/paper:"
        (
            cd "$build"
            latexmk -norc -pdf -interaction=nonstopmode -halt-on-error -file-line-error \
                -usepretex='\\pdftrailerid{{}}\\pdfsuppressptexinfo=-1' {input.main}
        ) >{log} 2>&1
        if grep -A1 'Float too large' "$build/main.log" >>{log}; then
            echo 'a figure or a table is longer than its page' >>{log}
            exit 1
        fi
        cp "$build/main.pdf" {output}
        """
