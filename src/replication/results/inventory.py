"""Names of the files in results/<scale> that the report, the claims and the notebooks read.

The workflow plans with these names, so this module imports no pandas.
"""

from __future__ import annotations

from replication.config import Config
from replication.tasks import tables_of

#: Files of a run, beside the exhibits of its experiment.
RUN = ("run.json", "series.parquet", "evaluations.parquet")
CERTIFICATE = ("certificate.json", "certificate.npz")
STATIONARITY = "regression/stationarity.json"
REFERENCES = ("references.json", "references.npz")
#: The file that ``make bench`` writes, beside the folders of the scales.
BENCHMARKS = "benchmarks.json"
#: Part of a study: experiment/arm -> the number of seeds that the study planned.
PLANNED = "planned.json"
#: Files of the scale as a whole.
WHOLE = ("config.json", "referee.json", "falsification.json")


def run_files(experiment: str) -> list[str]:
    """Return the names of a run's files that report, claims and notebooks read."""
    return [*RUN, *(f"{name}.parquet" for name in tables_of(experiment).exhibits)]


def files_of(config: Config) -> list[str]:
    """Return the files that report, claims and notebooks read, relative to results/<scale>."""
    found = list(WHOLE)
    for experiment, settings in config.experiments.items():
        for arm, chosen in settings.arms.items():
            for seed in chosen.seed_range:
                found += [f"{experiment}/{arm}/seed-{seed}/{name}" for name in run_files(experiment)]
    if config.regression is not None:
        found.append(STATIONARITY)
    if (section := config.double_integrator) is not None:
        experiment = "double-integrator"
        found += [f"{experiment}/{name}" for name in REFERENCES]
        if section.certificate is not None:
            for arm, chosen in section.arms.items():
                for seed in chosen.seed_range[: section.certificate.seeds]:
                    found += [f"{experiment}/{arm}/seed-{seed}/{name}" for name in CERTIFICATE]
    return sorted(found)
