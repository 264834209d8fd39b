"""Whatever the network does: right bytes or one clear error in time. What came of it is printed as a table."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from storage.backend import S3, HttpProxy
from storage.backend.http import HttpOptions, MirrorOptions, _client
from storage.backend.registry import Registry, RegistryOptions
from storage.errors import BackendError, IntegrityError, MissingBlobError
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import read_chunks
from tests.servers.nginx import nginx
from tests.servers.oss import oss_process
from tests.servers.processes import Process, free_port
from tests.servers.registry import docker_registry, put_blob
from tests.servers.s3 import KEYS as S3_KEYS
from tests.servers.s3 import juicefs, put_blobs
from tests.servers.scripted import Asked, Scripted, answer_of, serve_blob
from tests.storage.backend._survive import BACKENDS, CONTENT, FAULTS, KEYS, NETWORKED, SPAN, Fault, Place, scripts_of
from tests.storage.backend._timing import in_time, punctual

_ID = hashlib.sha256(CONTENT).hexdigest()
Survived = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are short but where a server asks for more; how long they are is tested elsewhere."""
    monkeypatch.setattr(_client, "backoff", lambda attempt, retry_after: max(0.005, retry_after or 0))


def options_of(fault: Fault) -> HttpOptions:
    """Retries, and whatever the fault needs."""
    return HttpOptions(**({"retry_limit": 3, "timeout": 5} | fault.options))


def place_of(kind: str, folder: Path) -> Path | None:
    """The unix socket on which a server listens for a backend, if not on a port."""
    return folder / "socket" if "unix" in kind else None


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
@punctual
def test_faults(fault: Fault, kind: str, survived: Survived, tmp_path: Path) -> None:
    """Each fault ends as it should: in the right bytes, or in one error that names the blob, and in time."""
    with Scripted(scripts_of(fault), path=place_of(kind, tmp_path)) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), options_of(fault))
        buffer, outcome = bytearray(SPAN[1]), "right"
        start = time.monotonic()
        try:
            backend.get_reader(_ID).read_into(memoryview(buffer), SPAN[0])
        except BackendError as error:
            assert _ID in str(error)
            assert isinstance(error, MissingBlobError) == (fault.name == "404")
            status = error.where.get("status")
            outcome = error.message + (f", status {status}" if status else "")
        spent = time.monotonic() - start
        backend.close()
    assert re.search(fault.error, outcome) if fault.error else buffer == CONTENT[SPAN[0] : sum(SPAN)]
    assert (outcome == "right") == (not fault.error)
    assert spent >= fault.seconds
    if fault.error and fault.seconds:
        in_time(spent, fault.seconds)
    elif fault.error:
        assert spent < 5
    asked = len(server.asked)
    survived(fault.name, kind, f"{outcome}, {asked} requests" if asked > 1 else outcome)


@pytest.mark.parametrize("kind", BACKENDS)
def test_killed_and_restarted(kind: str, survived: Survived, tmp_path: Path) -> None:
    """A server that is killed within an answer, and is back before the retries are used up, costs a pause."""
    content, killed = CONTENT, threading.Event()

    def dies(asked: Asked, wire: socket.socket) -> bool:
        wire.sendall(answer_of(asked, content)[:-3000])
        killed.set()
        return True

    server = Scripted(dies, path=place_of(kind, tmp_path))
    fresh: list[Scripted] = []

    def restart() -> None:
        killed.wait(5)
        server.close()
        time.sleep(0.03)
        fresh.append(Scripted(serve_blob(content), server.port, server.path))

    thread = threading.Thread(target=restart)
    thread.start()
    backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(retry_limit=100))
    buffer = bytearray(SPAN[1])
    backend.get_reader(_ID).read_into(memoryview(buffer), SPAN[0])
    thread.join()
    assert buffer == CONTENT[SPAN[0] : sum(SPAN)]
    backend.close()
    fresh[0].close()
    survived("killed and restarted", kind, "right")


