"""Makes shipped results of a bank: the files of the scale as a whole, beside the shards with its runs.

A bank need not be complete.  The configuration that ships names the seeds that it holds, from the first on, and
``planned.json`` the number that the study planned.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from replication import documents, files, scales
from replication.bank import Bank, Key
from replication.config import Config, dump
from replication.documents import PlannedSeeds, Refereed, RefereedArm
from replication.errors import ResultError
from replication.experiments import policies, policies_of
from replication.provenance import stamp
from replication.results.inventory import BENCHMARKS, CERTIFICATE, PLANNED, REFERENCES, STATIONARITY
from replication.shipped.ship import restored_path
from replication.study import given
from replication.training import datasets
from scpo.arrays import Array

FALSIFICATION = "falsification.json"


def main(scale_file: Path, results: Path, folder: Path, referee: Path) -> None:
    """Write the files of the whole scale to the bank in ``folder``, so that a report can be made of it.

    Args:
        scale_file: config/<scale>.yaml.
        results: results/<scale>; the banked runs are restored there.
        folder: the bank.
        referee: the referee's script.  Faults are planted for it, and it judges what the runs were given.

    Raises:
        ResultError: the bank holds no run of the scale, one of its files is damaged, or the referee disagrees.
    """
    config, bank = scales.load_scale(scale_file), Bank(folder)
    held = held_of(config, bank)
    files.write_text(results / "config.json", dump(held))
    runs = {
        name: [Key(name, arm, seed) for arm, chosen in section.arms.items() for seed in chosen.seed_range]
        for name, section in held.experiments.items()
    }
    for key in (key for keys in runs.values() for key in keys):
        bank.restore(key, results / key.folder)
    names = ["config.json", PLANNED, "referee.json"]
    planned = {
        f"{name}/{arm}": one.seeds for name, part in config.experiments.items() for arm, one in part.arms.items()
    }
    documents.write(results / PLANNED, PlannedSeeds, {"seeds": planned})
    judged = [documents.read(results / key.folder / "referee.json", Refereed) for keys in runs.values() for key in keys]
    documents.write(results / "referee.json", Refereed, joined(judged))
    names += _of_the_whole(held, results, referee)
    given.judge(held, results, [key for keys in runs.values() for key in keys], referee)
    for experiment, keys in runs.items():
        names += [*_policies(results, experiment, keys), *_stamps(results, keys, set(bank.names()))]
    measured = restored_path(results, BENCHMARKS)
    if not measured.is_file() and (folder / BENCHMARKS).is_file():  # not measured on this machine
        files.write_bytes(measured, (folder / BENCHMARKS).read_bytes())
    if measured.is_file():
        names.append(BENCHMARKS)
    for name in names:
        files.write_bytes(folder / name, restored_path(results, name).read_bytes())
    bank.beside = {
        "scale": config.scale,
        "made_by": f"replicate publish --results {results.as_posix()}",
        "versions": stamp.versions(),
        "files": {name: files.sha256(folder / name) for name in sorted(names)},
    }
    bank.save()


def held_of(config: Config, bank: Bank) -> Config:
    """Return the configuration with those seeds of each arm that the bank holds, from the first on without a gap.

    Raises:
        ResultError: it holds none.
    """
    raw: dict[str, Any] = config.model_dump(mode="json")
    for experiment, section in config.experiments.items():
        arms: dict[str, Any] = raw[experiment.replace("-", "_")]["arms"]
        for arm, chosen in section.arms.items():
            digest = scales.digest(scales.for_arm(config, experiment, arm))
            seeds = list(chosen.seed_range)
            missing = [index for index, seed in enumerate(seeds) if not bank.holds(Key(experiment, arm, seed), digest)]
            arms[arm]["seeds"] = missing[0] if missing else len(seeds)
            if missing and missing[0] == 0:
                del arms[arm]
        if not arms:
            raw[experiment.replace("-", "_")] = None
    held = Config.model_validate(raw)
    if not held.experiments:
        raise ResultError(f"{bank.folder}: holds no run with the settings of scale {config.scale}")
    return held


def joined(judged: Iterable[Refereed]) -> dict[str, Any]:
    """Return what the referee said of each run, added up by arm, as the content of a referee.json.

    Raises:
        ResultError: it judged by different tolerances.
    """
    found = list(judged)
    if len(rules := {(one.tolerance, one.every) for one in found}) != 1:
        raise ResultError(f"the referee judged the runs by different rules: {sorted(rules)}")
    arms: dict[tuple[str, str], list[RefereedArm]] = {}
    for arm in (arm for one in found for arm in one.arms):
        arms.setdefault((arm.experiment, arm.arm), []).append(arm)
    added, largest = ("runs", "iterates", "values", "recorded", "recomputed"), ("worst_g", "worst_other")
    return {
        "tolerance": found[0].tolerance,
        "every": found[0].every,
        "arms": [
            {"experiment": experiment, "arm": arm}
            | {name: sum(one[name] for one in each) for name in added}
            | {name: max(one[name] for one in each) for name in largest}
            | {"unsafe": [one.model_dump() for judged_arm in each for one in judged_arm.unsafe]}
            for (experiment, arm), each in sorted(arms.items())
        ],
    }


def _of_the_whole(config: Config, results: Path, referee: Path) -> list[str]:
    """Make what the report reads beside the runs, and return the names of the files."""
    from replication.experiments.double_integrator import references
    from replication.experiments.regression import stationarity
    from replication.planted_faults import run

    run.main(referee, results / FALSIFICATION)
    names = [FALSIFICATION]
    if config.regression is not None:
        for arm in config.regression.arms.values():
            for seed in arm.seed_range if arm.method == "scpo" else ():
                data = results / "regression" / "data" / arm.dataset / f"seed-{seed}.npz"
                if not data.with_suffix(stamp.SUFFIX).exists():
                    datasets.main(config, "regression", arm.dataset, seed, data)
        stationarity.main(results, results / STATIONARITY)
        names.append(STATIONARITY)
    if config.double_integrator is not None:
        references.main(results / "config.json", results / "double-integrator" / REFERENCES[0])
        names += [f"double-integrator/{name}" for name in REFERENCES]
    stamped = [Path(name).with_suffix(stamp.SUFFIX).as_posix() for name in names]
    return [*names, *dict.fromkeys(stamped)]


def _stamps(results: Path, keys: Iterable[Key], banked: Container[str]) -> list[str]:
    """Write the stamps of certificates that are not among the ``banked`` files, and return the names of the stamps."""
    names = []
    for key in keys:
        made = [results / key.folder / name for name in CERTIFICATE]
        stamped = made[0].with_suffix(stamp.SUFFIX)
        if made[0].is_file() and stamped.relative_to(results).as_posix() not in banked:
            stamp.write(
                stamped,
                module=__name__,
                config_sha256=files.sha256(results / "config.json"),
                seeds={},
                inputs=[results / key.folder / "final.safetensors"],
                outputs=made,
            )
            names.append(stamped.relative_to(results).as_posix())
    return names


def _policies(results: Path, experiment: str, keys: Iterable[Key]) -> list[str]:
    """Join the policies that runs kept, and return the names of the files."""
    arrays: dict[str, Array] = {}
    parts = [(key, path) for key in keys if (path := results / key.folder / "policies.npz").is_file()]
    for key, path in parts:
        arrays |= {f"{key.arm}/{key.seed}/{name}": array for name, array in files.read_npz(path).items()}
    if not parts:
        return []
    (name,) = policies_of([experiment])
    files.write_npz(results / name, **arrays)
    stamp.write(
        (results / name).with_suffix(stamp.SUFFIX),
        module=policies.__name__,
        config_sha256=files.sha256(results / "config.json"),
        seeds={},
        inputs=[path for _, path in parts],
        outputs=[results / name],
    )
    return [name, Path(name).with_suffix(stamp.SUFFIX).as_posix()]
