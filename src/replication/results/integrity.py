"""Checks whether files have changed since their stamps were written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from replication.errors import ResultError
from replication.files import read_json, sha256
from replication.paths import PUBLISHED
from replication.provenance.stamp import SUFFIX, load
from replication.results.inventory import BENCHMARKS, PLANNED
from replication.scales import digest_on_disk

#: Files that may have no stamp of their own.  The stamp of the table of quantities holds their checksums.
WITHOUT = ("config.json", "referee.json", PLANNED, BENCHMARKS)


class Records:
    """The files of results/<scale>, which are compared with the stamps beside them."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self._settings = read_json(results / "config.json")
        self._checked = cache(self._check)

    def altered(self, paths: Iterable[str]) -> list[str]:
        """Return what is wrong with the files at ``paths`` (relative to the results) and with those of the same jobs.

        A stamp names all files of its job.  Files that are present must match.  Readers report missing files.
        """
        inside = [path for path in paths if path not in PUBLISHED and self._stamped(path)]
        found = [problem for path in inside for problem in self._checked(self.results / path)]
        return list(dict.fromkeys(found))

    def _stamped(self, path: str) -> bool:
        """Tell whether a file must have a stamp, or has one: the referee's answer has none in a bank."""
        return Path(path).name not in WITHOUT or (self.results / path).with_suffix(SUFFIX).is_file()

    def _check(self, path: Path) -> list[str]:
        if not path.is_file():
            return []
        for stamp in sorted(path.parent.glob(f"*{SUFFIX}")):
            try:
                content = load(stamp)
            except ResultError as error:
                return [str(error)]
            settings = content["config_sha256"]
            outputs = {Path(output).name: found for output, found in content["outputs"].items()}
            if path.name in outputs:
                made = [self._checked_file(path.parent / name, found, stamp) for name, found in outputs.items()]
                return [*filter(None, made), *self._configuration(stamp, settings)]
        return [f"{path}: no stamp says where it comes from; run the pipeline again"]

    def _checked_file(self, path: Path, found: str, stamp: Path) -> str | None:
        if not path.is_file() or sha256(path) == found:
            return None
        return f"{path}: not the file that {stamp.name} describes; delete it and run the pipeline again"

    def _configuration(self, stamp: Path, settings: Any) -> list[str]:
        """Return a problem if a run was made with other settings than the scale's configuration gives its arm."""
        if stamp.name != f"run{SUFFIX}":
            return []
        experiment, arm = stamp.parts[-4:-2]
        if settings == digest_on_disk(self._settings, experiment, arm):
            return []
        return [f"{self.results / 'config.json'}: not the settings that {stamp.parent} was made with"]
