"""The commands that the workflow's rules call, one stage each; they run without Snakemake as well.

Modules are imported by the command that needs them, so that each start is quick.  An error that the package
raises on purpose ends a command with its message and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scpo.errors import ScpoError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int | None] = options.run
    try:
        return run(options) or 0
    except ScpoError as error:
        print(f"replicate {options.command}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _config(options: argparse.Namespace) -> None:
    from replication import scales
    from replication.config import dump
    from replication.files import write_text

    config = scales.load_scale(options.scale_file, options.set)
    if options.arm is not None:
        config = scales.for_arm(config, options.experiment, options.arm)
    elif options.dataset is not None:
        config = scales.for_dataset(config, options.experiment, options.dataset)
    write_text(options.out, dump(config))


def _budget(options: argparse.Namespace) -> None:
    from replication import budget, scales

    config = scales.load_scale(options.scale_file, options.set)
    sys.stdout.write(budget.estimate(config, options.jobs, options.results))


def _dataset(options: argparse.Namespace) -> None:
    from replication.training import datasets

    datasets.main(options.config, options.experiment, options.dataset, options.seed, options.out)


def _train(options: argparse.Namespace) -> None:
    from replication.training.train import run_from_files

    run_from_files(
        options.config, options.experiment, options.arm, options.seed, options.data, options.out, options.checkpoint
    )


def _references(options: argparse.Namespace) -> None:
    from replication.experiments.double_integrator import references

    references.main(options.config, options.out)


def _certify(options: argparse.Namespace) -> None:
    from replication.experiments.double_integrator import certificates

    certificates.main(
        options.run_folder,
        options.out,
        cells=options.cells,
        cells_over_training=options.cells_over_training,
        iterates=options.iterates,
        rho=options.rho,
    )


def _stationarity(options: argparse.Namespace) -> None:
    from replication.experiments.regression import stationarity

    stationarity.main(options.results, options.out)


def _falsify(options: argparse.Namespace) -> None:
    from replication.planted_faults import run as page

    page.main(options.referee, options.out)


def _notebook(options: argparse.Namespace) -> None:
    from replication import notebook

    notebook.execute(options.template, options.out, options.html, options.log, dict(options.parameter))


def _render(options: argparse.Namespace) -> None:
    from replication import report
    from scpo.errors import ConfigurationError

    if len(options.name) != len(options.out):
        counts = f"{len(options.name)} names, but {len(options.out)} files after --out"
        raise ConfigurationError(f"{counts}: give one for each")
    for name, out in zip(options.name, options.out, strict=True):
        report.render(name, options.results, out)


def _quantities(options: argparse.Namespace) -> None:
    from replication.experiments import quantities

    quantities.main(options.results, options.out)


def _macros(options: argparse.Namespace) -> None:
    from replication.provenance.page import traced
    from replication.report import macros

    with traced(options.out, options.results, ["replication.report.macros"]):
        macros.write(options.results, options.out)


def _claims(options: argparse.Namespace) -> None:
    from replication.claims import decide as verify
    from replication.claims import verdicts
    from replication.files import write_text

    if options.out is not None:
        verify.write(options.results, options.out)
    found = verdicts.read(options.out or options.results / verdicts.NAME)
    if options.markdown:
        sys.stdout.write(verdicts.markdown(found))
    if options.readme is not None:
        write_text(options.readme, verdicts.updated(options.readme.read_text(encoding="utf-8"), found))


def _verify(options: argparse.Namespace) -> int:
    from replication.claims import decide as verify

    text, status = verify.judge(options.results, strict=options.strict)
    sys.stdout.write(text)
    return status


def _compare(options: argparse.Namespace) -> int:
    from replication.results import compare

    found = compare.compare(options.first, options.second)
    sys.stdout.write(compare.text(found))
    return int(any(one.tier == "differs" for one in found))


def _provenance(options: argparse.Namespace) -> None:
    from replication.report import paper

    paper.write(options.results, options.out, options.paper)


def _explain(options: argparse.Namespace) -> int:
    from replication.report import explain

    text, matches = explain.explain(options.name, options.results, options.paper)
    sys.stdout.write(text)
    return 0 if matches else 1


def _page(options: argparse.Namespace) -> None:
    from replication.report import html

    html.write(options.claims, options.out)


def _ship(options: argparse.Namespace) -> None:
    from replication.shipped import collection

    collection.collect(options.results, options.out, options.dirty_because, options.keep)


def _restore(options: argparse.Namespace) -> None:
    from replication.shipped import collection

    collection.restore(options.shipped, options.out)


def _bundle(options: argparse.Namespace) -> None:
    from replication.shipped import bundle

    print(bundle.write(Path.cwd(), options.results, options.out))


def _schema(options: argparse.Namespace) -> None:
    from replication import schema

    _give(schema.json_schema_text(), options.out)


def _defaults(options: argparse.Namespace) -> None:
    from replication import schema

    _give(schema.default_yaml(), options.out)


def _give(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        from replication.files import write_text

        write_text(out, text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="replicate", description="Commands of the SCPO replication, one stage each.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    config = command("config", _config, "Write the configuration of a scale as canonical JSON.")
    config.add_argument("--scale-file", type=Path, required=True, help="the scale's overlay, config/<scale>.yaml")
    config.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a.b=c; several, with blanks")
    config.add_argument("--experiment", default="", help="with --arm or --dataset: only what that job reads")
    config.add_argument("--arm")
    config.add_argument("--dataset")
    config.add_argument("--out", type=Path, required=True)

    budget = command("budget", _budget, "Estimate what a scale will take, from a few updates measured now.")
    budget.add_argument("--scale-file", type=Path, required=True, help="the scale's overlay, config/<scale>.yaml")
    budget.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a.b=c; several, with blanks")
    budget.add_argument("--jobs", type=int, default=1, help="processes side by side")
    budget.add_argument("--results", type=Path, help="results/<scale>; runs that are finished there are left out")

    dataset = command("dataset", _dataset, "Draw one data set of an experiment.")
    _add_run(dataset)
    dataset.add_argument("--dataset", required=True)
    dataset.add_argument("--out", type=Path, required=True, help="the .npz file")

    train = command("train", _train, "Run one arm of an experiment with one seed.")
    _add_run(train)
    train.add_argument("--arm", required=True)
    train.add_argument("--data", type=Path, required=True, help="the data set, from `replicate dataset`")
    train.add_argument("--out", type=Path, required=True, help="folder of the run's records")
    train.add_argument("--checkpoint", type=Path, help="folder that lets an interrupted run go on")

    references = command("references", _references, "Compute what runs of the double integrator are compared with.")
    references.add_argument("--config", type=Path, required=True, help="results/<scale>/config.json")
    references.add_argument("--out", type=Path, required=True, help="the .json file; arrays are written beside it")

    certify = command("certify", _certify, "Prove what can be proven of a double-integrator run's policies.")
    certify.add_argument("--run", dest="run_folder", type=Path, required=True, help="folder of the run's records")
    certify.add_argument("--cells", type=int, required=True, help="along each axis, for the final policy")
    certify.add_argument("--cells-over-training", type=int, required=True, help="the same for policies on the way")
    certify.add_argument("--iterates", type=int, required=True, help="policies on the way")
    certify.add_argument("--rho", type=float, required=True, help="the starts lie in rho O_inf")
    certify.add_argument("--out", type=Path, required=True, help="the .json file; cells are written beside it")

    text = "Measure how far the regression's final policies are from a constrained optimum."
    _add_results(command("stationarity", _stationarity, text))

    falsify = command("falsify", _falsify, "Plant faults on purpose; fail if one of them is not caught.")
    falsify.add_argument("--referee", type=Path, default=Path("workflow/scripts/referee.py"), help="its script")
    falsify.add_argument("--out", type=Path, required=True, help="the .json file")

    notebook = command("notebook", _notebook, "Execute a notebook; keep the executed copy and an HTML page.")
    notebook.add_argument("--template", type=Path, required=True)
    notebook.add_argument("--out", type=Path, required=True)
    notebook.add_argument("--html", type=Path, required=True)
    notebook.add_argument("--log", type=Path, required=True, help="where it is executed, and stays if a cell fails")
    notebook.add_argument(
        "-p", "--parameter", action="append", nargs=2, default=[], metavar=("NAME", "VALUE"), help="a parameter"
    )

    for name, text in (("figure", "Draw figures as PDF."), ("table", "Write tables as LaTeX.")):
        render = command(name, _render, text)
        render.add_argument("name", nargs="+")
        render.add_argument("--results", type=Path, required=True, help="results/<scale>")
        render.add_argument("--out", type=Path, required=True, nargs="+", help="a file for each name")
    _add_results(command("quantities", _quantities, "Compute every quantity of the results; write one table."))
    _add_results(command("macros", _macros, "Write the report's numbers as LaTeX macros."))

    claims = command("claims", _claims, "Decide every claim from results, or print what was decided.")
    claims.add_argument("--results", type=Path, required=True, help="results/<scale>")
    claims.add_argument("--out", type=Path, help="evaluate the claims and write them to this file")
    claims.add_argument("--markdown", action="store_true", help="print the README's table")
    claims.add_argument("--readme", type=Path, help="put the table between the markers of this file")

    verify = command("verify", _verify, "Check every claim; status 1 if evidence is missing or altered.")
    verify.add_argument("--results", type=Path, required=True, help="results/<scale>")
    verify.add_argument("--strict", action="store_true", help="status 1 on a deviation, too")

    compare = command(
        "compare", _compare, "Compare two result folders, or some seeds with all; status 1 if an arm differs."
    )
    compare.add_argument("first", type=Path, help="results/<scale>")
    compare.add_argument("second", type=Path, help="another, made elsewhere or earlier")

    paper = command("provenance", _provenance, "Write the hashes of what the report shows; refuse what is stale.")
    _add_results(paper)
    explain = command("explain", _explain, "Say where a figure, a table, a number or a claim comes from.")
    explain.add_argument("name", help="fig-3, tab-2, a name, a macro, or a claim's id")
    explain.add_argument("--results", type=Path, default=Path("results/paper"), help="results/<scale>")
    for reads in (paper, explain):
        reads.add_argument("--paper", type=Path, default=Path("paper"), help="the folder of the report's text")

    page = command("page", _page, "Lay out the verdicts on the claims as a page of HTML.")
    page.add_argument("--claims", type=Path, required=True, help="results/<scale>/claims.json")
    page.add_argument("--out", type=Path, required=True)

    ship = command("ship", _ship, "Copy what the report reads of finished results, with a manifest.")
    _add_results(ship)
    ship.add_argument("--dirty-because", metavar="REASON", help="take results of a checkout with changes")
    ship.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="EXPERIMENT",
        help="an experiment that was not run again: its results stay",
    )

    restore = command("restore", _restore, "Check shipped results and copy them to where the report is made.")
    restore.add_argument("--shipped", type=Path, required=True, help="shipped/results/<scale>")
    restore.add_argument("--out", type=Path, required=True, help="results/shipped/<scale>")

    bundle = command("bundle", _bundle, "Pack sources, results, report and claims into one archive.")
    _add_results(bundle)

    for name, run, text in (
        ("schema", _schema, "Print the JSON schema of a scale."),
        ("defaults", _defaults, "Print the default configuration as commented YAML."),
    ):
        command(name, run, text).add_argument("--out", type=Path, help="write it to a file instead")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="results/<scale>/config.json")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--seed", type=int, required=True)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, required=True, help="results/<scale>")
    parser.add_argument("--out", type=Path, required=True)
