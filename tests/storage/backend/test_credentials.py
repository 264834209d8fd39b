"""Credentials stay with the host that they are for, however a request is sent elsewhere."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import pytest

from storage.backend import S3, Oss
from storage.backend.http import HttpOptions, MirrorOptions
from storage.backend.signing import Keys
from tests.servers.scripted import Asked, Scripted, answer_of, reply, serve_blob
from tests.storage.backend._survive import CONTENT
from tests.storage.backend.registry.conftest import BASIC, Hosted, registry_of

_ID = hashlib.sha256(CONTENT).hexdigest()
_KEYS = Keys("AKIDEXAMPLE", "SECRETkey", "SECRETtoken")
_HTTP = HttpOptions(retry_limit=0)
_LOCATIONS = {
    "another port": "http://127.0.0.1:{port}/x?sig=1",
    "another name": "http://localhost:{port}/x",
    "no scheme": "//127.0.0.1:{port}/x",
    "the host as a user": "http://127.0.0.1@localhost:{port}/x",
    "the host as a prefix": "http://127.0.0.1.nip.test:{port}/x",
    "in capitals": "HTTP://LOCALHOST:{port}/x",
}


def backend_of(kind: str, port: int, http: HttpOptions) -> Any:
    """A backend with credentials."""
    if kind == "s3":
        return S3("b", region="r", endpoint=f"127.0.0.1:{port}", scheme="http", keys=_KEYS, options=http)
    if kind.startswith("oss"):
        region = "r" if kind == "oss v4" else ""
        return Oss("127", f"0.0.1:{port}", scheme="http", keys=_KEYS, region=region, options=http)
    return registry_of(Hosted(f"127.0.0.1:{port}", _ID), http, scheme="http", auth=BASIC)


def carries(asked: Asked) -> bool:
    """Whether a request has something of who we are."""
    text = repr(asked.headers)
    names = ("authorization", "cookie", "token", "signature", "credential")
    return any(name in header for header in asked.headers for name in names) or BASIC in text or "SECRET" in text


@pytest.fixture(autouse=True)
def names_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is this machine's."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))


def read(backend: Any) -> None:
    """Read a range, by the way that a store does, and ask for the size."""
    buffer, reader = bytearray(100), backend.get_reader(_ID)
    for offset in (0, 500):
        reader.read_into(memoryview(buffer), offset)
        assert buffer == CONTENT[offset : offset + 100]
    reader._size = None
    assert reader.blob_size() == len(CONTENT)
    backend.close()


@pytest.mark.parametrize("kind", ["registry", "s3", "oss v1", "oss v4"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", _LOCATIONS)
def test_redirects(location: str, status: int, kind: str) -> None:
    """Whatever kind of redirect leads to another host, it is followed with the Range and without credentials."""
    with Scripted(serve_blob(CONTENT)) as other:

        def front(asked: Asked, wire: socket.socket) -> None:
            if not carries(asked):
                wire.sendall(reply(401, b"", {"WWW-Authenticate": "Basic realm=x"}))
            else:
                wire.sendall(reply(status, b"", {"Location": _LOCATIONS[location].format(port=other.port)}))

        with Scripted(front) as server:
            read(backend_of(kind, server.port, _HTTP))
            assert any(carries(asked) for asked in server.asked)
        assert len(other.asked) == 3
        assert not any(carries(asked) for asked in other.asked)
        assert [asked.headers.get("range") for asked in other.asked] == ["bytes=0-99", "bytes=500-599", None]


@pytest.mark.parametrize("kind", ["registry", "s3", "oss v1", "oss v4"])
def test_there_and_back(kind: str) -> None:
    """A redirect elsewhere and back home: credentials go home only."""
    homes: list[str] = []
    with Scripted(lambda asked, wire: wire.sendall(reply(307, b"", {"Location": homes[0] + "/blob"}))) as other:

        def front(asked: Asked, wire: socket.socket) -> None:
            if not carries(asked):
                wire.sendall(reply(401, b"", {"WWW-Authenticate": "Basic realm=x"}))
            elif asked.path == "/blob":
                wire.sendall(answer_of(asked, CONTENT))
            else:
                wire.sendall(reply(307, b"", {"Location": f"{other.url}/x"}))

        with Scripted(front) as server:
            homes.append(server.url)
            read(backend_of(kind, server.port, _HTTP))
        assert other.asked
        assert not any(carries(asked) for asked in other.asked)


@pytest.mark.parametrize("kind", ["registry", "s3", "oss v1", "oss v4"])
def test_mirrors(kind: str) -> None:
    """A mirror gets its own headers and nothing of ours, and neither do hosts that it redirects to."""
    with Scripted(serve_blob(CONTENT)) as store, Scripted(lambda asked, wire: wire.sendall(moved)) as mirror:
        moved = reply(307, b"", {"Location": f"{store.url}/x"})
        mirrors = (MirrorOptions(mirror.url, headers={"X-Mirror": "mine"}),)
        with Scripted(serve_blob(CONTENT)) as server:
            read(backend_of(kind, server.port, HttpOptions(retry_limit=0, mirrors=mirrors)))
        assert {asked.headers.get("x-mirror") for asked in mirror.asked} == {"mine"}
        assert {asked.headers.get("x-mirror") for asked in store.asked} == {None}
        assert not any(carries(asked) for asked in (*mirror.asked, *store.asked))
