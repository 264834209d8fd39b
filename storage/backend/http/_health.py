"""Ways to the origin that may be ill: the proxy and the mirrors, and the thread that looks after them."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from storage.backend.http._connection import Connection
from storage.backend.http._dial import TlsContext, target_of
from storage.backend.http._messages import Request, origin_of
from storage.backend.http._options import HttpOptions
from storage.backend.http._secret import mask_url
from storage.backend.http._wire import ProtocolError
from storage.errors import BackendError

__all__ = ["Doctor", "Way", "ways_of"]

_log = logging.getLogger("storage.backend")


class _Check(NamedTuple):
    """How a way's health is found out: where, how often in seconds, and whether also while it is well."""

    url: str
    interval: float
    always: bool


class Way:
    """A proxy or a mirror.

    Attributes
    ----------
    name, proxy, mirror
        What it is called in logs; the proxy's URL, or the mirror's: one of them is empty.
    headers
        Sent this way only.
    use_http
        Ask for ``http`` in the place of ``https``.
    healthy
        Whether it is asked at all.
    """

    def __init__(
        self,
        name: str,
        *,
        proxy: str = "",
        mirror: str = "",
        headers: Mapping[str, str] | None = None,
        use_http: bool = False,
        failure_limit: int = 0,
        check: _Check | None = None,
    ) -> None:
        self.name = name
        self.proxy = proxy
        self.mirror = mirror
        self.headers = dict(headers or {})
        self.use_http = use_http
        self.healthy = True
        self.check = check
        self._failure_limit = failure_limit
        self._failures = 0
        self._lock = threading.Lock()

    def moved(self, url: str) -> str:
        """What to ask for this way instead of `url`."""
        if self.mirror:
            parts = urlsplit(url)
            return self.mirror + urlunsplit(("", "", parts.path, parts.query, ""))
        return url.replace("https:", "http:", 1) if self.use_http else url

    def succeeded(self) -> None:
        """A request went well."""
        self._failures = 0

    def failed(self) -> None:
        """A request did not; so many in a row and it is not asked any more."""
        with self._lock:
            self._failures += 1
            if self.healthy and 0 < self._failure_limit <= self._failures:
                self.healthy = False
                _log.warning("%s failed %d times in a row and is left out", self.name, self._failures)

    def found(self, well: bool) -> None:
        """A health check found it so."""
        with self._lock:
            if well != self.healthy:
                _log.warning("%s is %s", self.name, "well again" if well else "not well and is left out")
            self.healthy = well
            if well:
                self._failures = 0

    def __repr__(self) -> str:
        return f"Way({self.name}, healthy={self.healthy})"


def ways_of(options: HttpOptions) -> tuple[Way | None, list[Way]]:
    """The proxy, if there is one, and the mirrors."""
    proxy: Way | None = None
    if options.proxy.url:
        origin_of(options.proxy.url)
        check = _Check(options.proxy.ping_url, options.proxy.check_interval, True) if options.proxy.ping_url else None
        name = f"proxy {mask_url(options.proxy.url)}"
        proxy = Way(name, proxy=options.proxy.url, use_http=options.proxy.use_http, check=check)
    mirrors = []
    for mirror in options.mirrors:
        origin_of(mirror.host)
        ping = mirror.ping_url or mirror.host.rstrip("/") + "/v2"
        mirrors.append(
            Way(
                f"mirror {mask_url(mirror.host)}",
                mirror=mirror.host.rstrip("/"),
                headers=mirror.headers,
                failure_limit=mirror.failure_limit,
                check=_Check(ping, mirror.health_check_interval, False),
            )
        )
    return proxy, mirrors


class Doctor:
    """Looks after ways in a thread, which is there only if something needs checks.

    Parameters
    ----------
    owner
        The thread ends when this is gone.
    pause
        Seconds without requests after which nothing is checked.
    """

    def __init__(
        self, owner: object, ways: Sequence[Way], pause: float, options: HttpOptions, context: TlsContext
    ) -> None:
        self.active = time.monotonic()
        self._stop = threading.Event()
        self._ways = [way for way in ways if way.check is not None]
        self._pause = pause
        self._options = options
        self._context = context
        self.stop = weakref.finalize(owner, self._stop.set)
        if self._ways:
            threading.Thread(target=self._work, name="health", daemon=True).start()

    def _work(self) -> None:
        due = {way: time.monotonic() for way in self._ways}
        while not self._stop.wait(max(min(due.values()) - time.monotonic(), 0.01)):
            for way, when in due.items():
                assert way.check is not None
                if when > time.monotonic():
                    continue
                asleep = time.monotonic() - self.active > self._pause
                if (way.check.always and not asleep) or not way.healthy:
                    way.found(self._is_well(way.check.url))
                due[way] = time.monotonic() + way.check.interval

    def _is_well(self, url: str) -> bool:
        try:
            connection = Connection(target_of(url), self._options, self._context)
            try:
                status = connection.exchange(Request("GET", url)).status
            finally:
                connection.close()
        except (OSError, ProtocolError, BackendError):
            return False
        return status < 500 and status != 404
