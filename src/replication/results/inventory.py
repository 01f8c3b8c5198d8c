"""The files of results/<profile> that report, claims and notebooks read: names alone, quickly imported."""

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
#: Of a run, beside the exhibits of its task.
RUN = ("run.json", "series.parquet", "evaluations.parquet")
CERTIFICATE = ("certificate.json", "certificate.npz")
STATIONARITY = "regression/stationarity.json"
REFERENCES = ("references.json", "references.npz")
#: Of the profile as a whole.
WHOLE = ("config.json", "referee.json", "falsification.json")


def run_files(task: str) -> list[str]:
    """Return the names of a run's files that report, claims and notebooks read."""
    return [*RUN, *(f"{name}.parquet" for name in EXHIBITS.get(task, {}))]


def files_of(config: Config) -> list[str]:
    """Return the files that report, claims and notebooks read, relative to results/<profile>."""
    found = list(WHOLE)
    for task, settings in config.tasks.items():
        for arm, chosen in settings.arms.items():
            for seed in chosen.seed_range:
                found += [f"{task}/{arm}/seed-{seed}/{name}" for name in run_files(task)]
    if config.regression is not None:
        found.append(STATIONARITY)
    if (section := config.double_integrator) is not None:
        task = "double-integrator"
        found += [f"{task}/{name}" for name in REFERENCES]
        if section.certificate is not None:
            for arm, chosen in section.arms.items():
                for seed in chosen.seed_range[: section.certificate.seeds]:
                    found += [f"{task}/{arm}/seed-{seed}/{name}" for name in CERTIFICATE]
    return sorted(found)
