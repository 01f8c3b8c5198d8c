"""Whether files are still those that their sidecars describe."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from replication.config import Config
from replication.files import read_json, sha256
from replication.paths import PUBLISHED
from replication.provenance.stamp import SUFFIX
from replication.results.summaries import BENCHMARKS
from replication.scales import digests, for_arm

#: Made without a sidecar of their own; the sidecar of the claims says what they were when these were decided.
WITHOUT = ("config.json", "referee.json", BENCHMARKS)


class Records:
    """What the sidecars under results/<profile> say of the files beside them."""

    def __init__(self, results: Path, config: Config) -> None:
        self.results = results
        self.config = config
        self._checked = cache(self._check)

    def altered(self, paths: Iterable[str]) -> list[str]:
        """Return what is wrong with the files at ``paths``, relative to the results, and with those made with them.

        A sidecar names all files of its job, and those that are there must match.
        """
        inside = [path for path in paths if path not in PUBLISHED and Path(path).name not in WITHOUT]
        found = [problem for path in inside for problem in self._checked(self.results / path)]
        return list(dict.fromkeys(found))

    def _check(self, path: Path) -> list[str]:
        if not path.is_file():
            return []  # missing, which is for its reader to say
        for sidecar in sorted(path.parent.glob(f"*{SUFFIX}")):
            content = read_json(sidecar)
            outputs = {Path(output).name: found for output, found in content["outputs"].items()}
            if path.name in outputs:
                made = [self._checked_file(path.parent / name, found, sidecar) for name, found in outputs.items()]
                return [*filter(None, made), *self._configuration(sidecar, content)]
        return [f"{path}: no sidecar says where it comes from"]

    def _checked_file(self, path: Path, found: str, sidecar: Path) -> str | None:
        if not path.is_file() or sha256(path) == found:
            return None
        return f"{path}: not the file that {sidecar.name} describes"

    def _configuration(self, sidecar: Path, content: dict[str, Any]) -> list[str]:
        """A run must have been made with the settings that the profile's configuration gives its arm."""
        if sidecar.name != f"run{SUFFIX}":
            return []
        task, arm = sidecar.parts[-4:-2]
        if content["config_sha256"] in digests(for_arm(self.config, task, arm)):
            return []
        return [f"{self.results / 'config.json'}: not the settings that {sidecar.parent} was made with"]
