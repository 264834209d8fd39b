"""Registries of all kinds, started once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from storage.backend.http import HttpOptions, Secret
from storage.backend.registry import Registry, RegistryOptions
from tests.servers.certificates import Authority
from tests.servers.processes import Process
from tests.servers.realm import Realm
from tests.servers.registry import Config, docker_registry, put_blob, with_htpasswd, with_realm, with_tls

CONTENT = np.random.default_rng(5).bytes(3_000_000)
USER, PASSWORD = "user", "secret-pw"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
HTPASSWD = f"{USER}:$2b$04$y.x4C7nfMIkaLVAZa7G71..Nqi/MDEm4ytYMhRPXmZ6snvjXL4V6i\n"
REPO = "library/app"


class Hosted(NamedTuple):
    """A registry that runs, and a blob in it."""

    host: str
    blob: str


@pytest.fixture(autouse=True)
def nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but what a test gives."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))
    monkeypatch.delenv("IMAGE_PULL_AUTH", raising=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a registry has put one blob, and its name."""
    folder = tmp_path_factory.mktemp("data")
    with docker_registry(folder) as server:
        blob = put_blob(f"http://127.0.0.1:{server.port}", REPO, CONTENT)
    return folder / "data", blob


Run = Callable[..., Hosted]


@pytest.fixture(scope="session")
def run(data: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Start registries over that folder, each configured in its way."""
    servers: list[Process] = []

    def start(*configs: Config) -> Hosted:
        folder = tmp_path_factory.mktemp("registry")
        (folder / "data").symlink_to(data[0])
        servers.append(docker_registry(folder, *configs))
        servers[-1].start()
        return Hosted(f"127.0.0.1:{servers[-1].port}", data[1])

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def open_registry(run: Run) -> Hosted:
    """Everybody may read it."""
    return run()


@pytest.fixture(scope="session")
def basic_registry(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Hosted:
    """Basic authentication."""
    return run(with_htpasswd(tmp_path_factory.mktemp("htpasswd"), HTPASSWD))


@pytest.fixture(scope="session")
def tls_registry(run: Run, authority: Authority) -> Hosted:
    """TLS by a private authority."""
    return run(with_tls(authority))


@pytest.fixture
def realm(authority: Authority) -> Iterator[Realm]:
    """A realm that knows one user."""
    with Realm(authority, {USER: PASSWORD}) as server:
        yield server


@pytest.fixture
def token_registry(run: Run, realm: Realm) -> Hosted:
    """Bearer tokens of that realm."""
    return run(with_realm(realm))


def registry_of(hosted: Hosted, http: HttpOptions | None = None, **options: Any) -> Registry:
    """A backend for it; secrets as plain strings."""
    for name in ("auth", "registry_token"):
        if name in options:
            options[name] = Secret(options[name])
    return Registry(RegistryOptions(hosted.host, REPO, http=http or HttpOptions(timeout=5), **options))


def read(registry: Registry, blob: str, offset: int = 1_000_000, length: int = 100_000) -> bytes:
    """Bytes of a range."""
    buffer = bytearray(length)
    assert registry.get_reader(blob).read_into(memoryview(buffer), offset).received == length
    return bytes(buffer)


def wanted(offset: int = 1_000_000, length: int = 100_000) -> bytes:
    """What that range is."""
    return CONTENT[offset : offset + length]
