"""The saved policies of some runs, in files that are small enough to ship: the explorer shows them and runs them.

A run saves its policy at every held-out evaluation.  The weights of all runs together are too large for the repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from replication import files
from replication.experiments import POLICIES, modules
from replication.provenance import stamp
from replication.results.read import read_section
from replication.settings import ExperimentSettings
from scpo.arrays import Array
from scpo.errors import ConfigurationError

#: Seeds of each arm, from the first on, whose policies are kept.
SEEDS = 3


def main(results: Path, experiment: str, out: Path) -> None:
    """Write the saved policies of an experiment's runs to ``out`` (npz), with a stamp beside it.

    An array has the name arm/seed/name; the experiment's module gives the last part.

    Raises:
        ConfigurationError: the experiment keeps no policies, or the scale does not run it.
        ResultError: the weights of a run are missing, damaged or not those of its policy.
    """
    from replication.training import process  # here, since it imports torch, which readers do not need

    process.prepare()
    settings = read_section(results, experiment)
    arrays: dict[str, Array] = {}
    weights: list[Path] = []
    for arm, seed in chosen(settings, experiment):
        weights.append(results / experiment / arm / f"seed-{seed}" / "weights.npz")
        saved = of_run(settings, experiment, arm, weights[-1])
        arrays |= {f"{arm}/{seed}/{name}": array for name, array in saved.items()}
    files.write_npz(out, **arrays)
    stamp.write(
        out.with_suffix(stamp.SUFFIX),
        module=__name__,
        config_sha256=files.sha256(results / "config.json"),
        seeds={},
        inputs=weights,
        outputs=[out],
    )


def chosen(settings: ExperimentSettings, experiment: str) -> list[tuple[str, int]]:
    """Return arm and seed of the runs whose policies are kept."""
    if experiment not in modules("policies"):
        return []
    arms = _module(experiment).ARMS
    return [(arm, seed) for arm, one in settings.arms.items() if arm in arms for seed in one.seed_range[:SEEDS]]


def of_run(settings: ExperimentSettings, experiment: str, arm: str, weights: Path) -> dict[str, Array]:
    """Return the arrays to keep, by name, of the policies that a run saved in the file ``weights``.

    Raises:
        ResultError: the weights are missing, damaged or not those of the run's policy.
    """
    found: dict[str, Array] = _module(experiment).of_run(settings.for_arm(arm), files.read_npz(weights), weights)
    return found


def read(results: Path, experiment: str) -> dict[tuple[str, int], dict[str, Array]]:
    """Return the saved policies of an experiment: arm and seed -> arrays by name.

    Raises:
        ResultError: the file is missing or damaged.
    """
    return dict(_by_run(files.read_npz(results / experiment / POLICIES)))


def _by_run(arrays: dict[str, Array]) -> Iterator[tuple[tuple[str, int], dict[str, Array]]]:
    names = [name.split("/") for name in arrays]
    for arm, seed in dict.fromkeys((arm, seed) for arm, seed, _ in names):
        prefix = f"{arm}/{seed}/"
        yield (
            (arm, int(seed)),
            {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)},
        )


def _module(experiment: str) -> ModuleType:
    known = modules("policies")
    if experiment not in known:
        raise ConfigurationError(f"{experiment}: keeps no policies; {', '.join(sorted(known))} do")
    return import_module(known[experiment])
