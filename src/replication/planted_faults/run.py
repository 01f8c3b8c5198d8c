"""Plants all faults, one after another, and writes the findings.  A fault that is not caught is an error."""

from __future__ import annotations

import hashlib
from pathlib import Path

from replication import documents, files, tasks
from replication.config import dump
from replication.documents import PlantedFault
from replication.errors import FalsificationError
from replication.planted_faults import certificates, method, records
from replication.provenance import stamp
from replication.training import process


def findings(referee: Path) -> list[PlantedFault]:
    """Return every finding, in the order of the report's table.

    Args:
        referee: path of the referee's script.
    """
    return [
        method.constants_too_small(),
        method.look_removed(),
        method.biased_probes(),
        method.unsafe_start(),
        method.noisy_constraint(),
        method.nonconvex_region(),
        method.failing_solvers(),
        certificates.unsafe_pocket(),
        certificates.limit_cycle(),
        *records.altered_files(referee),
    ]


def main(referee: Path, out: Path) -> None:
    """Plant every fault and write the findings to ``out``, with a stamp beside it.

    Raises:
        ResultError: the referee's script is missing, or a file cannot be written.
        FalsificationError: a planted fault was not caught; nothing is written.
    """
    process.prepare()
    digest = files.sha256(referee)
    found = findings(referee)
    missed = [finding for finding in found if not finding.caught]
    if missed:
        lines = [f"{len(missed)} of {len(found)} planted faults were not caught:"]
        lines += [f"  {f.name}: planted {f.planted}; expected {f.expected}; observed {f.observed}" for f in missed]
        raise FalsificationError("\n".join(lines))
    content = {"findings": [finding.model_dump() for finding in found], "referee_sha256": digest}
    documents.write(out, documents.PlantedFaults, content)
    stamp.write(
        out.with_suffix(".stamp.json"),
        module=[__name__, tasks.MODULES[records.EXPERIMENT]],
        config_sha256=hashlib.sha256(dump(records.CONFIG).encode()).hexdigest(),
        seeds={"first": 0, "count": method.SEEDS},
        inputs=[referee],
        outputs=[out],
    )
