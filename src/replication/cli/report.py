"""Commands that make, check and explain the report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from replication.cli.app import PAPER, Chosen, Files, Paper, Results, app
from replication.paths import REPOSITORY

SHIPPED = REPOSITORY / "shipped/results/study"
#: A checked copy of them, which commands by hand read where the workflow has made none.
COPY = Path("results/read/study")


@app.command
def figure(*names: str, results: Chosen = None, out: Files | None = None) -> None:
    """Draw figures of the report, each as PDF and as PNG.

    Args:
        names: Names of figures.
        out: One file for each name; by default <name>.pdf in this folder.
    """
    _render(names, ".pdf", results, out)


@app.command
def table(*names: str, results: Chosen = None, out: Files | None = None) -> None:
    """Write tables of the report as LaTeX.

    Args:
        names: Names of tables.
        out: One file for each name; by default <name>.tex in this folder.
    """
    _render(names, ".tex", results, out)


def _render(names: Sequence[str], suffix: str, results: Path | None, out: Sequence[Path] | None) -> None:
    from replication import report
    from scpo.errors import ConfigurationError

    files = [Path(f"{name}{suffix}") for name in names] if out is None else out
    if not names or len(names) != len(files):
        raise ConfigurationError(f"{len(names)} names, but {len(files)} files after --out: give one for each")
    chosen = results or latest_results()
    for name, file in zip(names, files, strict=True):
        report.render(name, chosen, file)
        if out is None:
            print(file)


def latest_results() -> Path:
    """Return results/paper or results/shipped/study if the workflow has made it, else a copy of the shipped results.

    The copy is for reading alone, so that commands by hand write nothing that the workflow owns.
    """
    from replication.experiments import quantities
    from replication.results.quantities import FILE
    from replication.shipped import ship

    for made in (Path("results/paper"), Path("results/shipped/study")):
        if (made / FILE).is_file():
            return made
    if ship.unlike(SHIPPED, COPY):
        ship.restore(SHIPPED, COPY)
        (COPY / FILE).unlink(missing_ok=True)
    if not (COPY / FILE).is_file():
        quantities.main(COPY, COPY / FILE)
    return COPY


@app.command
def numbers(*, results: Results, out: Path, paper: Paper = PAPER) -> None:
    """Write the numbers that the report's text uses, as LaTeX.

    Args:
        out: The .tex file.
    """
    from replication.report import numbers

    numbers.main(results, out, paper)


@app.command
def quantities(*, results: Results, out: Path) -> None:
    """Compute every quantity of the results and write them as one table.

    Args:
        out: The .parquet file.
    """
    from replication.experiments import quantities

    quantities.main(results, out)


@app.command
def claims(*, results: Results, out: Path) -> None:
    """Decide every claim from the table of quantities, and write the verdicts.

    Args:
        out: The .json file with the verdicts.
    """
    from replication.claims import decide

    decide.write(results, out)


@app.command
def verify(*, results: Results, strict: bool = False) -> int:
    """Check every claim and print the verdicts.

    Status 1 if a claim lacks evidence or seeds, if evidence was altered, or if the frozen study was changed without a
    stated reason.

    Args:
        strict: Return status 1 if a claim deviates, too.
    """
    from replication.claims import decide
    from replication.study import preregistration

    text, status = decide.judge(results, strict=strict)
    changed = preregistration.problem()
    sys.stdout.write(f"{text}\n{preregistration.summary()}\n")
    if changed is not None:
        print(changed, file=sys.stderr)
    return status if changed is None else 1


@app.command
def compare(first: Path, second: Path, /) -> int:
    """Compare two result folders arm by arm.  Status 1 if an arm differs.

    Args:
        first: results/<scale>; it may hold fewer seeds than the second folder.
        second: A result folder made elsewhere or earlier.
    """
    from replication.experiments import quantities
    from replication.results import compare as comparison

    tables = (quantities.collect(first, strict=False), quantities.collect(second, strict=False))
    found = comparison.compare(first, second, tables)
    sys.stdout.write(comparison.text(found))
    return int(any(one.tier == "differs" for one in found))


@app.command
def check_report(*, results: Results, out: Path, paper: Paper = PAPER) -> None:
    """Write the hashes that the report's captions print.  Fail if a part of the report is out of date.

    Args:
        out: The .tex file.
    """
    from replication.report import text

    text.write_stamps(results, out, paper)


@app.command
def explain(name: str | None = None, /, *, inputs: bool = False, results: Chosen = None, paper: Paper = PAPER) -> int:
    """Print what a figure, a table, a number or a claim was made from.  Status 1 if that has changed since.

    Args:
        name: fig-3, tab-2, a figure's or table's name, a number as in regression/scpo/unsafe-iterates, a setting as in
            regression/scpo/scpo.kappa, a claim's id, numbers, quantities, claims, or the grey hash that the report
            prints beside one of these; without it: what can be explained.
        inputs: List the files that it was made from, with their checksums, and the value of each seed.
    """
    from replication.report import explain

    if name is None:
        sys.stdout.write(explain.listing(results or latest_results(), paper))
        return 0
    chosen = results or latest_results()
    text, matches = explain.explain(name, chosen, paper, list_inputs=inputs, make=chosen == COPY)
    sys.stdout.write(text)
    return 0 if matches else 1


@app.command
def claims_page(*, claims: Path, out: Path) -> None:
    """Write the verdicts on the claims as an HTML page, for Snakemake's own report (make html).

    Args:
        claims: results/<scale>/claims.json.
        out: The .html file.
    """
    from replication.report import html

    html.write(claims, out)


@app.command
def gallery(*pictures: Path, results: Results, out: Path) -> None:
    """Write an HTML page that shows figures of the report at a small size.

    Args:
        pictures: The figures, as PNG files.
        out: The .html file.
    """
    from replication.report import html

    html.write_gallery(pictures, results, out)


@app.command
def explorer(*, results: Results, out: Path) -> None:
    """Write the explorer, a page that shows the results: one file that needs no server and no network.

    Args:
        out: The .html file.
    """
    from replication.page import build

    build.main(results, out)
