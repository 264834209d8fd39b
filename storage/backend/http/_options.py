"""Settings that all backends over HTTP have; named as nydusd names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from storage.backend.http._secret import mask_url
from storage.errors import ConfigError

__all__ = ["HttpOptions", "MirrorOptions", "ProxyOptions"]


@dataclass(frozen=True)
class ProxyOptions:
    """A proxy between us and the origin: Dragonfly's, say.

    Its SDK mode (``dragonfly_scheduler_endpoint``) is out of scope here.

    Attributes
    ----------
    url
        Of the proxy; empty for none.
    ping_url
        Asked for its health; without it every request tries the proxy first.
    fallback
        Whether to go to the origin when the proxy fails.
    check_interval
        Seconds between health checks.
    use_http
        Ask the proxy for ``http`` where the origin's URL says ``https``.
    check_pause_elapsed
        Seconds without requests after which health checks pause.
    """

    url: str = ""
    ping_url: str = ""
    fallback: bool = True
    check_interval: float = 5
    use_http: bool = False
    check_pause_elapsed: float = 300

    def __repr__(self) -> str:
        return f"ProxyOptions({mask_url(self.url)!r}, fallback={self.fallback})"


@dataclass(frozen=True)
class MirrorOptions:
    """Another host that has the same blobs, asked before the origin.

    Attributes
    ----------
    host
        URL of scheme and host, and perhaps a port.
    ping_url
        Asked for its health; by default `host` with ``/v2``.
    headers
        Sent to this mirror only. The origin's credentials are not sent to it.
    health_check_interval
        Seconds between health checks of a mirror that failed.
    failure_limit
        Failures in a row after which a mirror is not asked any more, until a check finds it well.
    """

    host: str
    ping_url: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    health_check_interval: float = 5
    failure_limit: int = 5

    def __repr__(self) -> str:
        return f"MirrorOptions({mask_url(self.host)!r}, headers={sorted(self.headers)})"


@dataclass(frozen=True)
class HttpOptions:
    """How a backend talks HTTP.

    Attributes
    ----------
    timeout
        Seconds that one attempt at a range may take in all, from sending to the last byte. A stream
        may take so long for each piece.
    connect_timeout
        Seconds to connect.
    retry_limit, prefetch_retry_limit
        How often a failed request is tried again: on demand, and for prefetch.
    skip_verify
        Do not verify TLS certificates.
    ca_cert_files
        PEM files of authorities to trust besides the system's.
    connections
        Connections open at once, idle ones included.
    requests_per_second
        Rate limit; 0 for none.
    proxy, mirrors
        Ways other than straight to the origin.
    disable_proxy_prefetch
        Tell Dragonfly not to prefetch by itself.
    """

    timeout: float = 5
    connect_timeout: float = 5
    retry_limit: int = 3
    prefetch_retry_limit: int = 1
    skip_verify: bool = False
    ca_cert_files: tuple[str, ...] = ()
    connections: int = 16
    requests_per_second: float = 0
    proxy: ProxyOptions = ProxyOptions()
    mirrors: tuple[MirrorOptions, ...] = ()
    disable_proxy_prefetch: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout"):
            if getattr(self, name) <= 0:
                raise ConfigError("a timeout is more than no time", field=name)
        for name in ("retry_limit", "prefetch_retry_limit", "requests_per_second"):
            if getattr(self, name) < 0:
                raise ConfigError("cannot be negative", field=name)
        if self.connections < 1:
            raise ConfigError("a pool needs a connection", field="connections")
