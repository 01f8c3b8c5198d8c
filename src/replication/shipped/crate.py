"""Describes the archive as an RO-Crate: its content, and the workflow run that made the results.

Profiles: Workflow RO-Crate (the library states it) and Workflow Run Crate 0.5, see https://www.researchobject.org/workflow-run-crate/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from replication.documents import ShippedManifest

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
}
NAME = "ro-crate-metadata.json"
PAPER = "https://arxiv.org/abs/2512.13788"
LICENCE = "https://spdx.org/licenses/MIT"


def describe(
    *,
    name: str,
    version: str,
    published: datetime,
    manifest: ShippedManifest,
    commits: Sequence[str],
    seconds: float,
    folders: Mapping[str, str],
    results: Mapping[str, str],
) -> str:
    """Return the text of ro-crate-metadata.json.

    Args:
        name: the name of the archive.
        version: the version of the package.
        published: date of publication.
        manifest: the manifest of the shipped results.
        commits: the commits that the runs were made with.
        seconds: processor time of the runs.
        folders: folders of sources -> their content; each name ends with "/".
        results: files and folders that the workflow run made -> their content.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    def context(identifier: str, kind: str, properties: Mapping[str, Any]) -> Any:
        return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))

    def part(path: str, description: str) -> Any:
        add = crate.add_dataset if path.endswith("/") else crate.add_file
        return add(dest_path=path, properties={"name": path, "description": description})

    crate = ROCrate()
    crate.name, crate.license, crate.datePublished = name, LICENCE, published
    crate.description = "A replication of SCPO: sources, workflow, shipped results, report and claims."
    profiles = [context(url, "CreativeWork", {"name": title}) for url, title in PROFILES.items()]
    crate.root_dataset["conformsTo"] = profiles
    crate.root_dataset["version"] = version
    crate.root_dataset["author"] = context("#authors", "Organization", {"name": "The SCPO replication authors"})
    crate.root_dataset["isBasedOn"] = context(PAPER, "ScholarlyArticle", {"name": "The paper that is replicated"})
    workflow = crate.add_workflow(dest_path="Snakefile", main=True, lang="snakemake")
    workflow["version"] = ", ".join(sorted(commits))
    workflow["softwareRequirements"] = [
        context(f"#{package}", "SoftwareApplication", {"name": package, "softwareVersion": found})
        for package, found in sorted(manifest.versions.items())
    ]
    used = [part(path, text) for path, text in folders.items()]
    config = part(f"config/{manifest.scale}.yaml", "the scale that was run")
    made = [part(path, text) for path, text in results.items()]
    properties = {
        "name": f"The run of scale {manifest.scale} that the shipped results are taken from",
        "description": f"{manifest.made_by}; the training runs took {seconds / 3600:.2f} processor hours",
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    action = crate.add_action(workflow, "#run", object=[config, *used], result=made, properties=properties)
    crate.root_dataset["mentions"] = action
    return json.dumps(crate.metadata.generate(), indent=2, sort_keys=True) + "\n"


def parts(content: str) -> Sequence[str]:
    """Return the paths that a description lists as parts of the archive."""
    graph = json.loads(content)["@graph"]
    root = next(entity for entity in graph if entity["@id"] == "./")
    return [entity["@id"] for entity in root["hasPart"]]
