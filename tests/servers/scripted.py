"""A server that answers exactly what a test says, faults included."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Asked", "Script", "Scripted", "reply", "serve_blob"]


@dataclass
class Asked:
    """A request as it arrived: header names in lower case, and the peer's port, which tells connections apart."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int
    at: float = field(default_factory=time.monotonic)

    def span(self, size: int) -> tuple[int, int] | None:
        """Start and end of the Range asked for, cut to `size`."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return None if match is None else (int(match[1]), min(int(match[2] or size - 1) + 1, size))


Script = Callable[[Asked, socket.socket], bool | None]
"""Answers a request on a socket; a true value closes the connection."""


def reply(status: int, body: bytes = b"", headers: dict[str, str] | None = None, length: int | None = None) -> bytes:
    """The bytes of an answer; `length` may be a lie."""
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer_of(asked: Asked, content: bytes) -> bytes:
    """What an honest server answers for a blob: HEAD, ranges, 416."""
    if asked.method == "HEAD":
        return reply(200, b"", length=len(content))
    span = asked.span(len(content))
    if span is None:
        return reply(200, content)
    start, end = span
    if start >= len(content):
        return reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return reply(206, content[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})


def serve_blob(content: bytes) -> Script:
    """An honest server of one blob."""

    def script(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(answer_of(asked, content))

    return script


class Scripted:
    """Listens on loopback, or on the unix socket `path`, until closed; one thread a connection.

    Attributes
    ----------
    script
        Answers; may be changed while it runs.
    asked
        Every request, in order of arrival.
    most
        The most connections that were open at once.
    """

    def __init__(self, script: Script, port: int = 0, path: Path | None = None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.opened = self.open = self.most = 0
        self._lock = threading.Lock()
        self._wires: set[socket.socket] = set()
        self._listener = _listener(port, path)
        self.path = path
        self.port = 0 if path else self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._listener.accept()
                with self._lock:
                    self._wires.add(wire)
                    self.opened += 1
                    self.open += 1
                    self.most = max(self.most, self.open)
                number = peer[1] if self.path is None else self.opened
                threading.Thread(target=self._serve, args=(wire, number), daemon=True).start()

    def _serve(self, wire: socket.socket, peer: int) -> None:
        try:
            with wire, wire.makefile("rb") as stream:
                if self.path is None:
                    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while (asked := _receive(stream, peer)) is not None:
                    with self._lock:
                        self.asked.append(asked)
                    if self.script(asked, wire):
                        return
        except OSError:
            pass
        finally:
            with self._lock:
                self._wires.discard(wire)
                self.open -= 1

    def close(self) -> None:
        """Stop listening and break all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def _listener(port: int, path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    path.unlink(missing_ok=True)
    return socket.create_server(str(path), family=socket.AF_UNIX, backlog=128)


def _receive(stream: Iterator[bytes], peer: int) -> Asked | None:
    read = stream.readline  # type: ignore[attr-defined]
    first = read().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := read().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]
    return Asked(first[0], first[1], headers, body, peer)


def reset(wire: socket.socket) -> None:
    """Break a connection so that the peer gets a reset."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.close()
