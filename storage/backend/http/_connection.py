"""One connection to a host, which serves one request after the other within their time.

Whatever is received, head or body, counts against the time that the request has. Bodies go from the socket
straight into the caller's buffer.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from functools import lru_cache
from typing import IO
from urllib.parse import urlsplit

from storage.backend.http._dial import Target, TlsContext, dial
from storage.backend.http._messages import Request, Response
from storage.backend.http._options import HttpOptions
from storage.backend.http._wire import Inbox, body_of, parse_head, request_head

__all__ = ["Connection"]

_PIECE = 256 << 10
_TIMEVAL = struct.Struct("ll")
_FRESH_S = 0.05
_JOINED = 1 << 16  # a body up to this goes with its head


class Connection:
    """A connection that serves one request after the other; it connects when it is first used.

    Attributes
    ----------
    target
        Whom it leads to.
    used
        Whether it has served a request before.
    """

    def __init__(self, target: Target, options: HttpOptions, context: TlsContext) -> None:
        self.target = target
        self.used = False
        self._options = options
        self._context = context
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._secure = False
        self._inbox = Inbox(self._receive)
        self._begun = 0.0
        self._pieces = False
        self._limit = 0.0  # what the socket waits for at most now

    def exchange(self, request: Request) -> Response:
        """Send the request and receive the answer's head.

        Raises
        ------
        OSError, ProtocolError
            If that fails or takes too long.
        """
        start = time.monotonic()
        sock = self._socket or self._open()
        target, host = _target_of(request.url, bool(self.target.proxy) and self.target.scheme == "http")
        body = request.body
        length = len(body) if isinstance(body, bytes) else None
        message = request_head(request.method, target, host, request.headers, length)
        self._begun, self._pieces = time.monotonic(), request.stream
        if isinstance(body, bytes) and length is not None and length <= _JOINED:
            message, body = message + body, None
        self._send(sock, message)
        if body is not None:
            self._send_body(sock, body)
        head = parse_head(self._inbox.head())
        while head.status < 200:  # of interim answers the last one counts
            head = parse_head(self._inbox.head())
        ttfb = int((time.monotonic() - start) * 1e9)
        return Response(request.url, head, body_of(request.method, head, self._inbox), ttfb, self._unhurried)

    def _open(self) -> socket.socket:
        sock = self._socket = dial(self.target, self._options.connect_timeout, self._context)
        self._secure = isinstance(sock, ssl.SSLSocket)
        if not self._secure:
            # The kernel keeps the time: a timeout of Python's costs a call more for each of ours.
            sock.settimeout(None)
        self._poll.register(sock, select.POLLIN)
        return sock

    def _unhurried(self) -> None:
        self._pieces = True

    def _send(self, sock: socket.socket, data: bytes) -> None:
        self._watch(sock)
        try:
            sock.sendall(data)
        except BlockingIOError:
            raise TimeoutError("timed out") from None

    def _send_body(self, sock: socket.socket, body: bytes | IO[bytes]) -> None:
        if isinstance(body, bytes):
            self._send(sock, body)
            return
        body.seek(0)
        while piece := body.read(_PIECE):
            self._send(sock, piece)

    def _receive(self, view: memoryview, whole: bool) -> int:
        """Receive into the buffer; `whole` is for the kernel to fill it, unless each piece has its own time."""
        sock = self._socket
        if sock is None:
            return 0
        self._watch(sock)
        try:
            if whole and not self._secure and not self._pieces:
                return sock.recv_into(view, 0, socket.MSG_WAITALL)
            return sock.recv_into(view)
        except BlockingIOError:
            raise TimeoutError("timed out") from None

    def _watch(self, sock: socket.socket) -> None:
        """Let the next operation on the socket take no longer than there is time for the request."""
        if self._pieces:
            left = self._options.timeout
        else:
            left = self._begun + self._options.timeout - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
        # It is set anew when it has become wrong by a twentieth.
        if left <= self._limit < left + self._options.timeout / 20:
            return
        self._limit = left + self._options.timeout / 100
        if self._secure:
            sock.settimeout(self._limit)
            return
        seconds = int(self._limit)
        limit = _TIMEVAL.pack(seconds, int((self._limit - seconds) * 1e6) or 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    @property
    def connected(self) -> bool:
        """Whether it has been opened and not closed, by us."""
        return self._socket is not None

    def is_open(self) -> bool:
        """Whether an idle connection can still be used: the server has neither closed it nor said anything.

        One that served just now is not asked: the call would cost more than what it could find out.
        """
        if self._socket is None or not self._inbox.empty:
            return False
        return time.monotonic() - self._begun < _FRESH_S or not self._poll.poll(0)

    def close(self) -> None:
        """Close it."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def __repr__(self) -> str:
        return f"Connection({self.target.scheme}://{self.target.host}:{self.target.port})"


@lru_cache(256)
def _target_of(url: str, absolute: bool) -> tuple[str, str]:
    """What is asked for, and of which host: a path, or the whole URL where a plain proxy must be told the host."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    return (f"http://{host}{path}" if absolute else path), host
