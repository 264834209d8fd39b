"""Who a request is for: a user who waits, or a prefetch that need not hurry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum

__all__ = ["RequestSource", "prefetching", "request_source"]


class RequestSource(IntEnum):
    """The class of a request, which decides its priority and how often it is tried again."""

    ON_DEMAND = 0
    PREFETCH = 1


_source: ContextVar[RequestSource] = ContextVar("request_source", default=RequestSource.ON_DEMAND)


def request_source() -> RequestSource:
    """The class of the requests that this thread makes now."""
    return _source.get()


@contextmanager
def prefetching() -> Iterator[None]:
    """What is asked of a backend inside is prefetch.

    Examples
    --------
    >>> with prefetching():
    ...     reader.read_into(buffer, 0)
    """
    token = _source.set(RequestSource.PREFETCH)
    try:
        yield
    finally:
        _source.reset(token)
