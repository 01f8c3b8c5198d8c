"""Generate the data set of one task and seed, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replication import files, tasks
from replication.config import Config, load_json
from replication.provenance import stamp as provenance
from replication.seeds import numpy_stream
from scpo.errors import ConfigurationError


def main(config: Path, task: str, dataset: str, seed: int, out: Path) -> None:
    """Write data set ``dataset`` of ``task`` for ``seed`` to ``out`` (npz), and its sidecar beside it."""
    settings = load_json(config)
    files.write_npz(out, **generate_data(settings, task, dataset, seed))
    provenance.write(
        out.with_suffix(".provenance.json"),
        module=[__name__, tasks.MODULES[task]],
        config_sha256=files.sha256(config),
        seeds={"data": seed},
        inputs=[config],
        outputs=[out],
    )


def generate_data(config: Config, task: str, dataset: str, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return data set ``dataset`` of ``task`` for ``seed``, the same for every method.

    Raises:
        ConfigurationError: there is no such task or data set.
    """
    settings = config.section(task)
    if dataset not in settings.datasets:
        raise ConfigurationError(f"{task}: no data set {dataset!r}; there are {', '.join(sorted(settings.datasets))}")
    rng = numpy_stream(config.base_seed, f"{task}/data", seed)
    drawn: dict[str, NDArray[np.generic]] = tasks.module_of(task).generate_data(settings, dataset, rng)
    return drawn
