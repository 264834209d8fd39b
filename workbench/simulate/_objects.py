"""Traces of whole objects: who was asked for, in order, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from storage.errors import TraceError
from workbench.replay import Workload

__all__ = ["NEVER", "ObjectTrace"]

NEVER = np.iinfo(np.int64).max
_FIRST_TABLE = 1 << 12
_MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)

Batches = Callable[[], Iterable[tuple[Any, Any]]]


class ObjectTrace:
    """Requests for objects, numbered densely in the order of their first request.

    An object's size is that of its first request. Memory grows with the count of objects, and with that of
    requests only if they are held (4 bytes each).

    Parameters
    ----------
    source
        Gives batches of (ids, sizes) afresh each time it is called: (k,) integers up to 64 bits and bytes.
    held
        Whether to keep the numbered requests in memory; otherwise the source is read again for each pass.

    Attributes
    ----------
    sizes : (objects,) int64
        Bytes.
    bytes
        Bytes of all requests.

    Examples
    --------
    >>> trace = ObjectTrace.from_arrays([7, 9, 7], [100, 50, 100])
    >>> len(trace), trace.sizes.tolist(), trace.bytes
    (3, [100, 50], 250)
    """

    def __init__(self, source: Batches, held: bool = True) -> None:
        self._source = source
        self._table = _Numbers()
        kept = []
        self._requests = 0
        for ids, sizes in source():
            objects = self._table.number(ids, sizes)
            self._requests += len(objects)
            if held:
                kept.append(objects)
        self.bytes = self._table.bytes
        self.sizes = self._table.sizes[: self._table.count].copy()
        self._objects = (np.concatenate(kept) if kept else np.zeros(0, np.int32)) if held else None
        self._nexts: Any = None

    @classmethod
    def from_arrays(cls, ids: Any, sizes: Any) -> ObjectTrace:
        """A trace of ids and the bytes of each request's object."""
        columns = np.asarray(ids), np.broadcast_to(np.asarray(sizes, np.int64), np.shape(ids))
        return cls(lambda: [columns])

    @classmethod
    def from_workload(cls, workload: Workload) -> ObjectTrace:
        """The chunks that a workload's reads ask for, in order, as objects of their uncompressed sizes."""
        chunks = workload.segments.chunk
        return cls.from_arrays(chunks, workload.layout.size[chunks])

    def __len__(self) -> int:
        return self._requests

    @property
    def objects(self) -> Any:
        """(requests,) int32: the object of each request; read anew if it is not held."""
        if self._objects is not None:
            return self._objects
        parts = [objects for objects, _ in self.batches()]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    @property
    def nexts(self) -> Any:
        """(requests,) int64: the number of the next request for the same object; the largest int64 for the last."""
        if self._nexts is None:
            from workbench._compile import compile_function

            objects = self.objects
            self._nexts = np.empty(len(objects), np.int64)
            compile_function(_look_ahead)(objects, np.full(len(self.sizes), NEVER, np.int64), self._nexts)
        return self._nexts

    def batches(self, future: bool = False) -> Iterator[tuple[Any, Any]]:
        """Objects of requests, and if the future is wanted `nexts` beside them, in batches."""
        if future:
            yield self.objects, self.nexts
        elif self._objects is not None:
            yield self._objects, _NO_FUTURE
        else:
            for ids, sizes in self._source():
                yield self._table.number(ids, sizes), _NO_FUTURE


_NO_FUTURE = np.zeros(0, np.int64)


class _Numbers:
    """A hash table from ids to numbers that grows as it needs to."""

    def __init__(self) -> None:
        self._keys = np.zeros(_FIRST_TABLE, np.int64)
        self._numbers = np.full(_FIRST_TABLE, -1, np.int32)
        self.sizes = np.zeros(_FIRST_TABLE // 2, np.int64)
        self.count = self.bytes = 0

    def number(self, ids: Any, sizes: Any) -> Any:
        """(k,) int32: numbers of ids, new ones for those that are new."""
        from workbench._compile import compile_function

        find = compile_function(_find)
        ids = np.ascontiguousarray(ids).astype(np.uint64, copy=False).view(np.int64)
        sizes = np.ascontiguousarray(sizes, np.int64)
        if len(sizes) and int(sizes.min()) < 0:
            raise TraceError("an object has a negative size", field="size")
        objects, done = np.empty(len(ids), np.int32), 0
        while True:
            done, self.count, asked = find(self._keys, self._numbers, self.sizes, self.count, ids, sizes, objects, done)
            self.bytes += asked
            if done == len(ids):
                return objects
            self._grow()

    def _grow(self) -> None:
        from workbench._compile import compile_function

        keys, numbers = self._keys, self._numbers
        self._keys = np.zeros(4 * len(keys), np.int64)
        self._numbers = np.full(4 * len(keys), -1, np.int32)
        self.sizes = np.concatenate([self.sizes, np.zeros(len(keys) * 2 - len(self.sizes), np.int64)])
        compile_function(_rehash)(keys, numbers, self._keys, self._numbers)


def _slot(key: int, mask: int) -> int:
    mixed = key * _MULTIPLIER
    return int((mixed ^ (mixed >> 32)) & mask)


def _find(
    keys: Any, numbers: Any, known: Any, count: int, ids: Any, sizes: Any, objects: Any, done: int
) -> tuple[int, int, int]:
    """Number ids from `done` on, until all are or the table is full: how far it came, how many there are, and bytes."""
    mask, asked = len(keys) - 1, 0
    while done < len(ids):
        key = ids[done]
        slot = _slot(key, mask)
        while numbers[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & mask
        if numbers[slot] < 0:
            if count == len(known):
                break
            keys[slot] = key
            numbers[slot] = count
            known[count] = sizes[done]
            count += 1
        objects[done] = numbers[slot]
        asked += known[numbers[slot]]
        done += 1
    return done, count, asked


def _rehash(keys: Any, numbers: Any, wider: Any, renumbered: Any) -> None:
    mask = len(wider) - 1
    for old in range(len(keys)):
        if numbers[old] >= 0:
            slot = _slot(keys[old], mask)
            while renumbered[slot] >= 0:
                slot = (slot + 1) & mask
            wider[slot] = keys[old]
            renumbered[slot] = numbers[old]


def _look_ahead(objects: Any, last: Any, nexts: Any) -> None:
    for request in range(len(objects) - 1, -1, -1):
        nexts[request] = last[objects[request]]
        last[objects[request]] = request
