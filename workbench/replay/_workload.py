"""A recorded workload on one layout: which chunks each read needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import TraceError
from storage.plan import Layout, Segments, plan_layout

__all__ = ["ImageLike", "Workload", "after_each_other"]

I64 = npt.NDArray[np.int64]
_NEEDED = ("read_id", "think_ns", "t_ns", "thread", "program", "path", "offset", "length")


class ImageLike(Protocol):
    """What a workload asks of an image."""

    @property
    def chunks(self) -> Any:
        """The chunk table."""

    def lookup(self, path: str | bytes, /) -> int:
        """The inode's row."""

    def segments(self, row: int, offset: int, length: int, /) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Chunk rows, offsets within them and lengths."""


@dataclass(frozen=True, repr=False)
class Workload:
    """Reads in the order that the engine takes them: by program, thread, time.

    Attributes
    ----------
    read_id, think_ns, offset, length : (reads,) int64
        As recorded.
    first : (reads + 1,) int64
        Where each read's segments begin.
    segments
        Chunk rows, offsets within them, lengths.
    thread_first : (threads + 1,) int64
        Where each thread's reads begin.
    program_first : (programs + 1,) int64
        Where each program's threads begin.
    programs
        Their names, in the order they ran.
    layout
        Of the image that the segments are rows of.
    due_ns : (reads,) int64
        When each read began, from its program's start; by default as if each thread only thought.
    client_first : (clients + 1,) int64
        Where each client's programs begin; by default there is one client.
    client_start : (clients,) int64
        When each client's first program starts.
    inode : (reads,) int64
        Rows of the files.
    image
        The image itself, which plans of v5 ask for more than its layout.
    """

    read_id: I64
    think_ns: I64
    offset: I64
    length: I64
    first: I64
    segments: Segments
    thread_first: I64
    program_first: I64
    programs: tuple[str, ...]
    layout: Layout
    inode: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    image: Any = None
    due_ns: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    client_first: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    client_start: I64 = field(default_factory=lambda: np.zeros(1, np.int64))

    def __post_init__(self) -> None:
        if len(self.due_ns) != len(self.read_id):
            object.__setattr__(self, "due_ns", after_each_other(self.think_ns, self.thread_first))
        if len(self.client_first) == 0:
            object.__setattr__(self, "client_first", np.array([0, len(self.programs)], np.int64))

    @classmethod
    def from_reads(cls, reads: pa.Table, image: ImageLike) -> Workload:
        """Lay recorded reads over an image, which may be another build of the same tree.

        Parameters
        ----------
        reads
            In the schema `workbench.trace.READS`.
        image
            What `storage.image.open_image` returns.

        Raises
        ------
        TraceError
            If columns are missing, or the reads do not fit the image.
        PathError
            If a path is not in the image.
        """
        missing = [name for name in _NEEDED if name not in reads.column_names]
        if missing:
            raise TraceError(f"no trace of reads: {', '.join(missing)} missing", field=missing[0])
        reads = reads.combine_chunks()
        names = ("read_id", "think_ns", "t_ns", "thread", "offset", "length")
        columns = {name: _numbers(reads[name]) for name in names}
        program, programs = _codes(reads["program"])
        order = np.lexsort((columns["t_ns"], columns["thread"], program))
        columns = {name: column[order] for name, column in columns.items()}
        thread_first, thread_program = _threads(program[order], columns["thread"])
        path, paths = _codes(reads["path"])
        rows = np.array([image.lookup(name) for name in paths], np.int64)[path[order]]
        program_first = np.searchsorted(thread_program, np.arange(len(programs) + 1)).astype(np.int64)
        think = np.maximum(columns["think_ns"], 0)
        first, segments = _segments(image, path[order], paths, columns["offset"], columns["length"])
        return cls(
            read_id=columns["read_id"],
            think_ns=think,
            offset=columns["offset"],
            length=columns["length"],
            first=first,
            segments=segments,
            thread_first=thread_first,
            program_first=program_first,
            due_ns=_since_start(columns["t_ns"], think, thread_first, program_first),
            programs=programs,
            layout=plan_layout(image.chunks),
            inode=rows,
            image=image,
        )

    def __len__(self) -> int:
        return len(self.read_id)

    def check(self, layout: Layout) -> None:
        """See that it was laid over an image of this layout.

        Raises
        ------
        TraceError
            If it was not.
        """
        if not all(np.array_equal(mine, other) for mine, other in zip(self.layout, layout, strict=True)):
            raise TraceError("the workload was laid over another image; use Workload.from_reads on this one")

    @property
    def thread(self) -> I64:
        """Each read's thread: (reads,) int64."""
        return np.repeat(np.arange(len(self.thread_first) - 1), np.diff(self.thread_first))

    @property
    def program(self) -> I64:
        """Each read's program: (reads,) int64."""
        return np.repeat(np.arange(len(self.programs)), np.diff(self.thread_first[self.program_first]))

    @property
    def version(self) -> int:
        """Of RAFS."""
        return int(getattr(self.image, "version", 6))

    @property
    def touched(self) -> I64:
        """Rows of chunks that some read needs, ascending."""
        return np.unique(self.segments.chunk)

    @property
    def touched_bytes(self) -> int:
        """Their uncompressed bytes: what a cache needs to hold in order to never evict."""
        return int(self.layout.size[self.touched].sum())

    @property
    def first_use(self) -> I64:
        """Rows of chunks in the order in which reads first need them, as recorded."""
        rank = np.empty(len(self), np.int64)
        rank[np.lexsort((self.due_ns, self.program))] = np.arange(len(self))
        read = np.repeat(np.arange(len(self)), np.diff(self.first))
        chunk = self.segments.chunk[np.argsort(rank[read], kind="stable")]
        return chunk[np.sort(np.unique(chunk, return_index=True)[1])]

    def chunks_of(self, program: int) -> I64:
        """Rows of chunks that a program needs, ascending: so neighbours merge, which is how nydusd prefetches files."""
        threads = self.program_first[program : program + 2]
        begin, end = self.first[self.thread_first[threads]]
        return np.unique(self.segments.chunk[begin:end])

    def __repr__(self) -> str:
        return (
            f"Workload({len(self):,} reads, {len(self.thread_first) - 1} threads, programs {', '.join(self.programs)}; "
            f"{self.length.sum() / 1e6:.1f} MB asked of {self.touched_bytes / 1e6:.1f} MB)"
        )


