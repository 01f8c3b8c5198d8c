"""Draws the data set of an experiment for a seed, and writes it to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replication import files, scales, tasks
from replication.config import Config
from replication.provenance import stamp
from replication.seeds import numpy_stream
from scpo.errors import ConfigurationError


def main(config: Config, experiment: str, dataset: str, seed: int, out: Path) -> None:
    """Write data set ``dataset`` of ``experiment`` for ``seed`` to ``out`` (npz), and its stamp beside it.

    Args:
        config: the configuration of the scale.
        experiment: name of the experiment.
        dataset: name of the data set.
        seed: seed of the runs that train on it.
        out: the file to write.

    Raises:
        ConfigurationError: there is no such experiment or data set.
    """
    config = scales.for_dataset(config, experiment, dataset)
    files.write_npz(out, **generate_data(config, experiment, dataset, seed))
    stamp.write(
        out.with_suffix(".stamp.json"),
        module=[__name__, tasks.MODULES[experiment]],
        config_sha256=scales.digest(config),
        seeds={"data": seed},
        inputs=[],
        outputs=[out],
    )


def generate_data(config: Config, experiment: str, dataset: str, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return data set ``dataset`` of ``experiment`` for ``seed``, the same for every method.

    Raises:
        ConfigurationError: there is no such experiment or data set.
    """
    settings = config.section(experiment)
    if dataset not in settings.datasets:
        raise ConfigurationError(
            f"{experiment}: no data set {dataset!r}; there are {', '.join(sorted(settings.datasets))}"
        )
    rng = numpy_stream(config.base_seed, f"{experiment}/data", seed)
    drawn: dict[str, NDArray[np.generic]] = tasks.module_of(experiment).generate_data(settings, dataset, rng)
    return drawn
