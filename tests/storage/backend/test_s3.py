"""Backend `s3` against servers that verify signatures, both styles of address."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.backend import S3, BlobBackend
from storage.backend.http import HttpOptions
from storage.backend.signing import Keys, _clock
from storage.errors import BackendError, ConfigError
from storage.testing.backend_conformance import BackendConformance, named, noise
from tests.servers.s3 import DOMAIN, KEYS, SERVERS, S3Server, put_blobs

_BLOBS = named(b"", b"\x5a", noise(300_001))


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server with the blobs behind two prefixes."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        for prefix in ("nydus/", "a b/é+~("):
            put_blobs(running, _BLOBS, prefix)
        yield running


@pytest.fixture
def buckets_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of buckets lead to loopback."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith("." + DOMAIN) else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def opened(server: S3Server, style: str = "path", **settings: Any) -> S3:
    """The bucket, as a backend."""
    endpoint = server.endpoint if style == "path" else f"{DOMAIN}:{server.port}"
    given = {"region": "us-east-1", "prefix": "nydus/", "keys": KEYS, "options": HttpOptions(retry_limit=0)} | settings
    return S3(server.bucket, endpoint=endpoint, scheme="http", style=style, **given)


@pytest.mark.usefixtures("buckets_resolve")
class TestS3(BackendConformance):
    """The suite."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """What the server has."""
        return _BLOBS

    @pytest.fixture(params=["path", "virtual"])
    def backend(self, server: S3Server, request: pytest.FixtureRequest) -> Iterator[BlobBackend]:
        """The bucket in both styles."""
        backend = opened(server, request.param)
        yield backend
        backend.close()


def test_odd_prefix(server: S3Server) -> None:
    """A prefix with whatever characters is quoted and signed right."""
    backend = opened(server, prefix="a b/é+~(")
    for blob_id, content in _BLOBS.items():
        assert backend.get_reader(blob_id).blob_size() == len(content)
    backend.close()


@pytest.mark.parametrize("keys", [None, Keys(KEYS.access_key_id, "wrong"), Keys("AKIDNOBODY", KEYS.access_key_secret)])
def test_wrong_keys(keys: Keys | None, server: S3Server) -> None:
    """Without the right keys nothing is read, and the error names the blob and shows no secret."""
    backend = opened(server, keys=keys)
    blob_id = max(_BLOBS, key=lambda blob_id: len(_BLOBS[blob_id]))
    with pytest.raises(BackendError, match=blob_id) as failed:
        backend.get_reader(blob_id).read_into(memoryview(bytearray(1)), 0)
    assert KEYS.access_key_secret not in str(failed.value)
    backend.close()


def test_no_style() -> None:
    """A style that is none is refused."""
    with pytest.raises(ConfigError, match="neither path nor virtual"):
        S3("bucket", region="r", style="paths")


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_wrong(hours: int, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is hours off learns the time from the first refusal, once, and signs with it."""
    late = timedelta(hours=hours)
    monkeypatch.setattr(_clock, "_utc_now", lambda: datetime.now(UTC) + late)
    blob_id, content = max(_BLOBS.items(), key=lambda blob: len(blob[1]))
    for ask in ("size", "range"):
        backend = opened(server)
        reader, buffer = backend.get_reader(blob_id), bytearray(100)
        if ask == "size":
            assert reader.blob_size() == len(content)
        for offset in (0, 5000):
            reader.read_into(memoryview(buffer), offset)
            assert buffer == content[offset : offset + 100]
        assert backend.client.metrics["requests"] == (4 if ask == "size" else 3)
        assert backend.client.metrics["errors"] == 0
        backend.close()