@pytest.fixture(params=["http-proxy", "oss", "registry", "s3"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, Process, Any]]:
    """A real server that has the blob, and the backend in front of it."""
    options = HttpOptions(retry_limit=5000, connections=8)
    if request.param == "http-proxy":
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / _ID).write_bytes(CONTENT)
        with nginx(tmp_path / "nginx", tmp_path / "root") as process:
            yield "http-proxy", "nginx", process, HttpProxy(f"http://127.0.0.1:{process.port}", options=options)
    elif request.param == "oss":
        (tmp_path / "objects" / "127").mkdir(parents=True)
        (tmp_path / "objects" / "127" / _ID).write_bytes(CONTENT)
        with oss_process(tmp_path, KEYS) as process:
            yield "oss", "verifying OSS server", process, BACKENDS["oss"](Place(process.port), options)
    elif request.param == "registry":
        with docker_registry(tmp_path) as process:
            assert put_blob(f"http://127.0.0.1:{process.port}", "app", CONTENT) == _ID
            yield (
                "registry",
                "docker-registry",
                process,
                Registry(RegistryOptions(f"127.0.0.1:{process.port}", "app", "http", http=options)),
            )
    else:
        with juicefs(tmp_path) as server:
            put_blobs(server, {_ID: CONTENT})
            place = {"endpoint": server.endpoint, "region": "us-east-1", "scheme": "http"}
            yield "s3", "juicefs", server.process, S3(server.bucket, keys=S3_KEYS, options=options, **place)


def test_real_server_killed_and_restarted(real: tuple[str, str, Process, Any], survived: Survived) -> None:
    """A real server that is killed while eight threads read, and started again, costs time and nothing else."""
    kind, name, process, backend = real
    reader, done, served = backend.get_reader(_ID), threading.Event(), [0] * 8

    def read_on(number: int) -> bool:
        buffer = bytearray(5000)
        while not done.is_set():
            reader.read_into(memoryview(buffer), number * 1000)
            if buffer != CONTENT[number * 1000 : number * 1000 + 5000]:
                return False
            served[number] += 1
        return True

    def wait_for_all() -> None:
        """Until each thread was served again, and is at the next read."""
        before, deadline = list(served), time.monotonic() + 60
        while any(now <= then + 1 for now, then in zip(served, before, strict=True)):
            assert time.monotonic() < deadline, "a thread is not served any more"
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(read_on, number) for number in range(8)]
        try:
            wait_for_all()
            for _ in range(2):
                process.kill()
                time.sleep(0.05)
                process.start()
                wait_for_all()
        finally:
            done.set()
        assert all(read.result(30) for read in reads)
    assert backend.client.metrics["retries"] > 0
    backend.close()
    survived(f"{name} killed twice under 8 readers", kind, "right")


@pytest.mark.parametrize("kind", BACKENDS)
def test_killed_for_good(kind: str, survived: Survived, tmp_path: Path) -> None:
    """A server that is gone is an error that says so."""
    with Scripted(serve_blob(CONTENT), path=place_of(kind, tmp_path)) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(retry_limit=2))
        reader = backend.get_reader(_ID)
        reader.read_into(memoryview(bytearray(10)), 0)
    with pytest.raises(BackendError, match=_ID) as failed:
        reader.read_into(memoryview(bytearray(10)), 0)
    backend.close()
    survived("killed for good", kind, failed.value.message)


