"""What may happen to one request on the wire, and backends in front of a server that does it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from storage.backend import S3, HttpProxy, Oss
from storage.backend.http import HttpOptions
from storage.backend.registry import Registry, RegistryOptions
from storage.backend.signing import Keys
from storage.events import Recorder
from storage.testing.backend_conformance import noise
from tests.servers.scripted import Asked, answer_of, reply, reset

__all__ = [
    "BACKENDS",
    "CONTENT",
    "FAULTS",
    "KEYS",
    "NETWORKED",
    "SPAN",
    "Fault",
    "Kind",
    "Place",
    "honest",
    "scripts_of",
    "whole_blob",
]

CONTENT = noise(20_000)
SPAN = (1000, 6000)
"""The range that is read."""
KEYS = Keys("AKIDEXAMPLE", "secret")

Answer = Callable[[bytes, socket.socket], bool | None]
"""Given the bytes of the honest answer, does something else; a true value closes the connection."""


class Place(NamedTuple):
    """Where a server listens: a port of loopback, or a unix socket."""

    port: int = 0
    path: Path | None = None


def _http_proxy(place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
    return HttpProxy(f"http://127.0.0.1:{place.port}", "/blobs", options=options, recorder=recorder)


def _over_unix(place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
    return HttpProxy(str(place.path), "/blobs", options=options, recorder=recorder)


def _s3(place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
    endpoint = f"127.0.0.1:{place.port}"
    return S3("bucket", region="r", endpoint=endpoint, scheme="http", keys=KEYS, options=options, recorder=recorder)


def _oss(place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
    endpoint = f"0.0.1:{place.port}"  # its host is 127.0.0.1
    return Oss("127", endpoint, scheme="http", keys=KEYS, options=options, recorder=recorder)


def _registry(place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
    return Registry(RegistryOptions(f"127.0.0.1:{place.port}", "library/app", "http", http=options), recorder)


class Kind(Protocol):
    """Makes a backend of its kind in front of a server."""

    def __call__(self, place: Place, options: HttpOptions, recorder: Recorder | None = None) -> Any:
        """Make it."""


BACKENDS: dict[str, Kind] = {
    "http-proxy": _http_proxy,
    "http-proxy (unix)": _over_unix,
    "oss": _oss,
    "registry": _registry,
    "s3": _s3,
}


NETWORKED = [kind for kind in BACKENDS if "unix" not in kind]
"""Those that know hosts by name, and mirrors."""


@dataclass(frozen=True)
class Fault:
    """Something that happens, and what is to come of it.

    Attributes
    ----------
    name
        For the table.
    answers
        What happens to the first requests for the blob; those after them are answered honestly.
    always
        Whether the last of `answers` happens to all that follow.
    error
        What the read's error says; empty where it is to succeed.
    seconds
        How long the read takes at least; where it ends by a timeout, at most a fifth more.
    options
        Besides the retries.
    """

    name: str
    answers: Sequence[Answer]
    always: bool = False
    error: str = ""
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


def scripts_of(fault: Fault, content: bytes = CONTENT) -> Callable[[Asked, socket.socket], bool | None]:
    """A server of `content` that does it."""
    number = iter(range(1 << 30))

    def script(asked: Asked, wire: socket.socket) -> bool | None:
        whole, at = answer_of(asked, content), next(number)
        if at >= len(fault.answers) and not fault.always:
            return wire.sendall(whole)
        answer = fault.answers[min(at, len(fault.answers) - 1)]
        return wire.sendall(reply(200, content)) if answer is whole_blob else answer(whole, wire)

    return script


def whole_blob(whole: bytes, wire: socket.socket) -> None:
    """All of the blob, whatever was asked for; of which one, the script knows."""


def honest(whole: bytes, wire: socket.socket) -> None:
    """What it should be."""
    wire.sendall(whole)


def _cut(at: int, hard: bool) -> Answer:
    """Close, or reset, after `at` bytes of the answer, counted from its end if negative."""

    def answer(whole: bytes, wire: socket.socket) -> bool:
        wire.sendall(whole[:at] if at >= 0 else whole[: len(whole) + at])
        if hard:
            time.sleep(0.002)  # a reset discards what the peer has not read
            reset(wire)
        return True

    return answer


def _status(status: int, **headers: str) -> Answer:
    return lambda whole, wire: wire.sendall(reply(status, headers={k.replace("_", "-"): v for k, v in headers.items()}))


def _stall(at: int) -> Answer:
    def answer(whole: bytes, wire: socket.socket) -> bool:
        wire.sendall(whole[:at])
        wire.settimeout(3)
        wire.recv(1)  # until the client gives up
        return True

    return answer


def _garbage(whole: bytes, wire: socket.socket) -> bool:
    wire.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    return True


def _other_range(whole: bytes, wire: socket.socket) -> None:
    wire.sendall(re.sub(rb"bytes (\d+)-", lambda found: b"bytes %d-" % (int(found[1]) + 1), whole, count=1))


_OFTEN = {"retry_limit": 255}
_HEADER = len(answer_of(Asked("GET", "/", {"range": "bytes=1000-6999"}, b"", 0), CONTENT)) - SPAN[1]

FAULTS = (
    Fault("none", [honest]),
    Fault("reset at each byte of the header", [_cut(at, True) for at in range(_HEADER)], options=_OFTEN),
    Fault("closed at each byte of the header", [_cut(at, False) for at in range(_HEADER)], options=_OFTEN),
    Fault("reset within the body", [_cut(_HEADER + at, True) for at in (1, 700)] + [_cut(-1, True)]),
    Fault("truncated body", [_cut(_HEADER + at, False) for at in (0, 1, 700)] + [_cut(-1, False)], options=_OFTEN),
    Fault("truncated body, always", [_cut(_HEADER + 1, False)], always=True, error="ends early|connection"),
    Fault("429, Retry-After: 1", [_status(429, Retry_After="1")], seconds=1.0),
    Fault("500 twice", [_status(500), _status(500)]),
    Fault("500 storm", [_status(500)], always=True, error="status 500"),
    Fault("403", [_status(403)], always=True, error="status 403"),
    Fault("404", [_status(404)], always=True, error="status 404"),
    Fault("stall before the header", [_stall(0)], always=True, error="in time", seconds=0.8,
          options={"timeout": 0.8, "retry_limit": 0}),
    Fault("stall within the body", [_stall(_HEADER + 100)], always=True, error="in time", seconds=0.8,
          options={"timeout": 0.8, "retry_limit": 0}),
    Fault("stall once", [_stall(_HEADER + 100)], seconds=0.8, options={"timeout": 0.8}),
    Fault("not HTTP", [_garbage], always=True, error="not HTTP"),
    Fault("another range", [_other_range], always=True, error="another range"),
    Fault("Range ignored", [whole_blob]),
)  # fmt: skip
