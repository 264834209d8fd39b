"""Backend `http-proxy` against nginx, over TCP and a unix socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from storage.backend import BlobBackend, HttpProxy
from storage.errors import BackendError, ConfigError
from storage.testing.backend_conformance import BackendConformance, named, noise
from tests.servers.nginx import nginx

_BLOBS = named(b"", b"\x5a", noise(300_001))


class Served(NamedTuple):
    """Where the same folder is served: a URL, and the path of a socket."""

    url: str
    socket: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has the blobs in a folder, and one at ``/``."""
    folder = tmp_path_factory.mktemp("nginx")
    root, socket = folder / "root", folder / "nginx.sock"
    (root / "a b" / "blobs").mkdir(parents=True)
    for blob_id, content in _BLOBS.items():
        (root / "a b" / "blobs" / blob_id).write_bytes(content)
    (root / "single").write_bytes(noise(5000))
    more = f"listen unix:{socket}; root {root}; location = / {{ try_files /single =404; }}"
    with nginx(folder, root, more=more) as process:
        yield Served(f"http://127.0.0.1:{process.port}", str(socket))


class TestHttpProxy(BackendConformance):
    """The suite."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """What the server has."""
        return _BLOBS

    @pytest.fixture(params=["tcp", "unix"])
    def backend(self, server: Served, request: pytest.FixtureRequest) -> Iterator[BlobBackend]:
        """The folder over both."""
        backend = HttpProxy(server.url if request.param == "tcp" else server.socket, "/a b/blobs/")
        yield backend
        backend.close()


def test_one_blob_behind_a_socket(server: Served) -> None:
    """Without a path a socket has one blob, at its root, by any id."""
    backend = HttpProxy(server.socket)
    buffer = bytearray(10)
    backend.get_reader("anything").read_into(memoryview(buffer), 4990)
    assert buffer == noise(5000)[4990:]
    backend.close()


@pytest.mark.parametrize("addr", ["", "nowhere", "ftp://host", "http://", "relative/path"])
def test_no_address(addr: str) -> None:
    """What is neither a URL nor a path is refused."""
    with pytest.raises(ConfigError, match="neither a URL nor the path of a socket"):
        HttpProxy(addr)


def test_no_socket(tmp_path: Path) -> None:
    """A socket that is not there is refused by its path; one on which nobody listens fails when it is read."""
    with pytest.raises(ConfigError, match="no such socket"):
        HttpProxy(str(tmp_path / "none"))


def test_a_dead_socket(tmp_path: Path) -> None:
    """A socket on which nobody listens fails as a connection does."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "dead"))
        backend = HttpProxy(str(tmp_path / "dead"))
        with pytest.raises(BackendError, match="refused"):
            backend.get_reader("blob").read_into(memoryview(bytearray(1)), 0)
        backend.close()


def test_passwords_are_not_shown() -> None:
    """A URL's user and password are not shown."""
    assert "word" not in repr(HttpProxy("http://user:word@host/"))
