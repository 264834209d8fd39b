"""Backend `oss` against a server that verifies signatures, and which the vendor's clients satisfy, too."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.backend import BlobBackend, Oss
from storage.backend.http import HttpOptions
from storage.backend.signing import Keys, _clock
from storage.errors import BackendError, ConfigError
from storage.testing.backend_conformance import BackendConformance, named, noise
from tests.servers.oss import OssServer

_BLOBS = named(b"", b"\x5a", noise(300_001))
_KEYS = Keys("LTAIEXAMPLE", "secretEXAMPLE/+=")
_TOKEN = Keys("STS.EXAMPLE", "secretEXAMPLE2", "token/+=EXAMPLE")
_PREFIX = "nydus b/é+~("


@pytest.fixture(scope="module", params=[_KEYS, _TOKEN], ids=["keys", "temporary"])
def server(request: pytest.FixtureRequest) -> Iterator[OssServer]:
    """A server that has the blobs, and knows one pair of keys."""
    keys = request.param
    server = OssServer(keys.access_key_id, keys.access_key_secret, keys.session_token)
    server.objects = {("images", _PREFIX + blob_id): content for blob_id, content in _BLOBS.items()}
    yield server
    server.close()


@pytest.fixture(autouse=True)
def buckets_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of buckets lead to loopback."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".oss.test") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def opened(server: OssServer, **settings: Any) -> Oss:
    """The bucket, as a backend."""
    keys = Keys(server.key_id, server.secret, server.token)
    given = {"prefix": _PREFIX, "keys": keys, "options": HttpOptions(retry_limit=0)} | settings
    return Oss("images", f"oss.test:{server.port}", scheme="http", **given)


class TestOss(BackendConformance):
    """The suite, under both versions of signature."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """What the server has."""
        return _BLOBS

    @pytest.fixture(params=["", "cn-hangzhou"], ids=["v1", "v4"])
    def backend(self, server: OssServer, request: pytest.FixtureRequest) -> Iterator[BlobBackend]:
        """The bucket, signed by version 1 and by version 4."""
        server.refused.clear()
        backend = opened(server, region=request.param)
        yield backend
        backend.close()
        assert server.refused == []


@pytest.mark.parametrize("region", ["", "cn-hangzhou"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"access_key_secret": "other"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "other"}, "InvalidAccessKeyId"),
        ({"session_token": "other"}, "InvalidSecurityToken"),
        (None, "AccessDenied|InvalidSecurityToken"),
    ],
)
def test_wrong_keys(wrong: dict[str, str] | None, code: str, region: str, server: OssServer) -> None:
    """Without the right keys nothing is read; the error says what the server said, and no secret."""
    right = {"access_key_id": server.key_id, "access_key_secret": server.secret, "session_token": server.token}
    backend = opened(server, region=region, keys=None if wrong is None else Keys(**(right | wrong)))
    with pytest.raises(BackendError, match=code) as failed:
        backend.get_reader(next(iter(_BLOBS))).read_into(memoryview(bytearray(1)), 0)
    assert "secretEXAMPLE" not in str(failed.value)
    backend.close()


def test_the_vendors_clients_pass(server: OssServer) -> None:
    """The server takes what `oss2` signs, under both versions, for a key with whatever characters."""
    oss2 = pytest.importorskip("oss2")
    provider = oss2.credentials.StaticCredentialsProvider(server.key_id, server.secret, server.token)
    server.refused.clear()
    for auth in (oss2.ProviderAuth(provider), oss2.ProviderAuthV4(provider)):
        endpoint = f"http://oss.test:{server.port}"
        bucket = oss2.Bucket(auth, endpoint, "images", region="cn-hangzhou", enable_crc=False)
        bucket.put_object("a b/é+~(", b"from oss2")
        assert bucket.get_object("a b/é+~(").read() == b"from oss2"
        assert bucket.get_object("a b/é+~(", byte_range=(5, 8)).read() == b"oss2"
    assert server.refused == []


@pytest.mark.parametrize(("bucket", "endpoint"), [("", "host"), ("bucket", "")])
def test_no_place(bucket: str, endpoint: str) -> None:
    """A bucket or an endpoint that is missing is refused."""
    with pytest.raises(ConfigError):
        Oss(bucket, endpoint)


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("region", ["", "cn-hangzhou"])
def test_a_clock_that_is_wrong(region: str, hours: int, server: OssServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is hours off learns the time from the first refusal, once, and signs with it."""
    late = timedelta(hours=hours)
    monkeypatch.setattr(_clock, "_utc_now", lambda: datetime.now(UTC) + late)
    blob_id, content = max(_BLOBS.items(), key=lambda blob: len(blob[1]))
    for ask in ("size", "range"):
        backend = opened(server, region=region)
        reader, buffer = backend.get_reader(blob_id), bytearray(100)
        if ask == "size":
            assert reader.blob_size() == len(content)
        for offset in (0, 5000):
            reader.read_into(memoryview(buffer), offset)
            assert buffer == content[offset : offset + 100]
        assert backend.client.metrics["requests"] == (4 if ask == "size" else 3)
        assert backend.client.metrics["errors"] == 0
        backend.close()
