"""Connections that are kept, and who may have one next."""

from __future__ import annotations

import threading
from collections import deque

from storage.backend._source import RequestSource
from storage.backend.http._connection import Connection
from storage.backend.http._dial import Target, TlsContext
from storage.backend.http._metrics import Metrics
from storage.backend.http._options import HttpOptions

__all__ = ["Pool"]


class Pool:
    """At most so many connections, idle ones included, to however many hosts.

    Whoever finds all of them lent waits in line: users before prefetch, each class in its order, so that
    nobody starves but prefetch behind users.
    """

    def __init__(self, options: HttpOptions, context: TlsContext, metrics: Metrics) -> None:
        self._options = options
        self._context = context
        self._metrics = metrics
        self._lock = threading.Lock()
        self._free = options.connections
        self._lines: tuple[deque[threading.Lock], ...] = (deque(), deque())  # by RequestSource
        self._idle: deque[Connection] = deque()  # the one used last is at the right

    def take(self, target: Target, source: RequestSource) -> Connection:
        """A connection for one exchange, which is to be given back."""
        self._enter(source)
        try:
            return self._connection(target)
        except BaseException:
            self._leave()
            raise

    def give(self, connection: Connection) -> None:
        """Give a connection back; it is kept unless it was closed."""
        self._leave(connection if connection.connected else None)

    def wants(self, source: RequestSource) -> bool:
        """Whether somebody of the class is in line."""
        return bool(self._lines[source])

    def close(self) -> None:
        """Close the connections that are idle."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _enter(self, source: RequestSource) -> None:
        with self._lock:
            if self._free > 0 and not any(self._lines[: source + 1]):
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._lines[source].append(turn)
        self._metrics.count("waits")
        try:
            turn.acquire()
        except BaseException:  # an interrupt: leave the line, or pass on what was just given
            with self._lock:
                if turn in self._lines[source]:
                    self._lines[source].remove(turn)
                else:
                    self._pass_on()
            raise

    def _leave(self, connection: Connection | None = None) -> None:
        with self._lock:
            if connection is not None:
                self._idle.append(connection)
            self._pass_on()

    def _pass_on(self) -> None:
        for line in self._lines:
            if line:
                line.popleft().release()
                return
        self._free += 1

    def _connection(self, target: Target) -> Connection:
        """An idle connection to the target, or a new one in the place of one that is idle the longest."""
        stale: list[Connection] = []
        try:
            with self._lock:
                for place in range(len(self._idle) - 1, -1, -1):
                    if self._idle[place].target == target:
                        found = self._idle[place]
                        del self._idle[place]
                        if found.is_open():
                            return found
                        stale.append(found)
                # Those lent are as many as are not free; this one is among them.
                while self._idle and len(self._idle) > self._free:
                    stale.append(self._idle.popleft())
        finally:
            for connection in stale:
                connection.close()
        self._metrics.count("connections")
        return Connection(target, self._options, self._context)
