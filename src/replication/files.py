"""Reads and writes result files.  Writing is atomic, and the same content gives the same bytes.

A file is written beside its final name, flushed to disk and renamed, so that no half-written file bears a final name.
JSON has sorted keys, and values that are not finite are written as null.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replication.errors import ResultError
from replication.paths import REPOSITORY

if TYPE_CHECKING:
    import pandas as pd


#: Folders of the repository whose files no job of the pipeline makes, and the file that lists those of a bank.
KEPT, LISTED = ("config", "shipped"), "manifest.json"

_read: ContextVar[set[Path] | None] = ContextVar("read", default=None)


@contextmanager
def reading() -> Iterator[set[Path]]:
    """Yield a set that collects the paths of the files that this project reads inside the block."""
    token = _read.set(found := set[Path]())
    try:
        yield found
    finally:
        _read.reset(token)


def note(path: Path | str) -> Path:
    """Return ``path`` after adding it to the files that :func:`reading` collects."""
    path = Path(path)
    if (found := _read.get()) is not None:
        found.add(path)
    return path


def mend(path: Path | str) -> str:
    """Return what mends a damaged file, in words: a result is made again, a file of the repository is restored."""
    found = Path(path).resolve()
    if found.name == LISTED or any(found.is_relative_to(REPOSITORY / folder) for folder in KEPT):
        return f"restore it: git checkout -- {path}"
    return f"delete it and run {'make bench' if found.name == 'benchmarks.json' else 'the pipeline again'}"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; it is renamed to ``path`` if the block ends without an error.

    The temporary name has the suffix of ``path``, by which some writers choose the format.  On an error the
    temporary file is removed and the previous content of ``path`` stays.

    Raises:
        ResultError: the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ResultError:
    return ResultError(f"{path}: cannot be written: {error}; free disk space or choose another folder; run it again")


def _umask() -> int:
    mask = os.umask(0)  # the only way to read it
    os.umask(mask)
    return mask


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write ``content`` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` atomically as UTF-8; newlines are kept."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` atomically as indented JSON with sorted keys; values that are not finite become null."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return what :func:`write_json` writes."""
    return json.dumps(plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_parquet(path: Path | str, frame: pd.DataFrame) -> None:
    """Write a table atomically as Parquet, without its index, in the fewest bytes.

    Most tables hold few rows of floats.  Statistics of columns would be longer than the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    floats = [column.name for column in table.schema if pa.types.is_floating(column.type)]
    with atomic(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            write_statistics=False,
            store_schema=False,
            use_dictionary=[name for name in table.column_names if name not in floats],
            use_byte_stream_split=floats,
        )


def write_npz(path: Path | str, **arrays: NDArray[Any]) -> None:
    """Write named arrays atomically, compressed; arrays of Python objects need pickle and are refused."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ResultError(f"{path}: array {name!r} holds Python objects, which only pickle can store")
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub mixes the names with allow_pickle


def read_json(path: Path | str) -> Any:
    """Return the content of a JSON file.

    Raises:
        ResultError: the file is missing or damaged.
    """
    try:
        return json.loads(note(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file") from error
    except ValueError as error:
        raise ResultError(f"{path}: not valid JSON: {error}; {mend(path)}") from error


def read_npz(path: Path | str) -> dict[str, NDArray[Any]]:
    """Return the arrays in an npz file by name; pickled arrays are refused.

    Raises:
        ResultError: the file is missing or damaged.  Looking up an array that it lacks raises the same error.
    """
    try:
        content = io.BytesIO(note(path).read_bytes())  # numpy leaves a damaged file open
        with np.load(content, allow_pickle=False) as archive:
            return _Arrays(path, {name: archive[name] for name in archive.files})
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ResultError(f"{path}: not a readable npz archive: {error}; {mend(path)}") from error


class _Arrays(dict[str, NDArray[Any]]):
    """Arrays by name; a missing one is an error that names the file."""

    def __init__(self, path: Path | str, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(arrays)
        self.path = path

    def __missing__(self, name: str) -> NDArray[Any]:
        raise ResultError(f"{self.path}: holds no array {name!r}, only {sorted(self)}; {mend(self.path)}")


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        ResultError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error


def require_listed(path: Path, sums: Path) -> Path:
    """Return ``path`` if its bytes are those that ``sums`` lists, a file in the format of sha256sum.

    Raises:
        ResultError: ``sums`` is missing or does not list the file, or the file is missing or has another checksum.
    """
    try:
        listed = dict(line.split(maxsplit=1)[::-1] for line in sums.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise ResultError(f"{sums}: no list of checksums; restore it from the repository: {error}") from error
    if sha256(path) != listed.get(path.name):
        raise ResultError(f"{path}: not the file that {sums.name} lists; restore it: git checkout -- {path}")
    return path


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: NumPy values, paths and tuples are converted, NaN and infinity become None."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value
