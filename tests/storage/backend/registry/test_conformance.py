"""The registry backend keeps the contract of backends: over docker-registry as it is, with tokens, and on S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storage.backend.http import HttpOptions, Secret
from storage.backend.registry import Registry, RegistryOptions
from storage.testing.backend_conformance import BackendConformance, named, noise
from tests.servers.realm import Realm
from tests.servers.registry import docker_registry, on_s3, put_blob, with_realm
from tests.servers.s3 import juicefs
from tests.storage.backend.registry.conftest import BASIC, REPO, USER

BLOBS = named(b"", b"\x5a", noise(300_001))


def open_at(port: int, auth: str = "") -> Registry:
    """A backend at a port, with little patience."""
    http = HttpOptions(timeout=10, retry_limit=1)
    return Registry(RegistryOptions(f"127.0.0.1:{port}", REPO, scheme="http", auth=Secret(auth), http=http))


@pytest.fixture(scope="module")
def plain_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A registry with the blobs in a folder."""
    with docker_registry(tmp_path_factory.mktemp("plain")) as server:
        for content in BLOBS.values():
            put_blob(f"http://127.0.0.1:{server.port}", REPO, content)
        yield server.port


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A registry with the blobs in S3; it cannot keep an empty one there."""
    with (
        juicefs(tmp_path_factory.mktemp("s3")) as store,
        docker_registry(tmp_path_factory.mktemp("front"), on_s3(store)) as server,
    ):
        for content in filter(None, BLOBS.values()):
            put_blob(f"http://127.0.0.1:{server.port}", REPO, content)
        yield server.port


class TestPlain(BackendConformance):
    """Blobs in a folder of the registry."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """They are put once."""
        return BLOBS

    @pytest.fixture
    def backend(self, plain_port: int) -> Iterator[Registry]:
        """A backend of its own for each test."""
        registry = open_at(plain_port)
        yield registry
        registry.close()


class TestTokens(BackendConformance):
    """The same behind bearer tokens."""

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes], realm: Realm, tmp_path: Path) -> Iterator[Registry]:
        """A registry for each test: its realm is."""
        with docker_registry(tmp_path, with_realm(realm)) as server:
            token = {"Authorization": "Bearer " + realm.sign(f"repository:{REPO}:pull,push", USER)}
            for content in blobs.values():
                put_blob(f"http://127.0.0.1:{server.port}", REPO, content, token)
            registry = open_at(server.port, BASIC)
            yield registry
            registry.close()


class TestOnS3(BackendConformance):
    """The registry keeps its blobs in S3, and redirects to URLs that it signed."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """They are put once."""
        return {blob_id: content for blob_id, content in BLOBS.items() if content}

    @pytest.fixture
    def backend(self, s3_port: int) -> Iterator[Registry]:
        """A backend of its own for each test."""
        registry = open_at(s3_port)
        yield registry
        registry.close()

    def test_redirected(self, backend: Registry, largest: str) -> None:
        """Reads do go to S3: the registry redirects once for all of them."""
        reader = backend.get_reader(largest)
        for offset in range(0, 1000, 100):
            reader.read_into(memoryview(bytearray(10)), offset)
        assert (backend.metrics["redirects"], backend.metrics["requests"]) == (1, 11)
