"""Commands that run the stages of the workflow up to the notebooks."""

from __future__ import annotations

import sys
from pathlib import Path

from replication.cli.app import REFEREE, Jobs, Planned, Referee, Replace, Results, Scale, Texts, app


@app.command
def config(scale: Scale, *, out: Path) -> None:
    """Write the configuration of a scale as canonical JSON.

    Args:
        out: The JSON file.
    """
    from replication.config import dump
    from replication.files import write_text

    write_text(out, dump(scale.load()))


@app.command
def estimate(
    scale: Scale,
    *,
    jobs: Jobs = 1,
    results: Path | None = None,
    bank: Path | None = None,
) -> None:
    """Estimate how long a scale will take, by timing a few updates of each arm now.

    Args:
        results: results/<scale>; runs that are finished there are left out.
        bank: shipped/results/<scale>; runs that it holds are left out, and so are all jobs after the runs.
    """
    from replication import budget

    sys.stdout.write(budget.estimate(scale.load(jobs), jobs, results, bank=bank))


@app.command
def dataset(
    scale: Scale,
    *,
    experiment: str,
    dataset: str,
    seed: int,
    out: Path,
    planned: Planned = None,
) -> None:
    """Draw one data set of an experiment.

    Args:
        experiment: Name of the experiment.
        dataset: Name of the data set.
        seed: Seed of the runs that train on it.
        out: The data set, an .npz file.
    """
    from replication import scales
    from replication.training import datasets

    config = scale.load()
    scales.require_digest(scales.for_dataset(config, experiment, dataset), planned)
    datasets.main(config, experiment, dataset, seed, out)


@app.command
def train(
    scale: Scale,
    *,
    experiment: str,
    arm: str,
    seed: int,
    data: Path,
    out: Path,
    checkpoint: Path | None = None,
    planned: Planned = None,
) -> None:
    """Train one arm of an experiment with one seed.

    Args:
        experiment: Name of the experiment.
        arm: Name of the arm.
        seed: Seed of the run.
        data: The data set, made by `replicate dataset`.
        out: Folder of the run's records.
        checkpoint: Folder that lets an interrupted run continue.
    """
    from replication import scales
    from replication.training.train import run_from_files

    config = scale.load()
    scales.require_digest(scales.for_arm(config, experiment, arm), planned)
    run_from_files(config, experiment, arm, seed, data, out, checkpoint)


@app.command
def race(
    scale: Scale,
    *,
    results: Results,
    jobs: Jobs = 1,
    bank: Path | None = None,
    replace: Replace = None,
) -> None:
    """Run a scale seed by seed and print its table.  An arm with an unsafe iterate gets no further seeds.

    Args:
        bank: shipped/<scale>, which keeps the counts of finished runs; runs that it holds are not run again.
    """
    from replication.study import race

    part = race.Part(replace=tuple(replace or ()))
    race.main(scale.scale_file, scale.changes or [], results, jobs, bank, racing=True, part=part)
    arms(scale, results=results, bank=bank)


@app.command
def study(
    scale: Scale,
    *,
    results: Results,
    bank: Path,
    jobs: Jobs = 1,
    arms: Texts = None,
    seeds: int | None = None,
    replace: Replace = None,
) -> None:
    """Run the unfinished runs of a study, seed by seed, and collect the finished ones in its bank.

    Args:
        bank: shipped/results/<scale>; runs that it holds with the same settings are not run again.
        arms: Run these alone now, as regression/scpo; by default all arms.
        seeds: Run so many seeds of each arm alone now, from its first on; by default all seeds.
    """
    from replication.study import race

    part = race.Part(tuple(arms or ()), seeds, tuple(replace or ()))
    race.main(scale.scale_file, scale.changes or [], results, jobs, bank, part=part)


@app.command
def bank(scale: Scale, *, results: Results, out: Path, replace: Replace = None) -> None:
    """Collect the finished runs of a study in its bank, and print how many of the planned runs it holds.

    Args:
        out: The bank, shipped/results/<scale>.
    """
    from replication.bank import Bank, runs_of

    wanted, found = runs_of(scale.load()), Bank(out)
    new = found.collect(results, wanted, replace or ())
    held = sum(found.holds(key, digest) for key, digest in wanted.items())
    print(f"{out}: {held} of {len(wanted)} runs, {len(new)} of them new")


@app.command
def arms(scale: Scale, *, results: Results, bank: Path | None = None) -> None:
    """Print a table of the arms of a scale, made from the finished runs.

    Args:
        bank: shipped/results/<scale>; its runs are included.
    """
    from replication.experiments import arms as table

    sys.stdout.write(table.text(scale.load(), results, bank))


@app.command
def status() -> None:
    """Print what the run of the pipeline in this folder is doing: what is done, running and waiting, and the time left.

    The terminal of the run shows the same.  For a run that has ended, this prints how it ended.
    """
    from replication.progress import status

    status.show()


@app.command
def references(*, config: Path, out: Path) -> None:
    """Compute the costs and sets that the double integrator's runs are compared with.

    Args:
        config: results/<scale>/config.json.
        out: The .json file; arrays are written beside it.
    """
    from replication.experiments.double_integrator import references

    references.main(config, out)


@app.command
def certify(*, run: Path, cells: int, cells_over_training: int, iterates: int, rho: float, out: Path) -> None:
    """Certify the safety of the policies of a double-integrator run.

    Args:
        run: Folder of the run's records.
        cells: Cells along each axis, for the final policy.
        cells_over_training: Cells along each axis, for policies saved during training.
        iterates: How many policies saved during training are certified.
        rho: Scale of the set of starts, rho O_inf.
        out: The .json file; the cells are written beside it.
    """
    from replication.experiments.double_integrator import certificates

    certificates.main(run, out, cells=cells, cells_over_training=cells_over_training, iterates=iterates, rho=rho)


@app.command
def stationarity(*, results: Results, out: Path) -> None:
    """Measure how far the regression's final policies are from a constrained optimum.

    Args:
        out: The .json file.
    """
    from replication.experiments.regression import stationarity

    stationarity.main(results, out)


@app.command
def policies(*, results: Results, experiment: str, out: Path) -> None:
    """Write the saved policies of some runs of an experiment to one file, small enough to ship.

    Args:
        experiment: Name of the experiment.
        out: The .npz file.
    """
    from replication.experiments import policies

    policies.main(results, experiment, out)


@app.command
def referee(*, script: Path = Path("workflow/scripts/referee.py"), results: Results, out: Path) -> int:
    """Run the referee, a script that shares no code with this package, and stamp what it found.

    Status 1 if it disagrees with a record or cannot judge one.

    Args:
        script: The referee.
        out: The .json file.
    """
    from replication.provenance import referee

    return referee.run(script, results, out)


@app.command
def plant_faults(*, referee: Referee = REFEREE, out: Path) -> None:
    """Plant faults on purpose, and fail if the checks miss one of them.

    Args:
        out: The .json file.
    """
    from replication.planted_faults import run

    run.main(referee, out)


@app.command
def notebook(*, template: Path, results: Results, out: Path, html: Path, log: Path) -> None:
    """Execute a notebook; write the executed copy and an HTML page.

    Args:
        template: The notebook.
        results: results/<scale>, the value of the notebook's parameter `results`.
        out: The executed copy.
        html: The HTML page.
        log: Where the notebook is executed; this copy stays if a cell fails.
    """
    # jsonschema, which notebooks load, would spend two seconds on a grammar of addresses that they are not held against
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from replication import notebook

    notebook.execute(template, out, html, log, {"results": str(results)})
