"""One connection to a host: TCP, TLS, a unix socket, or through a proxy; no wait is endless.

`http.client` with a deadline: whatever is read, headers or body, counts against the time that
the request has. Bodies go from the socket straight into the caller's buffer.
"""

from __future__ import annotations

import base64
import http.client
import io
import select
import socket
import ssl
import time
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from storage.backend.http._messages import Request, Response, origin_of
from storage.backend.http._options import HttpOptions
from storage.backend.http._secret import mask_url
from storage.errors import ConfigError

__all__ = ["Connection", "Target", "proxy_headers", "tls_context"]

_HEADER_PIECE = 16 << 10


class Target(NamedTuple):
    """Whom a connection leads to.

    Attributes
    ----------
    scheme, host, port
        Of the server.
    proxy
        URL of a proxy on the way; empty for none.
    socket
        Path of a unix socket to use instead of host and port; empty for none.
    """

    scheme: str
    host: str
    port: int
    proxy: str = ""
    socket: str = ""


def tls_context(options: HttpOptions) -> ssl.SSLContext:
    """Trust the system's authorities and those of the options, or everybody under `skip_verify`.

    Raises
    ------
    ConfigError
        If a file of authorities cannot be used.
    """
    context = ssl.create_default_context()
    for path in options.ca_cert_files:
        try:
            context.load_verify_locations(path)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"cannot be used as certificates: {error}", path=path, field="ca_cert_files") from error
    if options.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline, or with `pieces` so long for each piece."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.limit(self._sock)
        count: int | None = self._raw.readinto(buffer)
        if count == 0 and self._connection.heading:
            # http.client would take what there is for all the headers.
            raise http.client.RemoteDisconnected("the connection is closed within the headers")
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedFile:
    """What `http.client.HTTPResponse` takes for a socket."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self._sock = sock
        self._connection = connection

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._connection), _HEADER_PIECE)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connection:
    """A connection that serves one request after the other; it connects when it is first used.

    Attributes
    ----------
    target
        Whom it leads to.
    used
        Whether it has served a request before.
    heading
        Whether it is waiting for the headers of an answer.
    """

    def __init__(self, target: Target, options: HttpOptions, context: ssl.SSLContext) -> None:
        self.target = target
        self.used = False
        self.heading = False
        self._options = options
        self._deadline = 0.0
        self._pieces = False
        self._limited_at = 0.0
        self._http = _http_connection(target, options, context)
        self._http.response_class = self._response  # type: ignore[assignment]

    def exchange(self, request: Request) -> Response:
        """Send the request and receive the answer's headers.

        Raises
        ------
        OSError, http.client.HTTPException
            If that fails or takes too long.
        """
        start = time.monotonic()
        if self._http.sock is None:
            self._begin(self._options.connect_timeout, pieces=False)
            self._http.connect()
        self._begin(self._options.timeout, request.stream)
        self.limit(self._http.sock)
        if request.body is not None and not isinstance(request.body, bytes):
            request.body.seek(0)
        self._http.request(request.method, self._path_of(request.url), request.body, request.headers)
        self.heading = True
        raw = self._http.getresponse()
        self.heading = False
        return Response(request.url, raw, int((time.monotonic() - start) * 1e9), self._unhurried)

    def _unhurried(self) -> None:
        self._pieces = True

    def _begin(self, seconds: float, pieces: bool) -> None:
        self._deadline = time.monotonic() + seconds
        self._pieces = pieces
        self._limited_at = 0.0

    def limit(self, sock: socket.socket) -> None:
        """Let the next operation on the socket take no longer than there is time for the request."""
        now = time.monotonic()
        if self._pieces:
            left = self._options.timeout
        else:
            left = self._deadline - now
            if left <= 0:
                raise TimeoutError("timed out")
        # A socket's timeout is set anew when it has become wrong by a twentieth: each time costs 9 %.
        if now - self._limited_at > self._options.timeout / 20:
            sock.settimeout(left)
            self._limited_at = now

    def is_open(self) -> bool:
        """Whether an idle connection can still be used: the server has neither closed it nor said anything."""
        sock = self._http.sock
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def _response(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        timed: Any = _TimedFile(sock, self)
        return http.client.HTTPResponse(timed, *args, **kwargs)

    def _path_of(self, url: str) -> str:
        """The request's target: a path, or the whole URL where a plain proxy must be told the host."""
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self.target.proxy and self.target.scheme == "http":
            return f"http://{parts.netloc.rpartition('@')[2]}{path}"
        return path

    def __repr__(self) -> str:
        return f"Connection({self.target.scheme}://{self.target.host}:{self.target.port})"


def _http_connection(target: Target, options: HttpOptions, context: ssl.SSLContext) -> http.client.HTTPConnection:
    limit = options.connect_timeout
    if target.socket:
        return _UnixConnection(target.socket, limit)
    if not target.proxy:
        if target.scheme == "https":
            return http.client.HTTPSConnection(target.host, target.port, timeout=limit, context=context)
        return http.client.HTTPConnection(target.host, target.port, timeout=limit)
    return _through_proxy(target, limit, context)


def _through_proxy(target: Target, limit: float, context: ssl.SSLContext) -> http.client.HTTPConnection:
    scheme, host, port = origin_of(target.proxy)
    if target.scheme == "http":
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=limit, context=context)
        return http.client.HTTPConnection(host, port, timeout=limit)
    if scheme == "https":
        raise ConfigError("a proxy for https is spoken to in http", url=mask_url(target.proxy), field="proxy.url")
    tunnel = http.client.HTTPSConnection(host, port, timeout=limit, context=context)
    tunnel.set_tunnel(target.host, target.port, headers=proxy_headers(target.proxy))
    return tunnel


def proxy_headers(proxy: str) -> dict[str, str]:
    """``Proxy-Authorization`` of user and password in the proxy's URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
