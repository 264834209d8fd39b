"""A client of one backend: which way a request goes, what follows a redirect, and when it is tried again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from storage.backend._source import RequestSource, request_source
from storage.backend.http._dial import proxy_headers, target_of, tls_context
from storage.backend.http._health import Doctor, Way, ways_of
from storage.backend.http._messages import Auth, Failure, Request, Response, joined, origin_of, without_credentials
from storage.backend.http._metrics import Metrics
from storage.backend.http._options import HttpOptions
from storage.backend.http._pool import Pool
from storage.backend.http._rate import RateLimit
from storage.backend.http._retry import PATIENCE_S, backoff, failure_of, refusal
from storage.backend.http._secret import mask_url
from storage.backend.http._wire import ProtocolError
from storage.errors import BackendError, MissingBlobError
from storage.events import Kind, Outcome, Recorder

__all__ = ["HttpClient"]

_log = logging.getLogger("storage.backend")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS = 5
_HEADER_ENV = "NYDUS_HEADER_"
_Result = TypeVar("_Result")


class HttpClient:
    """Requests of one backend, over one pool.

    ``NYDUS_HEADER_<NAME>`` in the environment adds a header to all requests to the backend's own host.

    Parameters
    ----------
    home
        URL of the backend's own host; credentials and what the environment adds go to no other. What follows
        the host is left out.
    options
        How to talk.
    auth
        Who we are.
    recorder
        Where events go: a row for each attempt that failed and is followed by another.
    socket
        Path of a unix socket on which the origin listens.

    Examples
    --------
    >>> client = HttpClient("http://127.0.0.1:8080", HttpOptions(timeout=2))
    >>> client.send(Request("GET", url), lambda response: response.read(1 << 20))
    """

    def __init__(
        self,
        home: str,
        options: HttpOptions | None = None,
        *,
        auth: Auth | None = None,
        recorder: Recorder | None = None,
        socket: str = "",
    ) -> None:
        origin_of(home)
        self.home = "/".join(home.split("/", 3)[:3])
        self.options = options or HttpOptions()
        self.auth = auth
        self.recorder = recorder
        self.metrics = Metrics()
        self._socket = socket
        self._proxy, self._mirrors = ways_of(self.options)
        context = tls_context(self.options)
        self._pool = Pool(self.options, context, self.metrics)
        self._rate = RateLimit(self.options.requests_per_second)
        self._roundabout = bool(self._mirrors or self._proxy)
        ways = [*self._mirrors, *([self._proxy] if self._proxy else [])]
        self._doctor = Doctor(self, ways, self.options.proxy.check_pause_elapsed, self.options, context)
        self._own_headers = {"User-Agent": "nydus-workbench", **_headers_of_environment()}

    def send(self, request: Request, consume: Callable[[Response], _Result]) -> _Result:
        """Send until an answer has been consumed, or the retries are used up.

        Parameters
        ----------
        request
            What to ask.
        consume
            Reads the answer's body. It may raise `Failure` to have the request sent again, and it is called
            again then.

        Raises
        ------
        BackendError
            Of the last attempt; names the URL and what `Request.where` says.
        """
        source = request_source()
        limit = self.options.prefetch_retry_limit if source else self.options.retry_limit
        limit = limit if request.retries is None else request.retries
        attempt = 0
        while True:
            self._doctor.active = time.monotonic()
            started = time.monotonic_ns()
            try:
                return self._attempt(request, consume, source)
            except Failure as failure:
                patient = (failure.retry_after or 0.0) <= PATIENCE_S
                if not failure.free and (attempt >= limit or not patient):
                    self.metrics.count("errors")
                    raise failure.error from failure.__cause__
                wait = 0.0 if failure.free else backoff(attempt, failure.retry_after)
                self._note(request, failure, started, wait)
                attempt += not failure.free
                request.url = request.refused(None) or request.url
                time.sleep(wait)
            except BackendError:
                self.metrics.count("errors")
                raise

    def close(self) -> None:
        """Close idle connections and stop health checks; requests under way go on."""
        self._doctor.stop()
        self._pool.close()

    def _note(self, request: Request, failure: Failure, started: int, wait: float) -> None:
        if failure.free:
            return
        self.metrics.count("retries")
        _log.warning("%s: once more in %.2f s", failure.error, wait)
        self._record(request, started)

    def _record(self, request: Request, started: int) -> None:
        """A row for an attempt that failed and is followed by another."""
        if self.recorder is not None:
            offset = request.where.get("offset", 0)
            self.recorder.log(
                kind=Kind.RETRY,
                t_ns=started,
                dur_ns=time.monotonic_ns() - started,
                offset=offset if isinstance(offset, int) else 0,
                outcome=Outcome.ERROR,
            )

    def _attempt(self, request: Request, consume: Callable[[Response], _Result], source: RequestSource) -> _Result:
        """Try one way after the other; what ends the last one is raised."""
        if not self._roundabout:
            return self._follow(request, consume, source, None)
        for way, last in self._ways(request):
            started = time.monotonic_ns()
            try:
                result = self._follow(request, consume, source, way)
            except (Failure, BackendError) as error:
                if way is None or (isinstance(error, Failure) and error.free):
                    raise
                if isinstance(error, Failure):
                    way.failed()
                if last or (way.proxy and isinstance(error, MissingBlobError)):
                    raise
                self.metrics.count("fallbacks")
                _log.warning("%s fails, the next way is tried: %s", way.name, error)
                self._record(request, started)
            else:
                if way is not None:
                    way.succeeded()
                return result
        raise Failure(BackendError("the proxy is not well, and there is no other way", url=mask_url(request.url)))

    def _ways(self, request: Request) -> Iterator[tuple[Way | None, bool]]:
        """The ways for a request, best first, and whether each is the last; None is the straight one."""
        reading = request.method in ("GET", "HEAD") and not request.direct
        if reading:
            yield from ((mirror, False) for mirror in self._mirrors if mirror.healthy)
        if self._proxy is None or not reading:
            yield None, True
            return
        if self._proxy.healthy:
            yield self._proxy, not self.options.proxy.fallback
        if self.options.proxy.fallback:
            yield None, True

    def _follow(
        self, asked: Request, consume: Callable[[Response], _Result], source: RequestSource, way: Way | None
    ) -> _Result:
        """Send one way, follow redirects, and answer one challenge."""
        request = asked if way is None else replace(asked, url=way.moved(asked.url))
        challenged = False
        for _ in range(_MAX_HOPS):
            home = self._is_home(request.url, way) and not asked.direct
            dressed = self._dressed(asked, request.url, home, source, way)
            response, result = self._exchange(dressed, consume, source, way)
            if response.status in request.expected:
                return result  # type: ignore[return-value] # it is None only where `consume` says so
            if response.status in _REDIRECTS and "location" in response.headers:
                self.metrics.count("redirects")
                location = joined(request.url, response.headers["location"])
                request = replace(request, url=asked.redirected(location, response))
            elif (elsewhere := asked.refused(response)) is not None:
                request = replace(request, url=elsewhere)
            elif response.status in (401, 403) and home and not challenged and self.auth is not None:
                self.metrics.count("challenges", response.status == 401)
                challenged = True
                if not self.auth.challenged(dressed, response):
                    raise refusal(response, asked.where)
            else:
                raise refusal(response, asked.where)
        raise BackendError("the server redirects in a circle", url=mask_url(request.url), **asked.where)

    def _is_home(self, url: str, way: Way | None) -> bool:
        """Whether the URL is of the backend's own host, which may know who we are."""
        if way is not None and way.use_http:
            return way.moved(url).startswith(way.moved(self.home) + "/")
        return url.startswith(self.home + "/")

    def _dressed(self, asked: Request, url: str, home: bool, source: RequestSource, way: Way | None) -> Request:
        """The request with the headers that the host of `url` may see, which is the backend's own if `home`."""
        headers = dict(asked.headers) if url == asked.url or home else without_credentials(asked.headers)
        if home:
            headers = {**self._own_headers, **headers}
        if way is not None and (way.proxy or url.startswith(way.mirror + "/")):
            headers |= way.headers
        if way is not None and way.proxy:
            headers |= self._dragonfly(source)
            if url.startswith("http:"):
                headers |= proxy_headers(way.proxy)
        dressed = asked.sent_to(url, headers)
        if home and self.auth is not None:
            self.auth.prepare(dressed)
        return dressed

    def _dragonfly(self, source: RequestSource) -> dict[str, str]:
        return {
            "X-Dragonfly-Priority": "3" if source == RequestSource.PREFETCH else "6",
            "X-Dragonfly-Use-P2P": "true",
            "X-Dragonfly-Prefetch": "false" if self.options.disable_proxy_prefetch else "true",
        }

    def _exchange(
        self, request: Request, consume: Callable[[Response], _Result], source: RequestSource, way: Way | None
    ) -> tuple[Response, _Result | None]:
        """One request over one connection; its answer, and what `consume` made of it if it is an expected one."""
        socket = self._socket if way is None and self._is_home(request.url, way) else ""
        target = target_of(request.url, way.proxy if way else "", socket)
        self._rate.wait(source)
        connection = self._pool.take(target, source)
        started, reused, connection.used = time.monotonic_ns(), connection.used, True
        response = result = None
        try:
            response = connection.exchange(request)
            if response.status in request.expected:
                result = consume(response)
            response.finish()
        except (OSError, ProtocolError, UnicodeError) as error:
            stale = reused and request.retries != 0
            raise failure_of(error, request.url, request.where, stale) from error
        finally:
            self.metrics.exchanged(time.monotonic_ns() - started, source == RequestSource.PREFETCH)
            if response is None or not response.finished:
                connection.close()
            self._pool.give(connection)
        return response, result


def _headers_of_environment() -> dict[str, str]:
    """Headers that ``NYDUS_HEADER_<NAME>`` ask for."""
    found = {key[len(_HEADER_ENV) :]: value for key, value in os.environ.items() if key.startswith(_HEADER_ENV)}
    return {name: value for name, value in found.items() if _is_header(name, value)}


def _is_header(name: str, value: str) -> bool:
    return bool(name) and (name + value).isascii() and value.isprintable() and name.replace("-", "").isalnum()
