"""A push that breaks midway: it goes on, or fails with one error; a manifest never names blobs that are not there."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.backend.http import HttpOptions
from storage.errors import BackendError
from storage.oci import push
from tests.servers.processes import Process
from tests.servers.registry import docker_registry
from tests.servers.relay import Cut, Relay

_ONCE = HttpOptions(retry_limit=0, timeout=5)


@pytest.fixture(autouse=True)
def nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Process]:
    """An empty registry."""
    with docker_registry(tmp_path / "registry") as server:
        yield server


def layout_of(folder: Path, *sizes: int) -> Path:
    """An image with layers of so many bytes of noise."""
    noise, blobs = np.random.default_rng(3), folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    layers = [put(noise.bytes(size), "layer.v1.tar") for size in sizes]
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest |= {"config": put(b"{}", "config.v1+json"), "layers": layers}
    top = put(json.dumps(manifest).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return folder


def status(server: Process, path: str) -> int:
    """What the registry answers to HEAD."""
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    ask = urllib.request.Request(f"http://127.0.0.1:{server.port}/v2/{path}", method="HEAD", headers=accept)
    try:
        with urllib.request.urlopen(ask) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def is_whole(server: Process, layout: Path, repo: str, tag: str) -> bool:
    """Whether the tag is there; then every blob of the layout has to be."""
    if status(server, f"{repo}/manifests/{tag}") != 200:
        return False
    named = {blob.name for blob in (layout / "blobs" / "sha256").iterdir()}
    top = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"].removeprefix("sha256:")
    assert {status(server, f"{repo}/blobs/sha256:{name}") for name in named - {top}} == {200}
    return True


@pytest.mark.parametrize("how", ["close", "reset"])
def test_cut_anywhere(how: str, registry: Process, tmp_path: Path) -> None:
    """Whatever answer is cut, at whichever byte: one error and no tag; pushed again, only the rest is sent."""
    layout = layout_of(tmp_path / "layout", 5000, 70_000)
    failed = 0
    for number, after in enumerate([*range(0, 3000, 353)]):
        with Relay(registry.port, lambda at: Cut(after, how)) as relay:  # noqa: B023 - called within the turn
            try:
                push(layout, f"{relay.host}/app-{number}:v1", scheme="http", http=_ONCE)
            except BackendError:
                failed += 1
                assert not is_whole(registry, layout, f"app-{number}", "v1")
            else:
                assert is_whole(registry, layout, f"app-{number}", "v1")
        push(layout, f"127.0.0.1:{registry.port}/app-{number}:v1", scheme="http", http=_ONCE)
        assert is_whole(registry, layout, f"app-{number}", "v1")
    assert failed > 2


def test_it_goes_on(registry: Process, tmp_path: Path) -> None:
    """With retries, every second connection that breaks is made good for."""
    layout = layout_of(tmp_path / "layout", 5000, 70_000, 300_000)
    with Relay(registry.port, lambda number: Cut(700) if number % 2 else None) as relay:
        pushed = push(layout, f"{relay.host}/app:v1", scheme="http", http=HttpOptions(retry_limit=3, timeout=5))
    assert is_whole(registry, layout, "app", "v1")
    assert pushed.blobs == 4


def test_killed_during_an_upload(registry: Process, tmp_path: Path) -> None:
    """The registry dies while a blob is on its way: one error; when it is back, only the rest is sent."""
    layout, data = layout_of(tmp_path / "layout", 100_000, 60_000_000), tmp_path / "registry" / "data"
    errors: list[BaseException] = []

    def work() -> None:
        try:
            push(layout, f"127.0.0.1:{registry.port}/app:v1", scheme="http", http=_ONCE)
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    deadline = time.monotonic() + 10
    uploads = data / "docker/registry/v2/repositories/app/_uploads"
    while not any(file.stat().st_size > 200_000 for file in uploads.glob("*/data")):
        assert time.monotonic() < deadline
        assert worker.is_alive()
        time.sleep(0.001)
    registry.kill()
    worker.join(10)
    assert [type(error) for error in errors] == [BackendError]
    assert "http" in str(errors[0])
    registry.start()
    assert not is_whole(registry, layout, "app", "v1")
    again = push(layout, f"127.0.0.1:{registry.port}/app:v1", scheme="http", http=_ONCE)
    assert again.sent == 60_000_000
    assert is_whole(registry, layout, "app", "v1")
