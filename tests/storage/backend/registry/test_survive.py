"""What networks and servers do, done to a real docker-registry; each test adds a row to the table of faults."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.backend import RequestSource
from storage.backend.http import HttpOptions, MirrorOptions
from storage.backend.registry import Registry
from storage.errors import BackendError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.oci import push
from tests.servers.nginx import nginx
from tests.servers.processes import Process, free_port
from tests.servers.realm import Realm
from tests.servers.registry import docker_registry
from tests.servers.relay import Cut, Relay
from tests.servers.scripted import Asked, Scripted, answer_of, reply
from tests.storage.backend._timing import in_time, punctual
from tests.storage.backend.registry.conftest import BASIC, CONTENT, Hosted, read, registry_of, wanted
from tests.storage.oci._layouts import nydus_layout

Survived = Callable[[str, str, str], None]


class Readers:
    """Threads that read at random from a registry until stopped; what they got wrong, and what failed."""

    def __init__(self, registry: Registry, blob: str, threads: int = 4) -> None:
        self.reads = self.wrong = 0
        self.errors: list[BackendError] = []
        self._go = True
        self._threads = [threading.Thread(target=self._work, args=(registry, blob, n)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self, registry: Registry, blob: str, number: int) -> None:
        turn = 0
        while self._go:
            offset = (number * 977 + turn * 7919) % (len(CONTENT) - 20_000)
            turn += 1
            try:
                self.wrong += read(registry, blob, offset, 20_000) != wanted(offset, 20_000)
            except BackendError as error:
                self.errors.append(error)
            self.reads += 1
            time.sleep(0.005)

    def stop(self) -> None:
        """Wait until all have ended."""
        self._go = False
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def mortal(data: tuple[Path, str], tmp_path: Path) -> Iterator[tuple[Process, Hosted]]:
    """A registry that may be killed."""
    (tmp_path / "data").symlink_to(data[0])
    with docker_registry(tmp_path) as server:
        yield server, Hosted(f"127.0.0.1:{server.port}", data[1])


def test_killed_and_restarted(mortal: tuple[Process, Hosted], survived: Survived) -> None:
    """A registry that is killed while four threads read, and is back after half a second, fails no read."""
    server, hosted = mortal
    registry = registry_of(hosted, HttpOptions(timeout=5, retry_limit=6), scheme="http")
    readers = Readers(registry, hosted.blob)
    for _ in range(2):
        time.sleep(0.2)
        server.kill()
        time.sleep(0.5)
        server.start()
    time.sleep(0.2)
    readers.stop()
    assert (readers.wrong, readers.errors) == (0, [])
    assert registry.metrics["retries"] > 0
    survived("server killed and restarted, twice", "registry", f"{readers.reads} reads, none failed")


def test_killed_for_good(mortal: tuple[Process, Hosted], survived: Survived) -> None:
    """A registry that stays away is one clear error for each read, after the retries."""
    server, hosted = mortal
    registry = registry_of(hosted, HttpOptions(timeout=5, retry_limit=2), scheme="http")
    assert read(registry, hosted.blob) == wanted()
    server.kill()
    begun = time.monotonic()
    with pytest.raises(BackendError, match=rf"the connection is refused \(blob {hosted.blob}, offset 1000000, url "):
        read(registry, hosted.blob)
    assert time.monotonic() - begun < 1
    assert (registry.metrics["retries"], registry.metrics["errors"]) == (2, 1)
    survived("server killed for good", "registry", "BackendError: the connection is refused")


def test_a_token_expires(token_registry: Hosted, realm: Realm, survived: Survived) -> None:
    """Tokens that docker-registry takes for two seconds, and are said to last an hour, fail no read."""
    realm.lasts, realm.said = -58, 3600  # it allows for a minute between clocks
    registry = registry_of(token_registry, HttpOptions(timeout=5, retry_limit=0), scheme="http", auth=BASIC)
    readers = Readers(registry, token_registry.blob)
    time.sleep(4.5)
    readers.stop()
    assert (readers.wrong, readers.errors) == (0, [])
    assert registry.metrics["tokens"] >= 3
    survived("token expires", "registry", f"{registry.metrics['tokens']} tokens, no read failed")


def test_cut_anywhere(open_registry: Hosted, survived: Survived) -> None:
    """An answer that is cut or reset after any byte of its header, or within its body, costs one retry."""
    port, length = int(open_registry.host.partition(":")[2]), 3000
    whole = len(raw_answer(port, open_registry.blob, length))
    spots = [*range(whole - length + 1), *range(whole - length + 1, whole, 293)]
    cases = [*((spot, "reset") for spot in spots), *((spot, "close") for spot in spots[::9])]

    def check(case: tuple[int, str]) -> tuple[bool, int]:
        with Relay(port, lambda number: Cut(*case) if number == 0 else None) as relay:
            http = HttpOptions(timeout=60, retry_limit=1)
            registry = registry_of(Hosted(relay.host, open_registry.blob), http, scheme="http")
            got = read(registry, open_registry.blob, 5000, length) == wanted(5000, length)
            registry.close()
            return got, registry.metrics["retries"]

    with ThreadPoolExecutor(24) as threads:
        assert set(threads.map(check, cases)) == {(True, 1)}
    survived(f"reset or cut after each of {whole - length} header bytes, and in the body", "registry", "one retry each")


def raw_answer(port: int, blob: str, length: int) -> bytes:
    """What the registry answers to the request that `test_cut_anywhere` makes, to the byte."""
    with socket.create_connection(("127.0.0.1", port)) as wire:
        lines = [f"GET /v2/library/app/blobs/sha256:{blob} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"Range: bytes=5000-{5000 + length - 1}", "Connection: close", "", ""]
        wire.sendall("\r\n".join(lines).encode())
        return b"".join(iter(lambda: wire.recv(1 << 16), b"")).replace(b"Connection: close\r\n", b"")


def test_truncated_each_time(open_registry: Hosted, survived: Survived) -> None:
    """A body that never comes whole is an error, and none of it is served as if it had."""
    port = int(open_registry.host.partition(":")[2])
    with Relay(port, lambda number: Cut(1200)) as relay:
        registry = registry_of(Hosted(relay.host, open_registry.blob), HttpOptions(retry_limit=2), scheme="http")
        with pytest.raises(BackendError, match="the body ends early"):
            read(registry, open_registry.blob)
        assert relay.opened == 3
    survived("body truncated each time", "registry", "BackendError: the body ends early")


@pytest.mark.parametrize("after", [0, 50, 2000])
@punctual
def test_stall(after: int, open_registry: Hosted, survived: Survived) -> None:
    """A server that stalls before, within or after the headers is given up in time, within 20 %."""
    port = int(open_registry.host.partition(":")[2])
    with Relay(port, lambda number: Cut(after, "stall")) as relay:
        http = HttpOptions(timeout=0.6, retry_limit=0)
        registry = registry_of(Hosted(relay.host, open_registry.blob), http, scheme="http")
        begun = time.monotonic()
        with pytest.raises(BackendError, match="does not answer in time"):
            read(registry, open_registry.blob)
        spent = time.monotonic() - begun
    in_time(spent, 0.6)
    survived(f"stalled after {after} bytes, timeout 0.6 s", "registry", "BackendError in time, within 20 %")


def test_busy_and_broken(data: tuple[Path, str], survived: Survived) -> None:
    """429 with Retry-After is waited for; a storm of 500s ends when it ends, or with the retries."""
    storm = [reply(429, b"", {"Retry-After": "1"}), *[reply(500)] * 3]

    def script(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(storm.pop(0) if storm else answer_of(asked, CONTENT))

    with Scripted(script) as server:
        hosted = Hosted(server.url.removeprefix("http://"), data[1])
        begun = time.monotonic()
        assert read(registry_of(hosted, HttpOptions(retry_limit=4), scheme="http"), hosted.blob) == wanted()
        assert server.asked[1].at - server.asked[0].at >= 1
        assert time.monotonic() - begun < 3
        survived("429 with Retry-After: 1, then three 500s", "registry", "waits, then reads")
        storm.extend([reply(500)] * 100)
        with pytest.raises(BackendError, match=r"busy or broken .*status 500"):
            read(registry_of(hosted, HttpOptions(retry_limit=2), scheme="http"), hosted.blob)
        assert len(storm) == 97
    survived("500s without end", "registry", "BackendError: the server is busy or broken")


def test_a_mirror_dies_and_returns(open_registry: Hosted, tmp_path: Path, survived: Survived) -> None:
    """A mirror (nginx) that is killed and comes back: no read fails, and it serves again."""
    port, inside = free_port(), f"proxy_pass http://{open_registry.host};"
    mirror = nginx(tmp_path, tmp_path, port=port, inside=inside)
    options = MirrorOptions(f"http://127.0.0.1:{port}", failure_limit=2, health_check_interval=0.1)
    log = tmp_path / "access.log"
    with mirror:
        registry = registry_of(open_registry, HttpOptions(mirrors=(options,), retry_limit=0), scheme="http")
        readers = Readers(registry, open_registry.blob)
        time.sleep(0.4)
        mirror.kill()
        time.sleep(0.4)
        served = log.read_text().count(" 206 ")
        mirror.start()
        time.sleep(0.8)
        readers.stop()
    registry.close()
    assert served > 0
    assert log.read_text().count(" 206 ") > served
    assert (readers.wrong, readers.errors) == (0, [])
    assert registry.metrics["fallbacks"] >= 2
    survived("mirror dies and returns", "registry", f"{readers.reads} reads, none failed; it serves again")


def test_no_such_host(data: tuple[Path, str], survived: Survived) -> None:
    """A host that has no address is an error that says so, for reads and for sizes."""
    registry = registry_of(Hosted("no-such-host.invalid", data[1]), HttpOptions(retry_limit=1), scheme="http")
    for ask in (lambda: read(registry, data[1]), lambda: registry.get_reader(data[1]).blob_size()):
        with pytest.raises(BackendError, match="the host's name cannot be resolved"):
            ask()
    survived("DNS failure", "registry", "BackendError: the host's name cannot be resolved")


def test_full_pool(open_registry: Hosted, survived: Survived) -> None:
    """64 threads over 4 connections: never more are open, everyone gets his bytes, nobody waits for long."""
    port = int(open_registry.host.partition(":")[2])
    with Relay(port) as relay:
        http = HttpOptions(timeout=10, connections=4)
        registry = registry_of(Hosted(relay.host, open_registry.blob), http, scheme="http")

        def work(number: int) -> float:
            longest = 0.0
            for turn in range(8):
                begun, offset = time.monotonic(), (number * 8 + turn) * 5000
                assert read(registry, open_registry.blob, offset, 5000) == wanted(offset, 5000)
                longest = max(longest, time.monotonic() - begun)
            return longest

        begun = time.monotonic()
        with ThreadPoolExecutor(64) as threads:
            longest = max(threads.map(work, range(64)))
        spent = time.monotonic() - begun
        assert relay.most <= 4
        assert longest < spent / 2
        assert not registry.client._pool.wants(RequestSource.ON_DEMAND)
        registry.close()
    survived("64 threads, 4 connections", "registry", f"{relay.most} open at most, nobody starves")


def test_each_failure_is_an_event(image_dir: Path, tmp_path: Path, survived: Survived) -> None:
    """Through a store: each failed attempt is a retry row, each failed read one failure row and one error."""
    (tmp_path / "registry").mkdir()
    layout = tmp_path / "layout"
    nydus_layout(image_dir, layout)
    with docker_registry(tmp_path / "registry") as server:
        hosted = Hosted(f"127.0.0.1:{server.port}", "")
        push(layout, f"{hosted.host}/library/app:v1")
        recorder = Recorder()
        http = HttpOptions(timeout=5, retry_limit=1)
        registry = registry_of(hosted, http, scheme="http", recorder=recorder)
        with open_store(
            image_dir, cache_dir=tmp_path / "cache", backend=registry, recorder=recorder, amplify_io=0
        ) as rafs:
            small, large = rafs.lookup("/lib/module_01.py"), rafs.lookup("/lib/deep/noise.bin")
            whole = rafs.read(small)
            server.kill()
            with pytest.raises(BackendError, match="the connection is refused"):
                rafs.read(large)
            server.start()
            assert len(rafs.read(large)) == 300_000
            assert rafs.read(small) == whole
    events = recorder.table().to_pylist()
    kinds = [row["kind"] for row in events]
    assert (kinds.count("retry"), kinds.count("failure")) == (1, 1)
    audit(recorder.table())
    survived(
        "server away during a read of a file", "registry", "one error, one failure row; read again when it is back"
    )
