"""From a host's name to addresses, within a time: the system's resolver has none that could be set."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

__all__ = ["ResolverTimeoutError", "forget", "resolve"]

_KEPT_S = 10.0
_Address = tuple[Any, ...]


class ResolverTimeoutError(TimeoutError):
    """The resolver did not answer in time."""


class _Lookup:
    """One question to the resolver, for all who wait for its answer."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.done = threading.Event()
        self.found: list[_Address] = []
        self.error: OSError | UnicodeError | None = None
        self.until = float("inf")

    def run(self) -> None:
        try:
            self.found = list(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            self.error = error
        self.until = time.monotonic() + (0 if self.error else _KEPT_S)
        self.done.set()


_lookups: dict[tuple[str, int], _Lookup] = {}
_lock = threading.Lock()


def resolve(host: str, port: int, timeout: float) -> list[_Address]:
    """Addresses of a host as ``socket.getaddrinfo`` gives them, kept for 10 s.

    Whoever asks for the same host meanwhile waits for the same answer: a resolver that hangs has one thread a host.

    Raises
    ------
    ResolverTimeoutError
        If there is no answer in time.
    OSError
        If there is no address.
    """
    key = (host, port)
    with _lock:
        lookup = _lookups.get(key)
        if lookup is None or lookup.until <= time.monotonic():
            lookup = _lookups[key] = _Lookup(host, port)
            threading.Thread(target=lookup.run, name=f"resolve {host}", daemon=True).start()
    if not lookup.done.wait(timeout):
        raise ResolverTimeoutError("the host's name is not resolved in time")
    if lookup.error is not None:
        raise lookup.error
    return lookup.found


def forget(host: str, port: int) -> None:
    """No address of the host could be connected to: ask anew next time."""
    with _lock:
        lookup = _lookups.get((host, port))
        if lookup is not None and lookup.done.is_set():
            del _lookups[host, port]
