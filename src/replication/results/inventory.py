"""The files of results/<scale> that report, claims and notebooks read: names alone, quickly imported."""

from __future__ import annotations

from replication.config import Config

FLOAT, INT, BOOL = "f", "i", "b"
#: Tables of a run that show its final policy, with the kinds of their columns.
EXHIBITS = {
    "regression": {"curve": {"x": FLOAT, "pi": FLOAT}},
    "double-integrator": {
        "trajectories": {"start": INT, "t": INT, "x1": FLOAT, "x2": FLOAT, "u": FLOAT, "psi": FLOAT},
        "surface": {"x1": FLOAT, "x2": FLOAT, "u": FLOAT},
    },
}
#: Of a run, beside the exhibits of its experiment.
RUN = ("run.json", "series.parquet", "evaluations.parquet")
CERTIFICATE = ("certificate.json", "certificate.npz")
STATIONARITY = "regression/stationarity.json"
REFERENCES = ("references.json", "references.npz")
#: Of the scale as a whole.
WHOLE = ("config.json", "referee.json", "falsification.json")


def run_files(experiment: str) -> list[str]:
    """Return the names of a run's files that report, claims and notebooks read."""
    return [*RUN, *(f"{name}.parquet" for name in EXHIBITS.get(experiment, {}))]


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
