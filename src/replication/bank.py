"""The bank of a long study: finished runs, collected into a few small files that are committed.

A bank is a folder.  ``manifest.json`` lists its shards.  A shard is a Parquet file with the files of up to
:data:`BLOCK` seeds of one arm, bit for bit as the runs wrote them, stamps included: columns seed, name, content.  Files
that grow with the length of a run are left out: the record of each update, and the iterates on the way.

Beside the shards a bank may hold plain files that were made of all runs, as the shipped results of other scales do.

The settings of a banked run have a digest (:func:`replication.scales.for_arm`).  A run that the bank holds with the
present settings is finished: nothing trains it again.  A shard holds runs of one setting.  New runs of other settings
are refused, unless their arm is to be replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replication import documents, files, scales
from replication.config import Config
from replication.documents import Manifest, RunSummary, Shard, Stamp
from replication.errors import ResultError
from replication.provenance import stamp
from replication.tasks import tables_of

MANIFEST = files.LISTED
#: Seeds of a shard: those with the same quotient by this number.
BLOCK = 25
#: Files of a run that are kept, beside the tables from which its final policy is drawn.
KEPT = ("run.json", "run.stamp.json", "run.timing.json", "series.parquet", "evaluations.parquet", "final.safetensors")
#: The record of a run: what it counted, and what it was made with.
RECORD = ("run.json", "run.stamp.json")
#: The referee's file; it exists only if there was no disagreement, and is the last that is found out about a run.
JUDGED = "referee.json"
#: Files that are kept too, if the run has them: what was found out about it while all of its iterates were there.
FOUND_OUT = (JUDGED, "certificate.json", "certificate.npz", "certificate.stamp.json", "policies.npz")


@dataclass(frozen=True, order=True)
class Key:
    """A run: an arm of an experiment, and a seed."""

    experiment: str
    arm: str
    seed: int

    @property
    def folder(self) -> str:
        """The folder of the run, relative to results/<scale>."""
        return f"{self.experiment}/{self.arm}/seed-{self.seed}"

    @property
    def shard(self) -> str:
        """The shard of the run, relative to the bank."""
        first = self.seed // BLOCK * BLOCK
        return f"{self.experiment}/{self.arm}/seeds-{first}-{first + BLOCK - 1}.parquet"


class Bank:
    """The finished runs in a folder, which may not exist yet.

    Args:
        folder: the folder of the bank.
        records_only: keep only the counts of new runs (run.json), as for tuning runs, which no figure shows.

    Raises:
        ResultError: the manifest is damaged.
    """

    def __init__(self, folder: Path, *, records_only: bool = False) -> None:
        self.folder, self.records_only = folder, records_only
        path = folder / MANIFEST
        found = documents.read(path, Manifest) if path.is_file() else Manifest()
        self._shards = dict(found.shards)
        self.beside = dict(found.model_extra or {})  # what the manifest says of plain files

    def runs(self) -> list[Key]:
        """Return every run, in the order of experiment, arm and seed."""
        return sorted(Key(one.experiment, one.arm, seed) for one in self._shards.values() for seed in one.seeds)

    def names(self) -> list[str]:
        """Return the files of every run, relative to results/<scale>."""
        return sorted(
            f"{Key(one.experiment, one.arm, seed).folder}/{name}"
            for one in self._shards.values()
            for name, seeds in one.names.items()
            for seed in seeds
        )

    def holds(self, key: Key, settings: str) -> bool:
        """Return True if the bank holds the run, made with the settings that have the digest ``settings``."""
        one = self._shards.get(key.shard)
        return one is not None and key.seed in one.seeds and one.settings == settings

    def settings(self, key: Key) -> str:
        """Return the digest of the settings of a run that the bank holds."""
        return self._shards[key.shard].settings

    def read(self, experiment: str, arm: str) -> Iterator[tuple[Key, dict[str, bytes]]]:
        """Yield the runs of an arm in the order of their seeds, each with the contents of its files by name.

        Raises:
            ResultError: a shard is missing, altered or damaged.
        """
        own = [name for name, one in self._shards.items() if (one.experiment, one.arm) == (experiment, arm)]
        found: dict[int, dict[str, bytes]] = {}
        for name in own:
            found |= self._shard(name)
        for seed, contents in sorted(found.items()):
            yield Key(experiment, arm, seed), contents

    def summary(self, key: Key) -> RunSummary:
        """Return the counts of a run that the bank holds (its run.json).

        Raises:
            ResultError: its shard is altered or damaged.
        """
        content = self._shard(key.shard)[key.seed]["run.json"]
        return documents.parse(content, RunSummary, self.folder / key.shard)

    def restore(self, key: Key, out: Path) -> None:
        """Write the files of a run to the folder ``out``; its stamp comes last.

        Raises:
            ResultError: the bank does not hold the run, or its shard is altered.
        """
        contents = self._shard(key.shard).get(key.seed) if key.shard in self._shards else None
        if contents is None:
            raise ResultError(f"{self.folder}: holds no run {key.folder}")
        for name in sorted(contents, key=lambda name: name == "run.stamp.json"):
            files.write_bytes(out / name, contents[name])

    def takes(self, results: Path, key: Key, settings: str) -> bool:
        """Return True if ``results`` holds the finished run, passed by the referee unless only counts are kept."""
        judged = self.records_only or (results / key.folder / JUDGED).is_file()
        return judged and is_finished(results, key, settings)

    def require_room(self, wanted: Mapping[Key, str], replace: Collection[str] = ()) -> None:
        """Refuse runs whose shards hold runs of other settings, which would be lost.

        Args:
            wanted: the runs with the digest of their settings.
            replace: experiment/arm of each arm whose runs of other settings may be lost.

        Raises:
            ResultError: runs of an arm that is not in ``replace`` would be lost; the message says how many.
        """
        lost = Counter[str]()
        for shard, (key, digest) in {key.shard: (key, digest) for key, digest in wanted.items()}.items():
            arm, one = f"{key.experiment}/{key.arm}", self._shards.get(shard)
            if one is not None and one.settings != digest and arm not in replace:
                lost[arm] += len(one.seeds)
        if lost:
            parts = [f"{number} of {arm}" for arm, number in sorted(lost.items())]
            named = ", ".join(parts[:5]) + (f" and those of {len(parts) - 5} other arms" if len(parts) > 5 else "")
            raise ResultError(
                f"{self.folder}: {lost.total()} runs of other settings would be lost: {named}; to keep them, name "
                "another folder with --bank, or rename this one; to lose them on purpose, name their arms with "
                "--replace"
            )

    def collect(self, results: Path, wanted: Mapping[Key, str], replace: Collection[str] = ()) -> list[Key]:
        """Add the finished runs in ``results`` (results/<scale>) that the bank lacks; return them.

        Args:
            results: results/<scale>.
            wanted: the runs of the scale with the digest of their settings.
            replace: experiment/arm of each arm whose runs of other settings are dropped, once there is a new run in
                their shard.

        Raises:
            ResultError: a file of a run is not the one that its stamp states, or runs of other settings would be lost.
        """
        new = [
            key for key, digest in wanted.items() if not self.holds(key, digest) and self.takes(results, key, digest)
        ]
        self.require_room({key: wanted[key] for key in new}, replace)
        for shard, digest in sorted({key.shard: wanted[key] for key in new}.items()):
            own = [key for key in {*wanted, *self.runs()} if key.shard == shard]
            runs = {key: contents for key in own if (contents := self._contents(results, key, digest))}
            self._write(shard, runs, digest)
        return sorted(new)

    def _contents(self, results: Path, key: Key, settings: str) -> dict[str, bytes] | None:
        """Return the files of a run, from the bank or from ``results``; None if neither has it."""
        if self.holds(key, settings):
            return self._shard(key.shard)[key.seed]
        return self._checked(results, key) if self.takes(results, key, settings) else None

    def _checked(self, results: Path, key: Key) -> dict[str, bytes]:
        """Return the files of a finished run that the bank keeps, after comparing them with the run's stamp."""
        folder, kept = results / key.folder, list(RECORD)
        if not self.records_only:
            kept = [*KEPT, *(f"{name}.parquet" for name in tables_of(key.experiment).exhibits)]
        contents = {name: (folder / name).read_bytes() for name in kept}
        stated = {Path(name).name: digest for name, digest in stamp.load(folder / "run.stamp.json").outputs.items()}
        for name in kept:
            if name in stated and files.sha256(folder / name) != stated[name]:
                raise ResultError(
                    f"{folder / name}: altered since its stamp was written; delete the run and make it again"
                )
        found_out = () if self.records_only else (folder / name for name in FOUND_OUT)
        return contents | {path.name: path.read_bytes() for path in found_out if path.is_file()}

    def _write(self, shard: str, runs: Mapping[Key, Mapping[str, bytes]], settings: str) -> None:
        """Write a shard, then the manifest that states it."""
        import pandas as pd

        rows = [(key.seed, name, runs[key][name]) for key in sorted(runs) for name in sorted(runs[key])]
        frame = pd.DataFrame(rows, columns=["seed", "name", "content"])
        with files.atomic(self.folder / shard) as temporary:
            frame.to_parquet(temporary, index=False, compression="zstd", compression_level=12)
        stamps = [documents.parse(contents["run.stamp.json"], Stamp, self.folder / shard) for contents in runs.values()]
        first, names = next(iter(runs)), dict[str, list[int]]()
        for key in sorted(runs):
            for name in sorted(runs[key]):
                names.setdefault(name, []).append(key.seed)
        self._shards[shard] = Shard(
            experiment=first.experiment,
            arm=first.arm,
            seeds=tuple(sorted(key.seed for key in runs)),
            names={name: tuple(seeds) for name, seeds in names.items()},
            settings=settings,
            code=tuple(sorted({one.code_sha256 for one in stamps})),
            commits=tuple(sorted({str(one.commit) for one in stamps})),
            dirty=any(one.dirty is not False for one in stamps),
            sha256=files.sha256(self.folder / shard),
        )
        self.save()

    def save(self) -> None:
        """Write the manifest."""
        shards = {name: shard.model_dump() for name, shard in self._shards.items()}
        documents.write(self.folder / MANIFEST, Manifest, {**self.beside, "shards": shards})

    def _shard(self, name: str) -> dict[int, dict[str, bytes]]:
        """Return the contents of a shard: seed -> name -> bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = files.note(self.folder / name)
        if not path.is_file() or files.sha256(path) != self._shards[name].sha256:
            raise ResultError(f"{path}: missing or altered; take it from the repository again (git checkout)")
        try:
            table = pq.read_table(path, columns=["seed", "name", "content"], partitioning=None).to_pydict()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ResultError(f"{path}: damaged, not a shard: {error}") from error
        found: dict[int, dict[str, bytes]] = {}
        for seed, file, content in zip(table["seed"], table["name"], table["content"], strict=True):
            found.setdefault(seed, {})[file] = content
        return found


def runs_of(config: Config) -> dict[Key, str]:
    """Return every run of a scale with the digest of its settings: first seeds of all arms, second seeds, and so on."""
    arms = [
        (experiment, name, arm.seed_range, scales.digest(scales.for_arm(config, experiment, name)))
        for experiment, section in config.experiments.items()
        for name, arm in section.arms.items()
    ]
    return {
        Key(experiment, name, seeds[turn]): digest
        for turn in range(max(len(seeds) for _, _, seeds, _ in arms))
        for experiment, name, seeds, digest in arms
        if turn < len(seeds)
    }


def is_finished(results: Path, key: Key, settings: str) -> bool:
    """Return True if ``results`` holds the finished run, made with these settings; a run writes its stamp last."""
    return is_made(results / key.folder / "run.stamp.json", settings)


def is_made(path: Path, settings: str) -> bool:
    """Return True if the stamp ``path`` is there, and says that its job had the settings with this digest."""
    try:
        return stamp.load(path).config_sha256 == settings
    except ResultError:
        return False
