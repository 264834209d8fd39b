"""Proxies and mirrors: which way requests go, when one is ill, when it is well again, and who sees what."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.backend import prefetching
from storage.backend.http import HttpClient, HttpOptions, HttpReader, MirrorOptions, ProxyOptions, Request, Response
from storage.errors import BackendError
from tests.servers.certificates import Authority
from tests.servers.nginx import nginx
from tests.servers.processes import free_port
from tests.servers.proxy import forward, proxy
from tests.servers.scripted import Asked, Scripted, answer_of, reply, serve_blob

CONTENT = bytes(range(251)) * 400


class Login:
    """Sends a secret."""

    def prepare(self, request: Request) -> None:
        """Add it."""
        request.headers["Authorization"] = "Basic c2VjcmV0"

    def challenged(self, request: Request, response: Response) -> bool:
        """There is no other."""
        return False


@pytest.fixture
def origin() -> Iterator[Scripted]:
    """The origin."""
    with Scripted(serve_blob(CONTENT)) as server:
        yield server


@pytest.fixture
def read_by() -> Iterator[Callable[[str, HttpOptions], Callable[[], HttpClient]]]:
    """Read through options; closes its clients."""
    clients: list[HttpClient] = []

    def begin(url: str, options: HttpOptions) -> Callable[[], HttpClient]:
        client = HttpClient(url, options, auth=Login())
        clients.append(client)
        reader = HttpReader(client, "blob", lambda method: Request(method, url + "/v2/blob"))

        def read() -> HttpClient:
            buffer = bytearray(1000)
            assert reader.read_into(memoryview(buffer), 5000).received == 1000
            assert buffer == CONTENT[5000:6000]
            return client

        return read

    yield begin
    for client in clients:
        client.close()


ReadBy = Callable[[str, HttpOptions], Callable[[], HttpClient]]


def until(holds: Callable[[], bool], seconds: float = 3) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.01)


def test_proxy(origin: Scripted, read_by: ReadBy) -> None:
    """Requests go through the proxy with Dragonfly's headers, by class, and with the proxy's own password."""
    with proxy() as way:
        options = HttpOptions(proxy=ProxyOptions(f"http://me:pw@127.0.0.1:{way.port}", fallback=False))
        read = read_by(origin.url, options)
        read()
        with prefetching():
            read()
        demand, prefetch = way.asked
        assert demand.path == f"{origin.url}/v2/blob"
        assert demand.headers["proxy-authorization"] == "Basic bWU6cHc="
        assert [asked.headers["x-dragonfly-priority"] for asked in way.asked] == ["6", "3"]
        assert (prefetch.headers["x-dragonfly-use-p2p"], prefetch.headers["x-dragonfly-prefetch"]) == ("true", "true")
        assert "proxy-authorization" not in origin.asked[0].headers
        assert origin.asked[0].headers["authorization"] == "Basic c2VjcmV0"


def test_proxy_tunnels_tls(read_by: ReadBy, tmp_path: Path) -> None:
    """To an origin behind TLS the proxy is a tunnel: it sees neither headers nor bytes."""
    authority = Authority(tmp_path)
    (tmp_path / "root" / "v2").mkdir(parents=True)
    (tmp_path / "root" / "v2" / "blob").write_bytes(CONTENT)
    port = free_port()
    tls = f"listen 127.0.0.1:{port} ssl; ssl_certificate {authority.certificate}; ssl_certificate_key {authority.key};"
    with nginx(tmp_path / "nginx", tmp_path / "root", more=tls), proxy() as way:
        trusted = (str(authority.ca),)
        options = HttpOptions(proxy=ProxyOptions(f"http://me:pw@127.0.0.1:{way.port}"), ca_cert_files=trusted)
        read_by(f"https://localhost:{port}", options)()
        assert [(asked.method, asked.path) for asked in way.asked] == [("CONNECT", f"localhost:{port}")]
        assert way.asked[0].headers["proxy-authorization"] == "Basic bWU6cHc="
        assert "authorization" not in way.asked[0].headers


def test_proxy_use_http(read_by: ReadBy, origin: Scripted) -> None:
    """With use_http the proxy is asked for http where the origin says https."""
    with proxy() as way:
        options = HttpOptions(proxy=ProxyOptions(way.url, use_http=True, fallback=False))
        read_by(origin.url.replace("http:", "https:"), options)()
        assert way.asked[0].path == f"{origin.url}/v2/blob"


def test_proxy_fails(origin: Scripted, read_by: ReadBy) -> None:
    """A proxy that fails is gone around, or with fallback off is the error."""
    with Scripted(lambda asked, wire: wire.sendall(reply(503))) as way:
        for url in (way.url, "http://127.0.0.1:1"):
            client = read_by(origin.url, HttpOptions(proxy=ProxyOptions(url), retry_limit=0))()
            assert (client.metrics["fallbacks"], client.metrics["retries"]) == (1, 0)
        with pytest.raises(BackendError, match="status 503"):
            read_by(origin.url, HttpOptions(proxy=ProxyOptions(way.url, fallback=False), retry_limit=0))()


def test_proxy_health(origin: Scripted, read_by: ReadBy) -> None:
    """A proxy whose ping fails is not asked, and is asked again when the ping does well."""
    ill: list[bool] = [True]

    def script(asked: Asked, wire: socket.socket) -> bool:
        if asked.path == "/ping":
            wire.sendall(reply(503 if ill else 200))
            return False
        return forward(asked, wire)

    def asked() -> int:
        return sum(one.path != "/ping" for one in way.asked)

    with Scripted(script) as way:
        settings = ProxyOptions(way.url, ping_url=f"{way.url}/ping", check_interval=0.05)
        read = read_by(origin.url, HttpOptions(proxy=settings, retry_limit=0))
        client = read()
        assert client._proxy is not None
        until(lambda: not client._proxy.healthy)  # type: ignore[union-attr]
        before = asked()
        read()
        assert asked() == before
        ill.clear()
        until(lambda: client._proxy.healthy)  # type: ignore[union-attr]
        read()
        assert asked() == before + 1


def test_proxy_is_ill_without_fallback(origin: Scripted, read_by: ReadBy) -> None:
    """An ill proxy with fallback off is an error that says so."""
    options = HttpOptions(
        proxy=ProxyOptions(origin.url, ping_url="http://127.0.0.1:1/", check_interval=0.05, fallback=False),
        retry_limit=0,
    )
    client = HttpClient(origin.url, options)
    until(lambda: client._proxy is not None and not client._proxy.healthy)
    with pytest.raises(BackendError, match="the proxy is not well, and there is no other way"):
        client.send(Request("GET", origin.url), lambda response: None)
    client.close()


def test_checks_pause(origin: Scripted) -> None:
    """Without requests for a while nobody pings; with one the checks go on."""
    with proxy() as way:
        settings = ProxyOptions(way.url, ping_url=f"{way.url}/ping", check_interval=0.02, check_pause_elapsed=0.2)
        client = HttpClient(origin.url, HttpOptions(proxy=settings))
        time.sleep(0.5)
        pings = len(way.asked)
        assert pings > 3
        time.sleep(0.2)
        assert len(way.asked) == pings
        client.send(Request("GET", origin.url + "/v2/blob"), lambda response: response.read(1 << 20))
        until(lambda: sum(asked.path == "/ping" for asked in way.asked) > pings)
        client.close()
        time.sleep(0.1)
        ended = len(way.asked)
        time.sleep(0.1)
        assert len(way.asked) == ended


def test_mirror(origin: Scripted, read_by: ReadBy) -> None:
    """A mirror is asked first, with its own headers and without our credentials; the origin is not asked."""
    with Scripted(serve_blob(CONTENT)) as mirror:
        options = HttpOptions(mirrors=(MirrorOptions(mirror.url, headers={"X-Mirror": "yes"}),))
        read_by(origin.url, options)()
        (asked,) = mirror.asked
        assert (asked.path, asked.headers["x-mirror"]) == ("/v2/blob", "yes")
        assert "authorization" not in asked.headers
        assert origin.asked == []


def test_a_mirror_that_redirects(origin: Scripted, read_by: ReadBy) -> None:
    """Where a mirror redirects to, its own headers do not follow."""
    with Scripted(serve_blob(CONTENT)) as store:
        moved = reply(302, b"", {"Location": f"{store.url}/there"})
        with Scripted(lambda asked, wire: wire.sendall(moved)) as mirror:
            read_by(origin.url, HttpOptions(mirrors=(MirrorOptions(mirror.url, headers={"X-Key": "s"}),)))()
            assert "x-key" in mirror.asked[0].headers
            assert not {"x-key", "authorization"} & set(store.asked[0].headers)


def test_a_mirror_dies_and_returns(origin: Scripted, read_by: ReadBy) -> None:
    """No read fails: each failure falls back to the next way, after two the mirror is left out, until it is well."""
    mirror = Scripted(serve_blob(CONTENT))
    options = HttpOptions(
        mirrors=(MirrorOptions(mirror.url, failure_limit=2, health_check_interval=0.05),), retry_limit=0
    )
    read = read_by(origin.url, options)
    read()
    assert origin.asked == []
    mirror.close()
    client = read()
    read()
    assert not client._mirrors[0].healthy
    before = client.metrics["fallbacks"]
    read()
    assert (before, client.metrics["fallbacks"]) == (2, 2)
    assert len(origin.asked) == 3
    with Scripted(serve_blob(CONTENT), mirror.port) as back:
        until(lambda: client._mirrors[0].healthy)
        read()
        assert len(origin.asked) == 3
        assert back.asked[-1].path == "/v2/blob"


def test_second_mirror(origin: Scripted, read_by: ReadBy) -> None:
    """A mirror that has not the blob is passed over for the next, and is not ill for that."""
    with Scripted(lambda asked, wire: wire.sendall(reply(404))) as one, Scripted(serve_blob(CONTENT)) as two:
        mirrors = (MirrorOptions(one.url, failure_limit=1), MirrorOptions(two.url))
        client = read_by(origin.url, HttpOptions(mirrors=mirrors, retry_limit=0))()
        assert (len(one.asked), len(two.asked), len(origin.asked)) == (1, 1, 0)
        assert client._mirrors[0].healthy


def test_a_body_broken_on_the_way(origin: Scripted, read_by: ReadBy) -> None:
    """What a mirror sent before it broke is kept: the next way is asked for the rest."""

    def cut(asked: Asked, wire: socket.socket) -> bool:
        wire.sendall(answer_of(asked, CONTENT)[:-600])
        return True

    with Scripted(cut) as mirror:
        read_by(origin.url, HttpOptions(mirrors=(MirrorOptions(mirror.url),), retry_limit=0))()
        assert origin.asked[0].headers["range"] == "bytes=5400-5999"
