"""A forward proxy: plain requests by their whole URL, TLS through CONNECT."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from tests.servers.scripted import Asked, Scripted, reply

__all__ = ["forward", "proxy"]

_DROPPED = ("host", "connection", "proxy-authorization", "content-length")


def forward(asked: Asked, wire: socket.socket) -> bool:
    """A script for `Scripted` that does what a proxy does."""
    if asked.path == "/ping":
        wire.sendall(reply(200))
        return False
    if asked.method == "CONNECT":
        _tunnel(asked, wire)
        return True
    headers = {name: value for name, value in asked.headers.items() if name not in _DROPPED}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(urllib.request.Request(asked.path, headers=headers, method=asked.method))
    except HTTPError as error:
        answer = error
    except OSError:
        wire.sendall(reply(502))
        return False
    with answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
        wire.sendall(reply(answer.status, answer.read(), kept))
    return False


def _tunnel(asked: Asked, wire: socket.socket) -> None:
    parts = urlsplit(f"//{asked.path}")
    with socket.create_connection((parts.hostname or "", parts.port or 443)) as origin:
        wire.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(origin, wire), daemon=True)
        back.start()
        _pump(wire, origin)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def proxy() -> Scripted:
    """A proxy that runs."""
    return Scripted(forward)