@pytest.mark.parametrize("kind", NETWORKED)
def test_no_such_host(kind: str, survived: Survived, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is an error that says so."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    backend = BACKENDS[kind](Place(1), HttpOptions(retry_limit=1))
    with pytest.raises(BackendError, match="cannot be resolved") as failed:
        backend.get_reader(_ID).read_into(memoryview(bytearray(10)), 0)
    backend.close()
    survived("DNS failure", kind, failed.value.message)


@pytest.mark.parametrize("kind", NETWORKED)
@punctual
def test_a_resolver_that_hangs(kind: str, survived: Survived, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer is an error in the time that there is to connect."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: time.sleep(1) or [])
    backend = BACKENDS[kind](Place(free_port()), HttpOptions(retry_limit=0, connect_timeout=0.5))
    begun = time.monotonic()
    with pytest.raises(BackendError, match=_ID) as failed:
        backend.get_reader(_ID).read_into(memoryview(bytearray(10)), 0)
    in_time(time.monotonic() - begun, 0.5)
    backend.close()
    survived("DNS does not answer", kind, failed.value.message)


@pytest.mark.parametrize("kind", BACKENDS)
def test_full_pool(kind: str, survived: Survived, tmp_path: Path) -> None:
    """Sixty-four threads over four connections: no fifth is opened, and nobody starves."""
    with Scripted(serve_blob(CONTENT), path=place_of(kind, tmp_path)) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(connections=4, retry_limit=0))
        reader, order = backend.get_reader(_ID), list[int]()
        reader.read_into(memoryview(bytearray(1)), 0)

        def work(number: int) -> bool:
            buffer, right = bytearray(100), True
            for turn in range(20):
                offset = number * 100 + turn
                reader.read_into(memoryview(buffer), offset)
                right &= buffer == CONTENT[offset : offset + 100]
                order.append(number)
            return right

        with ThreadPoolExecutor(64) as threads:
            assert all(threads.map(work, range(64)))
        assert server.most <= 4
        backend.close()
    # Between two reads of a thread each other one has its turn, some more if busy; a starved one waits for all.
    turns = [[at for at, who in enumerate(order) if who == number] for number in range(64)]
    assert max(after - before for mine in turns for before, after in pairwise(mine)) < 10 * 64
    survived("64 threads, 4 connections", kind, f"right, {server.most} connections")


@pytest.mark.parametrize("kind", NETWORKED)
def test_a_mirror_dies_and_returns(kind: str, survived: Survived) -> None:
    """While a mirror is away the origin serves; when it is back, the mirror does again; no read fails."""
    port = free_port()
    mirror = MirrorOptions(f"http://127.0.0.1:{port}", failure_limit=2, health_check_interval=0.05)
    with Scripted(serve_blob(CONTENT)) as origin:
        backend = BACKENDS[kind](Place(origin.port), HttpOptions(retry_limit=0, mirrors=(mirror,)))
        reader, buffer = backend.get_reader(_ID), bytearray(500)

        def read_until(server: Scripted) -> None:
            before, deadline = len(server.asked), time.monotonic() + 10
            while len(server.asked) < before + 5:
                assert time.monotonic() < deadline, "it is not asked"
                reader.read_into(memoryview(buffer), 1000)
                assert buffer == CONTENT[1000:1500]

        for _ in range(2):
            with Scripted(serve_blob(CONTENT), port) as there:
                read_until(there)
                assert not any("authorization" in asked.headers for asked in there.asked)
            read_until(origin)
        metrics = backend.client.metrics
        assert (metrics["errors"], metrics["fallbacks"] >= 2) == (0, True)
        backend.close()
    survived("mirror dies and returns, twice", kind, "right")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A blob of four chunks."""
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", [[CONTENT[at : at + 5000] for at in range(0, 20_000, 5000)]])


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("times", [1, 2])
def test_wrong_bytes(times: int, kind: str, made: Made, survived: Survived, tmp_path: Path) -> None:
    """Wrong bytes are caught by their digest and asked for once more; wrong again is an error by blob and chunk."""
    blob_id = made.infos[0].blob_id
    content = (made.folder / blob_id).read_bytes()
    left = iter(range(times))

    def spoils(asked: Asked, wire: socket.socket) -> None:
        answer = bytearray(answer_of(asked, content))
        if next(left, None) is not None:
            answer[-2000] ^= 1
        wire.sendall(answer)

    with Scripted(spoils, path=place_of(kind, tmp_path)) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(retry_limit=3))
        cache = open_cache(made, tmp_path / "cache", backend=backend)
        if times == 1:
            read_chunks(cache, made, range(4))
            outcome = "right"
        else:
            with pytest.raises(IntegrityError) as failed:
                read_chunks(cache, made, range(4))
            where = failed.value.where
            assert (where["blob"], where["chunk"]) == (blob_id, 3)
            outcome = f"{failed.value.message}, chunk {where['chunk']}"
        assert len(server.asked) == 2
        read_chunks(cache, made, range(4))
        cache.close()
        backend.close()
    survived("wrong bytes once" if times == 1 else "wrong bytes twice", kind, f"{outcome}, 2 requests")
