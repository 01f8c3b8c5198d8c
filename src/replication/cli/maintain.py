"""Commands that keep the shipped results and the generated files."""

from __future__ import annotations

import sys
from pathlib import Path

from replication.cli.app import REFEREE, Chosen, Referee, Results, app


@app.command
def ship(*, results: Results, out: Path, dirty_because: str | None = None) -> None:
    """Copy the files of finished results that the report reads to the shipped results, with a manifest of checksums.

    Args:
        out: shipped/results/<scale>; its content is replaced.
        dirty_because: Why results are taken that were made with uncommitted changes.
    """
    from replication.shipped import ship

    ship.ship(results, out, dirty_because)


@app.command
def freeze(*, reason: str) -> None:
    """Fix the study's settings and claims as they are now; after the first time, record why they were changed.

    Args:
        reason: How the settings were chosen, or later why they were changed.
    """
    from replication.study import preregistration

    preregistration.add(reason)
    print(preregistration.summary())


@app.command
def publish(
    *,
    scale_file: Path,
    results: Results,
    bank: Path,
    referee: Referee = REFEREE,
) -> None:
    """Write the files that the report reads beside the runs, for the seeds that a bank holds, and add them to the bank.

    Args:
        scale_file: The scale, config/<scale>.yaml.
        bank: shipped/results/<scale>.
    """
    from replication.study import publish

    publish.main(scale_file, results, bank, referee)


@app.command
def restore(*, shipped: Path, out: Path) -> None:
    """Check shipped results and copy them to the folder that the report is made from.

    Args:
        shipped: shipped/results/<scale>.
        out: results/shipped/<scale>.
    """
    from replication.shipped import ship

    ship.restore(shipped, out)


@app.command
def bundle(*, results: Path, out: Path) -> None:
    """Pack sources, shipped results, report and claims into one archive, and print its path.

    Args:
        results: results/shipped/<scale>, with the report made of it.
        out: Folder of the archive.
    """
    from replication.shipped import bundle

    print(bundle.write(Path.cwd(), results, out))


@app.command
def fill(*pages: Path, results: Chosen = None) -> None:
    """Bring Markdown pages up to date: the numbers between marks, the table of claims, and the figures that they show.

    Args:
        pages: README.md, docs/claims.md and the like.
    """
    from replication.cli.report import latest_results
    from replication.report import pages as markdown

    markdown.write(pages, results or latest_results())


@app.command
def resources(*results: Path, out: Path = Path("workflow/resources.yaml")) -> None:
    """Write the memory and the time that the jobs of each rule took; jobs on a cluster ask for them.

    Args:
        results: Folders results/<scale>, made with snakemake --benchmark-extended.
        out: The file.
    """
    from replication import resources

    resources.measured_in(results, out)


@app.command
def schema(*, out: Path | None = None) -> None:
    """Print the JSON schema of a scale.

    Args:
        out: Write it to this file instead.
    """
    from replication import schema

    _print_or_write(schema.json_schema_text(), out)


@app.command
def defaults(*, out: Path | None = None) -> None:
    """Print the default configuration as commented YAML.

    Args:
        out: Write it to this file instead.
    """
    from replication import schema

    _print_or_write(schema.default_yaml(), out)


def _print_or_write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        from replication.files import write_text

        write_text(out, text)
