"""Object traces as others write them: exact requests, and one line of error for what is none."""

from __future__ import annotations

import struct
from pathlib import Path

import libcachesim
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from storage.errors import ConfigError, TraceError
from workbench.simulate import ObjectTrace, simulate
from workbench.trace.formats import object_trace, write_oracle_general

ROWS = [(1, 7, 100), (2, 9, 50), (3, 7, 100)]
BYTES = {
    "t.oracleGeneral": b"".join(struct.pack("<IQIq", time, obj, size, -1) for time, obj, size in ROWS),
    "t.csv": b"1,7,100\n2,9,50\n3,7,100\n",
    "named.csv": b"size,time,obj_id\n100,1,x\n50,2,y\n100,3,x\n",
    "t.twitter": b"0,k1,2,98,1,get,0\n0,k2,2,48,1,get,0\n1,k1,2,98,2,set,10\n",
    "v1.vscsi": b"".join(struct.pack("<IIIHHQQ", 0, size, 0, 40, 0x100, obj, time) for time, obj, size in ROWS),
    "v2.vscsi": b"".join(struct.pack("<HHIIIQQQ", 40, 0x200, 0, size, 0, obj, time, 0) for time, obj, size in ROWS),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "zst"])
@pytest.mark.parametrize("name", BYTES)
def test_read(name: str, packed: bool, tmp_path: Path) -> None:
    """The same three requests in each format, packed or not."""
    path = tmp_path / (name + ".zst" * packed)
    path.write_bytes(zstandard.compress(BYTES[name]) if packed else BYTES[name])
    trace = object_trace(path)
    assert (trace.objects.tolist(), trace.sizes.tolist(), trace.bytes) == ([0, 1, 0], [100, 50], 250)


def test_text_and_parquet(tmp_path: Path) -> None:
    """A line of text is an object of one byte; Parquet is streamed where it is not to be held."""
    (tmp_path / "t.txt").write_text("a\nb\na\n")
    assert object_trace(tmp_path / "t.txt").bytes == 3
    pq.write_table(pa.table({"time": [1, 2, 3], "obj": [7, 9, 7], "size": [100, 50, 100]}), tmp_path / "t.parquet", 2)
    held, streamed = (object_trace(tmp_path / "t.parquet", held=held) for held in (True, False))
    assert simulate(held, "lru", 100) == simulate(streamed, "lru", 100)
    assert streamed.objects.tolist() == [0, 1, 0]


def test_written_as_libcachesim_reads(tmp_path: Path) -> None:
    """What we write, libcachesim reads: ids, sizes and the number of the request after next."""
    trace = ObjectTrace.from_arrays([5, 6, 5], [10, 20, 10])
    write_oracle_general(tmp_path / "t.oracleGeneral", trace)
    reader = libcachesim.TraceReader(str(tmp_path / "t.oracleGeneral"), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    assert [(request.obj_id, request.obj_size) for request in reader] == [(1, 10), (2, 20), (1, 10)]
    assert np.array_equal(object_trace(tmp_path / "t.oracleGeneral").objects, trace.objects)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.oracleGeneral", b"x" * 30, "middle of a record"),
        ("t.oracleGeneral.zst", b"no zstd", "cannot read"),
        ("t.vscsi", b"x" * 80, "vscsiStats"),
        ("t.csv", b"time,what\n1,2\n", "no column"),
        ("t.csv", b"1,7,many\n", "whole number"),
        ("t.csv", b"1,7,9\n1,2\n", "comma-separated"),
        ("t.csv", b"1,7,-9\n", "negative"),
        ("t.parquet", b"PAR1", "cannot read"),
    ],
)
def test_bad(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """What is not as its name says is a `TraceError` that says why."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError, match=message):
        object_trace(tmp_path / name)


def test_unknown(tmp_path: Path) -> None:
    """A name that says nothing, a format that there is not, and no file at all are told apart."""
    with pytest.raises(ConfigError, match="does not say"):
        object_trace(tmp_path / "trace")
    with pytest.raises(ConfigError, match="no format"):
        object_trace(tmp_path / "trace", "odd")
    with pytest.raises(TraceError, match="no such file"):
        object_trace(tmp_path / "t.csv")
