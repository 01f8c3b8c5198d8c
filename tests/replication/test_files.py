"""Atomic, repeatable writing of result files."""

from __future__ import annotations

import hashlib
import json
import math
import resource
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication import files
from replication.errors import ResultError


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_is_a_typed_error_and_leaves_nothing(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(ResultError, match=r"b\.json: cannot be written.*choose another folder"):
        files.write_json(taken / "b.json", {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as on a full disk
    try:
        for write in (
            lambda path: files.write_bytes(path, b"0" * 2000),
            lambda path: files.write_npz(path, a=np.random.default_rng(0).normal(size=900)),
            lambda path: files.write_parquet(path, pd.DataFrame({"a": np.random.default_rng(0).normal(size=900)})),
        ):
            with pytest.raises(ResultError, match="large: cannot be written"):
                write(tmp_path / "large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [taken]


def test_folders_are_made_and_the_mode_follows_the_umask(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    files.write_json(path, {})
    other = tmp_path / "plain"
    other.write_text("")
    assert path.stat().st_mode == other.stat().st_mode


def test_json_has_sorted_keys_and_null_for_what_is_not_finite(tmp_path):
    value = {"b": [math.nan, math.inf, 1.5], "a": np.float64(0.1), "c": np.arange(2), "d": (np.bool_(True), tmp_path)}
    files.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": 0.1, "b": [None, None, 1.5], "c": [0, 1], "d": [True, tmp_path.as_posix()]}
    assert text.index('"a"') < text.index('"b"')


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_not_rounded(value):
    assert json.loads(json.dumps(files.plain(np.float64(value)))) == value


def test_arrays_and_tables_are_the_same_bytes_at_any_time(tmp_path):
    table = pd.DataFrame({"x": [1.0, math.nan], "n": [1, 2], "b": [True, False]})
    for name in ("1", "2"):
        files.write_npz(tmp_path / f"{name}.npz", theta=np.eye(3), names=np.array(["a", "b"]))
        files.write_parquet(tmp_path / f"{name}.parquet", table)
        time.sleep(0.01)
    assert files.sha256(tmp_path / "1.npz") == files.sha256(tmp_path / "2.npz")
    assert files.sha256(tmp_path / "1.parquet") == files.sha256(tmp_path / "2.parquet")
    with np.load(tmp_path / "1.npz", allow_pickle=False) as arrays:
        assert arrays["names"].tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "1.parquet"), table)


def test_arrays_that_need_pickle_are_refused(tmp_path):
    with pytest.raises(ResultError, match="'bad'"):
        files.write_npz(tmp_path / "a.npz", bad=np.array([object()]))
    assert not list(tmp_path.iterdir())


def test_sums_and_readers_name_the_file(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ResultError, match=r"a\.json: cannot be read"):
        files.sha256(path)
    with pytest.raises(ResultError, match=r"a\.json: no such file"):
        files.read_json(path)
    path.write_text("{")
    with pytest.raises(ResultError, match=r"a\.json: not valid JSON"):
        files.read_json(path)
    assert files.sha256(path) == hashlib.sha256(b"{").hexdigest()


def test_a_damaged_archive_is_refused_or_read_right(tmp_path):
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    arrays = {"inputs": rng.normal(size=(20, 2)), "labels": rng.normal(size=20)}
    files.write_npz(path, **arrays)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = files.read_npz(path)
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array)
        except ResultError as error:
            assert "a.npz" in str(error)
            refused += 1
    assert refused > len(content) / 6
    path.write_bytes(content[:-30])
    with pytest.raises(ResultError, match="not a readable"):
        files.read_npz(path)


def test_an_array_that_is_not_there_is_named(tmp_path):
    files.write_npz(tmp_path / "a.npz", inputs=np.zeros(1))
    with pytest.raises(ResultError, match=r"a\.npz: holds no array 'labels', only \['inputs'\]"):
        files.read_npz(tmp_path / "a.npz")["labels"]
