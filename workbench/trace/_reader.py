"""Reading files of an image, and writing down each read."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pyarrow as pa

from storage.fs import Rafs
from workbench.trace._schema import READS

__all__ = ["RecordingReader"]

READ_SIZE = 128 << 10  # what FUSE asks for at a time


class RecordingReader:
    """Reads whole files through a store, in pieces as a kernel would, and keeps a row for each.

    Parameters
    ----------
    rafs
        The store.
    program
        Whose reads these are.
    """

    def __init__(self, rafs: Rafs, program: str) -> None:
        self.rafs = rafs
        self.program = program
        self._rows: list[tuple[int, int, int, int, int, str, int, int]] = []
        self._threads: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._started = time.monotonic_ns()

    def start(self) -> None:
        """The program starts now."""
        self._started = time.monotonic_ns()

    def read(self, path: str) -> bytes:
        """All of a file."""
        row = self.rafs.lookup(path)
        data = memoryview(bytearray(int(self.rafs.image.inodes.size[row])))
        for offset in range(0, len(data), READ_SIZE):
            self._read(path, row, offset, data[offset : offset + READ_SIZE])
        return bytes(data)

    def _read(self, path: str, row: int, offset: int, buffer: memoryview) -> None:
        thread = self._threads.setdefault(threading.get_ident(), len(self._threads))
        read_id = self.rafs.cache.new_read_id()
        start = time.monotonic_ns()
        length = self.rafs.readinto(row, offset, buffer, read_id)
        end = time.monotonic_ns()
        think = start - self._ended.get(thread, self._started)
        self._ended[thread] = end
        self._rows.append((read_id, start, end - start, think, thread, path, offset, length))

    def table(self, metadata: Mapping[str, str] | None = None) -> pa.Table:
        """The reads so far."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 8
        columns.insert(5, (self.program,) * len(self._rows))
        known = {key.decode(): value.decode() for key, value in READS.metadata.items()}
        schema = READS.with_metadata({**known, **(metadata or {})})
        arrays = [_array(column, field) for column, field in zip(columns, READS, strict=True)]
        return pa.table(arrays, schema=schema).sort_by("t_ns")


def _array(column: tuple[object, ...], field: pa.Field) -> pa.Array:
    if pa.types.is_dictionary(field.type):
        return pa.array(column, pa.string()).dictionary_encode().cast(field.type)
    return pa.array(column, field.type)
