"""Independent pieces of work over this machine's cores, or over a Dask cluster's: one that fails is no other's failure.

What is done, and what with, is sent by value, so that what was defined in a notebook or inside a function goes, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, NamedTuple

__all__ = ["Done", "spread"]

Row = dict[str, Any]
Work = Callable[[Any, Any], Row]
Piece = tuple[Any, Any]
_shared: Mapping[Any, Any] = {}


class Done(NamedTuple):
    """One piece: the argument, what came of it, and what went wrong, or None."""

    argument: Any
    row: Row
    error: str | None


def spread(
    work: Work, pieces: Sequence[Piece], shared: Mapping[Any, Any], client: Any = None, workers: int | None = None
) -> Iterator[Done]:
    """Have ``work(argument, shared[key])`` done for each piece ``(argument, key)``, and yield them as they are done.

    Parameters
    ----------
    work
        A function of a module.
    shared
        What many pieces need: sent once.
    client
        A Dask ``Client``; by default this machine's cores are used.
    workers
        Processes, where there is no client; 0 for none but this one.
    """
    if client is None and (workers == 0 or len(pieces) < 2):
        for argument, key in pieces:
            yield Done(argument, *_tried(work, argument, shared[key]))
        return
    sendable = []
    for argument, key in pieces:
        try:
            sendable.append((argument, _packed(argument), key))
        except Exception as error:  # whatever pickling finds
            yield Done(argument, {}, f"cannot be sent to another process: {_told(error)}")
    if client is not None:
        yield from _on_dask(work, sendable, shared, client)
    else:
        yield from _on_cores(work, sendable, shared, workers or os.cpu_count() or 1)


def _on_cores(
    work: Work, pieces: Sequence[tuple[Any, bytes, Any]], shared: Mapping[Any, Any], workers: int
) -> Iterator[Done]:
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (shared,)) as pool:
        futures: dict[Future[tuple[Row, str | None]], Any] = {
            pool.submit(_in_process, work, packed, key): argument for argument, packed, key in pieces
        }
        for future in as_completed(futures):
            error = future.exception()  # a process that died
            yield Done(futures[future], *(({}, _told(error)) if error is not None else future.result()))


def _start(shared: Mapping[Any, Any]) -> None:
    global _shared
    _shared = shared


def _in_process(work: Work, packed: bytes, key: Any) -> tuple[Row, str | None]:
    return _unpacked(work, packed, _shared[key])


def _on_dask(
    work: Work, pieces: Sequence[tuple[Any, bytes, Any]], shared: Mapping[Any, Any], client: Any
) -> Iterator[Done]:
    from distributed import as_completed as completed

    there = {key: client.scatter(value, broadcast=True) for key, value in shared.items()}
    futures = {
        client.submit(_unpacked, work, packed, there[key], pure=False): argument for argument, packed, key in pieces
    }
    for future in completed(futures):  # type: ignore[no-untyped-call]
        error = future.exception()
        yield Done(futures[future], *(({}, _told(error)) if error is not None else future.result()))


def _packed(argument: Any) -> bytes:
    from numba import cloudpickle  # which takes a second to import

    packed: bytes = cloudpickle.dumps(argument)
    return packed


def _unpacked(work: Work, packed: bytes, value: Any) -> tuple[Row, str | None]:
    from numba import cloudpickle

    return _tried(work, cloudpickle.loads(packed), value)


def _tried(work: Work, argument: Any, value: Any) -> tuple[Row, str | None]:
    try:
        return work(argument, value), None
    except Exception as error:
        return {}, _told(error)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
