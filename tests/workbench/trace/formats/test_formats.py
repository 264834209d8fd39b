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
from workbench.trace.formats import WRITERS, object_trace, write_oracle_general, write_trace

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


@pytest.mark.parametrize("packed", ["", ".zst"], ids=["plain", "zst"])
@pytest.mark.parametrize("kind", WRITERS)
def test_out_and_in(kind: str, packed: str, tmp_path: Path) -> None:
    """What is written in a format is read back as the same requests, held or streamed, packed or not."""
    ids = np.random.default_rng(0).integers(0, 40, 3000)
    sizes = np.ones(40, np.int64) if kind == "txt" else np.arange(40) * 1000 + 1
    trace = ObjectTrace.from_arrays(ids, sizes[ids])
    path = tmp_path / f"t.{kind}{packed if kind != 'parquet' else ''}"
    write_trace(path, trace)
    write_trace(tmp_path / "again", object_trace(path, held=False), kind)
    for back in (object_trace(path), object_trace(tmp_path / "again", kind)):
        assert np.array_equal(back.objects, trace.objects) and np.array_equal(back.sizes, trace.sizes)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("oracleGeneral", "ORACLE_GENERAL_TRACE"), ("vscsi", "VSCSI_TRACE"), ("csv", "CSV_TRACE")]
)
def test_written_sizes_as_libcachesim_reads(kind: str, theirs: str, tmp_path: Path) -> None:
    """Each format that libcachesim has, too, it reads: as many requests, of the same sizes."""
    trace = ObjectTrace.from_arrays([5, 6, 5, 7], [512, 1024, 512, 4096])
    write_trace(tmp_path / "t", trace, kind)
    columns = libcachesim.ReaderInitParam(has_header=True, delimiter=",", obj_id_is_num=True)
    columns.time_field, columns.obj_id_field, columns.obj_size_field = 1, 2, 3
    options = {"reader_init_params": columns} if kind == "csv" else {}
    reader = libcachesim.TraceReader(str(tmp_path / "t"), getattr(libcachesim.TraceType, theirs), **options)
    assert [request.obj_size for request in reader] == [512, 1024, 512, 4096]


def test_not_to_be_said(tmp_path: Path) -> None:
    """Sizes that a format has no place for are refused, and no format is made up."""
    with pytest.raises(TraceError, match="txt cannot say"):
        write_trace(tmp_path / "t.txt", ObjectTrace.from_arrays([1], 2))
    with pytest.raises(TraceError, match="vscsi cannot say"):
        write_trace(tmp_path / "t.vscsi", ObjectTrace.from_arrays([1], 1 << 32))
    with pytest.raises(ConfigError, match="no format 'odd' is written"):
        write_trace(tmp_path / "t", ObjectTrace.from_arrays([1], 1), "odd")


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
