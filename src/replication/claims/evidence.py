"""The evidence of the claims: which files it is, whether they are what their stamps say, and the values to judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from replication.claims.claims import Claim
from replication.errors import ResultError
from replication.paths import PUBLISHED, REPOSITORY
from replication.results.integrity import Records
from replication.results.inventory import BENCHMARKS
from replication.results.quantities import Table
from replication.results.read import read_config

#: How the reason of a claim begins that cannot be decided because of its files.
ALTERED, MISSING = "altered evidence", "missing evidence"
#: Evidence beside the runs -> its file, relative to the results.
OTHERS = {
    "references": "double-integrator/references.json",
    "referee": "referee.json",
    "falsification": "falsification.json",
    "benchmarks": f"../{BENCHMARKS}",
}


def grouped(paths: Sequence[str]) -> list[str]:
    """Return the files as lines of text; files that differ only in the seed share a line."""
    seeds: dict[str, list[int]] = {}
    for path in paths:
        seed = re.search(r"/seed-(\d+)/", path)
        seeds.setdefault(re.sub(r"/seed-\d+/", "/seed-<n>/", path), []).extend(map(int, seed.groups() if seed else ()))
    return [f"{path}, n = {ranges(sorted(of))}" if of else path for path, of in seeds.items()]


def ranges(seeds: Sequence[int]) -> str:
    """Return the seeds as text: a range such as "0 to 9" if they are consecutive, else a list."""
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


class Evidence:
    """The evidence in results/<scale> and the table of quantities that was computed from it."""

    def __init__(self, results: Path, table: Table) -> None:
        self.results = results
        self.table = table
        self.config = read_config(results)
        self._records = Records(results)

    def files(self, claim: Claim) -> list[str]:
        """Return the files that hold a claim's evidence, relative to the results or of the repository, sorted.

        Raises:
            ResultError: the scale does not run an arm, or makes no certificates.
        """
        needs, others = claim.needs, claim.needs.others
        found = [f"{arm}/seed-{seed}/run.json" for arm in (*needs.arms, *needs.baselines) for seed in self.seeds(arm)]
        if "certificates" in others:
            count = self._certified()
            found += [f"{arm}/seed-{seed}/certificate.json" for arm in needs.arms for seed in self.seeds(arm)[:count]]
        found += [path for name, path in OTHERS.items() if name in others]
        return sorted({*found, *(PUBLISHED if "published" in others else ())})

    def problem(self, paths: Sequence[str]) -> str | None:
        """Return what is wrong with the files at ``paths``, the first problem only, or None."""
        for path in paths:
            place = REPOSITORY / path if path in PUBLISHED else self.results / path
            if not place.is_file():
                if place.name == BENCHMARKS:
                    return f"{BENCHMARKS}: no such file; run make bench"
                return f"{MISSING}: {path}: no such file; run the pipeline again"
        altered = self._records.altered(paths)
        return f"{ALTERED}: {altered[0]}" if altered else None

    def seeds(self, name: str) -> range:
        """Return the seeds that the scale's configuration gives the arm ``name`` (experiment/arm).

        Raises:
            ResultError: the scale does not run the arm.
        """
        experiment, arm = name.split("/")
        settings = self.config.experiments.get(experiment)
        if settings is None or arm not in settings.arms:
            raise ResultError(f"{self.results / 'config.json'}: the scale does not run {name}")
        return settings.arms[arm].seed_range

    def values(self, claim: Claim) -> dict[str, pd.Series[float]]:
        """Return the values that a claim is judged on, arm by arm, indexed by seed; without arms under "".

        Raises:
            ResultError: a value is missing, or a run and its baseline have no seed in common.
        """
        needs = claim.needs
        if not needs.arms:
            return {"": self.table.values("", "", claim.quantity)}
        if needs.baselines:
            pairs = zip(needs.arms, needs.baselines, strict=True)
            return {arm: self._differences(arm, baseline, claim.quantity) for arm, baseline in pairs}
        return {arm: self._values(arm, claim.quantity) for arm in needs.arms}

    def updates(self, name: str) -> pd.Series[float]:
        """Return the number of updates of each run of the arm ``name`` that could go to its end, indexed by seed."""
        updates = self._values(name, "updates")
        return updates[self._values(name, "failed") == 0.0]

    def _values(self, name: str, quantity: str) -> pd.Series[float]:
        experiment, arm = name.split("/")
        return self.table.values(experiment, arm, quantity)

    def _differences(self, name: str, baseline: str, quantity: str) -> pd.Series[float]:
        (experiment, arm), (_, other) = name.split("/"), baseline.split("/")
        return self.table.paired(experiment, arm, other, quantity)

    def _certified(self) -> int:
        section = self.config.double_integrator
        if section is None or section.certificate is None:
            raise ResultError(f"{self.results / 'config.json'}: the scale makes no certificates")
        return section.certificate.seeds
