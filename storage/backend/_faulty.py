"""A wrapper that makes requests fail as networks and servers do, by script or by seed."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._wrapped import WrappedReader
from storage.errors import BackendError, ConfigError, MissingBlobError

__all__ = [
    "Delay",
    "Fault",
    "FaultyBackend",
    "Refuse",
    "Reset",
    "Stall",
    "Truncate",
    "WrongBytes",
    "scripted",
    "seeded",
]


class Fault(Protocol):
    """What happens to one request."""

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read the range as far as the fault lets one."""


@dataclass(frozen=True)
class Delay:
    """The first byte is later by `seconds`."""

    seconds: float

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Sleep, then read."""
        time.sleep(self.seconds)
        transfer = reader.read_into(buffer, offset)
        return transfer._replace(ttfb_ns=transfer.ttfb_ns + int(self.seconds * 1e9))


@dataclass(frozen=True)
class Reset:
    """The connection is reset after `after` bytes of the body."""

    after: int = 0

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read a part, then fail."""
        raise _cut(reader, buffer, offset, self.after, "the connection is reset")


@dataclass(frozen=True)
class Truncate:
    """The body ends after `after` bytes."""

    after: int = 0

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read a part, then fail."""
        raise _cut(reader, buffer, offset, self.after, "the body ends early")


@dataclass(frozen=True)
class Stall:
    """Nothing comes any more after `after` bytes, until a timeout of `seconds`."""

    seconds: float
    after: int = 0

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read a part, sleep, then fail."""
        error = _cut(reader, buffer, offset, self.after, "the server does not answer in time")
        time.sleep(self.seconds)
        raise error


@dataclass(frozen=True)
class WrongBytes:
    """`count` bytes from `at` on, counted from the request's start, come with their bits turned over."""

    at: int = 0
    count: int = 1

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read all of it, then spoil a part."""
        transfer = reader.read_into(buffer, offset)
        for place in range(self.at, min(self.at + self.count, len(buffer))):
            buffer[place] ^= 0xFF
        return transfer


@dataclass(frozen=True)
class Refuse:
    """The server answers with a status of 4xx or 5xx."""

    status: int = 503

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ConfigError("a refusal is a status from 400 to 599", field="status")

    def read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Fail at once."""
        kind = MissingBlobError if self.status in (404, 410) else BackendError
        raise kind(f"the server answers {self.status}", blob=reader.blob_id, offset=offset)


def _cut(reader: BlobReader, buffer: memoryview, offset: int, after: int, what: str) -> BackendError:
    count = min(after, len(buffer))
    reader.read_into(buffer[:count], offset)
    return BackendError(what, blob=reader.blob_id, offset=offset + count)


class FaultyBackend:
    """Reads through `inner`, but for the requests that something happens to.

    Parameters
    ----------
    inner
        Where blobs come from.
    fault_of
        The fault, if any, of the request of a number, counted from 0 in the order in which they are made:
        `scripted`, `seeded`, or a function of one's own.

    Examples
    --------
    >>> FaultyBackend(LocalFs("blobs"), scripted([None, Reset(100), Refuse(503)]))
    >>> FaultyBackend(LocalFs("blobs"), seeded(7, {Reset(): 0.01, Delay(0.5): 0.1}))
    """

    def __init__(self, inner: BlobBackend, fault_of: Callable[[int], Fault | None]) -> None:
        self.inner = inner
        self._fault_of = fault_of
        self._numbers = itertools.count()

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob to which the faults happen."""
        return WrappedReader(self.inner.get_reader(blob_id), self._read)

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        fault = self._fault_of(next(self._numbers))
        return reader.read_into(buffer, offset) if fault is None else fault.read(reader, buffer, offset)

    def __repr__(self) -> str:
        return f"FaultyBackend({self.inner!r})"


def scripted(faults: Sequence[Fault | None]) -> Callable[[int], Fault | None]:
    """One fault a request, in order; requests after the last have none."""
    return lambda number: faults[number] if number < len(faults) else None


def seeded(seed: int, chances: Mapping[Fault, float]) -> Callable[[int], Fault | None]:
    """Each request has a fault with the chance given; the same seed gives the same request the same.

    Raises
    ------
    ConfigError
        If the chances are no chances, or more than 1 in all.
    """
    if any(not 0 <= chance <= 1 for chance in chances.values()) or sum(chances.values()) > 1:
        raise ConfigError("chances are from 0 to 1, and 1 at most in all", field="chances")

    def fault_of(number: int) -> Fault | None:
        left = random.Random(f"{seed} {number}").random()
        for fault, chance in chances.items():
            left -= chance
            if left < 0:
                return fault
        return None

    return fault_of