def _numbers(column: pa.ChunkedArray) -> I64:
    return column.to_numpy().astype(np.int64)


def _codes(column: pa.ChunkedArray) -> tuple[I64, tuple[str, ...]]:
    """Text as numbers in the order of first appearance."""
    values = column.cast(pa.string()).dictionary_encode().unify_dictionaries()
    if not len(values):
        return np.zeros(0, np.int64), ()
    array = values.combine_chunks() if values.num_chunks > 1 else values.chunk(0)
    return array.indices.to_numpy(zero_copy_only=False).astype(np.int64), tuple(array.dictionary.to_pylist())


def _threads(program: I64, thread: I64) -> tuple[I64, I64]:
    """Where each thread's reads begin, and each thread's program; reads are sorted by both."""
    new = np.flatnonzero((np.diff(program, prepend=-1) != 0) | (np.diff(thread, prepend=-1) != 0))
    return np.append(new, len(program)).astype(np.int64), program[new]


def after_each_other(spans: I64, thread_first: I64) -> I64:
    """When each of what is done in turn is done: spans summed up by thread."""
    total = np.concatenate([[0], np.cumsum(spans)])
    return total[1:] - np.repeat(total[thread_first[:-1]], np.diff(thread_first))


def _since_start(t: I64, think: I64, thread_first: I64, program_first: I64) -> I64:
    """Times from the start of each program, which is where its earliest first read's think time begins."""
    due = t.copy()
    for begin, end in zip(thread_first[program_first[:-1]], thread_first[program_first[1:]], strict=True):
        if begin < end:
            firsts = thread_first[:-1][(thread_first[:-1] >= begin) & (thread_first[:-1] < end)]
            due[begin:end] -= (t[firsts] - think[firsts]).min()
    return np.maximum(due, 0)


def _segments(image: ImageLike, path: I64, paths: tuple[str, ...], offset: I64, length: I64) -> tuple[I64, Segments]:
    rows = [image.lookup(name) for name in paths]
    counts, parts = np.zeros(len(path) + 1, np.int64), []
    known: dict[tuple[int, int, int], tuple[Sequence[int], Sequence[int], Sequence[int]]] = {}
    for read, ask in enumerate(zip(path.tolist(), offset.tolist(), length.tolist(), strict=True)):
        if ask not in known:
            known[ask] = image.segments(rows[ask[0]], ask[1], ask[2])
            if sum(known[ask][2]) != ask[2]:
                raise TraceError("a read goes past the end of a file of this image", path=paths[ask[0]], offset=ask[1])
        counts[read + 1] = len(known[ask][0])
        parts.append(known[ask])
    columns = (np.array([value for part in parts for value in part[i]], np.int64) for i in range(3))
    return np.cumsum(counts), Segments(*columns)
