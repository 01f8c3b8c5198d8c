"""The report: figures, tables, number macros and the PDF."""

REPORT = f"{RESULTS}/report"
PDF = "paper/report.pdf" if PROFILE == "paper" else f"{REPORT}/report.pdf"
FIGURES = [f"{REPORT}/figures/{name}.pdf" for name in report.figures_for(TASKS)]
TABLES = [f"{REPORT}/tables/{name}.tex" for name in report.tables_for(TASKS)]
MACROS = f"{REPORT}/macros.tex"
TEX_SOURCES = [str(path) for pattern in ("*.tex", "*.bib") for path in sorted(Path("paper").rglob(pattern))]


def all_report_parts():
    """Figures, tables and macros of the profile."""
    return [*FIGURES, *TABLES, MACROS]


def all_pdfs():
    """The PDF of the report, where there is TeX to make it."""
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        return [PDF]
    logger.warning(f"{PDF} is left out: it needs latexmk and pdflatex (make setup says how to install them).")
    return []


rule figure:
    """Draw one figure from the records of the runs."""
    input:
        config=CONFIG,
        runs=runs_of(*TASKS),
        evidence=[*all_references(), *all_certificates()],
        published=PUBLISHED,
        code=lambda wildcards: code(report.module_of(wildcards.name), "scpo.report.style"),
    output:
        f"{REPORT}/figures/{{name}}.pdf",
    log:
        f"{LOGS}/report/figures/{{name}}.log",
    benchmark:
        f"{LOGS}/report/figures/{{name}}.benchmark.tsv"
    threads: 1
    params:
        results=RESULTS,
    message:
        "Drawing figure {wildcards.name}"
    shell:
        "{PYTHON} -m scpo figure {wildcards.name} --results {params.results} --out {output} > {log} 2>&1"


rule table:
    """Write one table from the records of the runs."""
    input:
        config=CONFIG,
        runs=runs_of(*TASKS),
        evidence=[*all_references(), *all_certificates(), REFEREE],
        published=PUBLISHED,
        code=lambda wildcards: code(report.module_of(wildcards.name)),
    output:
        f"{REPORT}/tables/{{name}}.tex",
    log:
        f"{LOGS}/report/tables/{{name}}.log",
    benchmark:
        f"{LOGS}/report/tables/{{name}}.benchmark.tsv"
    threads: 1
    params:
        results=RESULTS,
    message:
        "Writing table {wildcards.name}"
    shell:
        "{PYTHON} -m scpo table {wildcards.name} --results {params.results} --out {output} > {log} 2>&1"


rule macros:
    """Write every number that the report's text uses as a LaTeX macro."""
    input:
        config=CONFIG,
        runs=runs_of(*TASKS),
        evidence=[*all_references(), *all_certificates(), REFEREE],
        published=PUBLISHED,
        code=code("scpo.report.macros"),
    output:
        MACROS,
    log:
        f"{LOGS}/report/macros.log",
    benchmark:
        f"{LOGS}/report/macros.benchmark.tsv"
    threads: 1
    params:
        results=RESULTS,
    message:
        "Writing the report's numbers"
    shell:
        "{PYTHON} -m scpo macros --results {params.results} --out {output} > {log} 2>&1"


rule pdf:
    """Typeset the report."""
    input:
        main="paper/main.tex",
        tex=TEX_SOURCES,
        parts=[*FIGURES, *TABLES, MACROS],
    output:
        PDF,
    log:
        f"{LOGS}/report/pdf.log",
    benchmark:
        f"{LOGS}/report/pdf.benchmark.tsv"
    threads: 1
    params:
        report=REPORT,
    message:
        "Typesetting {output}"
    shell:
        """
        build=$(mktemp -d)
        trap 'rm -rf "$build"' EXIT
        export TEXINPUTS="$PWD/paper:$PWD/{params.report}:" BIBINPUTS="$PWD/paper:"
        latexmk -norc -pdf -interaction=nonstopmode -halt-on-error -file-line-error \
            -usepretex='\\pdftrailerid{{}}' -outdir="$build" {input.main} >{log} 2>&1
        cp "$build/main.pdf" {output}
        """
