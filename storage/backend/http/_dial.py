"""Opening connections: TCP, TLS, a unix socket, or through a proxy; no wait is endless."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from storage.backend.http._messages import origin_of
from storage.backend.http._options import HttpOptions
from storage.backend.http._resolve import forget, resolve
from storage.backend.http._secret import mask_url
from storage.backend.http._wire import Inbox, parse_head, request_head
from storage.errors import ConfigError

__all__ = ["Target", "TlsContext", "dial", "proxy_headers", "target_of", "tls_context"]

TlsContext = Callable[[], ssl.SSLContext]


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


@lru_cache(256)
def target_of(url: str, proxy: str = "", socket: str = "") -> Target:
    """Whom a request for a URL goes to.

    Raises
    ------
    BackendError
        If the URL is not one of ``http`` or ``https``.
    """
    return Target(*origin_of(url), proxy, socket)


def tls_context(options: HttpOptions) -> TlsContext:
    """Trust the system's authorities and those of the options, or everybody under `skip_verify`.

    Reading the system's authorities takes longer than many requests: it is done once, for who speaks TLS.

    Raises
    ------
    ConfigError
        If a file of authorities cannot be used.
    """
    lazy = cache(lambda: _tls_context(options))
    if options.ca_cert_files:
        lazy()
    return lazy


def _tls_context(options: HttpOptions) -> ssl.SSLContext:
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


def dial(target: Target, timeout: float, context: TlsContext) -> socket.socket:
    """A connection that is ready for requests; its timeout is what was left of `timeout`, in seconds.

    Raises
    ------
    OSError, ProtocolError
        If it cannot be had, or not in time.
    ConfigError
        If the proxy is one for which that is not possible.
    """
    deadline = time.monotonic() + timeout
    if target.socket:
        return _connect(socket.AF_UNIX, target.socket, timeout)
    if not target.proxy:
        sock = _open(target.host, target.port, deadline)
        return _secured(sock, target.host, deadline, context) if target.scheme == "https" else sock
    scheme, host, port = origin_of(target.proxy)
    if target.scheme == "https" and scheme == "https":
        raise ConfigError("a proxy for https is spoken to in http", url=mask_url(target.proxy), field="proxy.url")
    sock = _open(host, port, deadline)
    if target.scheme == "https":
        return _secured(_tunnelled(sock, target, deadline), target.host, deadline, context)
    return _secured(sock, host, deadline, context) if scheme == "https" else sock


def _open(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address of a host that takes it; each has its share of the time."""
    addresses = resolve(host, port, _left(deadline))
    failure: OSError = OSError("the host has no address")
    for number, (family, _, _, _, address) in enumerate(addresses):
        try:
            sock = _connect(family, address, _left(deadline) / (len(addresses) - number))
        except OSError as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    forget(host, port)
    raise failure


def _connect(family: int, address: object, timeout: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


def _secured(sock: socket.socket, host: str, deadline: float, context: TlsContext) -> socket.socket:
    try:
        sock.settimeout(_left(deadline))
        return context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _tunnelled(sock: socket.socket, target: Target, deadline: float) -> socket.socket:
    """Have the proxy connect us to the target."""

    def receive(view: memoryview, whole: bool) -> int:
        # Byte by byte: what follows the proxy's answer is not for us to read.
        sock.settimeout(_left(deadline))
        return sock.recv_into(view, 1)

    try:
        sock.settimeout(_left(deadline))
        place = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
        sock.sendall(request_head("CONNECT", place, place, proxy_headers(target.proxy), None))
        head = parse_head(Inbox(receive).head())
        if not 200 <= head.status < 300:
            raise OSError(f"the proxy refuses to connect us: status {head.status}")
    except BaseException:
        sock.close()
        raise
    return sock


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def proxy_headers(proxy: str) -> dict[str, str]:
    """``Proxy-Authorization`` of user and password in the proxy's URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
