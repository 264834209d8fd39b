"""Through a cache, whatever the network does: each failure is one row of the log and one clear error, and no secret."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.backend import S3, LocalDisk, LocalFs, Oss
from storage.backend.http import HttpOptions, _client
from storage.backend.signing import Keys
from storage.cache import FileCache
from storage.errors import BackendError, IntegrityError, StorageError
from storage.events import Recorder, audit
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import read_chunks
from tests.servers.oss import OssServer
from tests.servers.processes import need
from tests.servers.s3 import KEYS as S3_KEYS
from tests.servers.s3 import juicefs, put_blobs
from tests.servers.scripted import Asked, Scripted, answer_of, serve_blob
from tests.storage.backend._survive import BACKENDS, CONTENT, FAULTS, KEYS, NETWORKED, Fault, Place, scripts_of
from tests.storage.backend.test_localdisk import make_disk

Survived = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are short but where a server asks for more."""
    monkeypatch.setattr(_client, "backoff", lambda attempt, retry_after: max(0.001, retry_after or 0))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A blob of four chunks."""
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", [[CONTENT[at : at + 5000] for at in range(0, 20_000, 5000)]])


def rows_of(recorder: Recorder) -> Counter[str]:
    """How many rows there are of each kind, and of reads that failed; the ledgers must agree."""
    audit(recorder.table())
    rows = recorder.table().to_pylist()
    kinds = Counter(row["kind"] for row in rows)
    kinds["failed read"] = sum(row["kind"] == "read" and row["outcome"] == "error" for row in rows)
    assert all(row["outcome"] == "error" for row in rows if row["kind"] in ("retry", "failure"))
    return kinds


def is_clear(error: StorageError, blob_id: str) -> None:
    """One line, which names the blob and no secret."""
    text = str(error)
    assert "\n" not in text
    assert blob_id in text
    assert KEYS.access_key_secret not in text + repr(error) + repr(error.__cause__)


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_each_failure_is_an_event(fault: Fault, kind: str, made: Made, survived: Survived, tmp_path: Path) -> None:
    """A failed attempt is a retry row; a read that fails is one error and one failure row; one that does not, none."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    options = HttpOptions(**({"retry_limit": 3, "timeout": 5} | fault.options))
    path = tmp_path / "socket" if "unix" in kind else None
    errors: list[BackendError] = []
    with Scripted(scripts_of(fault, (made.folder / blob_id).read_bytes()), path=path) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), options, recorder)
        cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
        try:
            read_chunks(cache, made, [1])
        except BackendError as error:
            errors.append(error)
        metrics = backend.client.metrics.snapshot()
        cache.close()
        backend.close()
    for error in errors:
        is_clear(error, blob_id)
        assert not isinstance(error, IntegrityError)
    rows, failed = rows_of(recorder), bool(fault.error)
    assert (len(errors), rows["failure"], rows["failed read"], rows["read"]) == (failed, failed, failed, 1)
    assert metrics.get("errors", 0) == failed
    assert rows["retry"] == metrics.get("retries", 0) == len(server.asked) - 1
    outcome = f"{len(errors)} error, {rows['failure']} failure row" if failed else "0 errors"
    survived(f"events of: {fault.name}", kind, f"{outcome}, {rows['retry']} retry rows")


@pytest.mark.parametrize("kind", BACKENDS)
def test_wrong_bytes(kind: str, made: Made, survived: Survived, tmp_path: Path) -> None:
    """Bytes that are wrong twice are a retry row, one failure row and one error."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    content = (made.folder / blob_id).read_bytes()
    path = tmp_path / "socket" if "unix" in kind else None

    def spoils(asked: Asked, wire: Any) -> None:
        answer = bytearray(answer_of(asked, content))
        answer[-2000] ^= 1
        wire.sendall(answer)

    with Scripted(spoils, path=path) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(), recorder)
        cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
        with pytest.raises(IntegrityError) as failed:
            read_chunks(cache, made, [1])
        cache.close()
        backend.close()
    is_clear(failed.value, blob_id)
    rows = rows_of(recorder)
    assert (rows["retry"], rows["failure"], rows["failed read"]) == (1, 1, 1)
    survived("events of: wrong bytes twice", kind, "1 error, 1 failure row, 1 retry rows")


@pytest.mark.parametrize("kind", BACKENDS)
def test_killed_for_good(kind: str, made: Made, survived: Survived, tmp_path: Path) -> None:
    """A server that is gone is one error and one failure row for each read; when it is back, it is read from again."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    content, path = (made.folder / blob_id).read_bytes(), tmp_path / "socket" if "unix" in kind else None
    server = Scripted(serve_blob(content), path=path)
    backend = BACKENDS[kind](Place(server.port, server.path), HttpOptions(retry_limit=2), recorder)
    cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
    read_chunks(cache, made, [0])
    server.close()
    for _ in range(2):
        with pytest.raises(BackendError, match="refused") as failed:
            read_chunks(cache, made, [1])
        is_clear(failed.value, blob_id)
    with Scripted(serve_blob(content), server.port, server.path):
        read_chunks(cache, made, range(4))
    cache.close()
    backend.close()
    rows = rows_of(recorder)
    assert (rows["retry"], rows["failure"], rows["failed read"], rows["read"]) == (4, 2, 2, 4)
    survived("events of: killed for good, read twice", kind, "2 errors, 2 failure rows, 4 retry rows")


@pytest.mark.parametrize("kind", NETWORKED)
def test_no_such_host(kind: str, made: Made, survived: Survived, tmp_path: Path, monkeypatch: Any) -> None:
    """A name that is no longer known is one error and one failure row."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()

    def fail(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with Scripted(serve_blob((made.folder / blob_id).read_bytes())) as server:
        backend = BACKENDS[kind](Place(server.port), HttpOptions(retry_limit=2), recorder)
        cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
        read_chunks(cache, made, [0])
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(BackendError, match="cannot be resolved") as failed:
        read_chunks(cache, made, [1])
    cache.close()
    backend.close()
    is_clear(failed.value, blob_id)
    rows = rows_of(recorder)
    assert (rows["retry"], rows["failure"], rows["failed read"], rows["read"]) == (2, 1, 1, 2)
    survived("events of: DNS failure", kind, "1 error, 1 failure row, 2 retry rows")


@pytest.mark.parametrize("kind", BACKENDS)
def test_prefetch(kind: str, made: Made, survived: Survived, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A prefetch that fails after its own retries is one row and one line of the log; nobody who reads is told."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    path = tmp_path / "socket" if "unix" in kind else None
    storm = next(fault for fault in FAULTS if fault.name == "500 storm")
    options = HttpOptions(retry_limit=3, prefetch_retry_limit=1)
    content = (made.folder / blob_id).read_bytes()
    with Scripted(scripts_of(storm, content), path=path) as server:
        backend = BACKENDS[kind](Place(server.port, server.path), options, recorder)
        cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
        cache.prefetch(range(4))
        cache.drain()
        assert len(server.asked) == 2
        server.script = serve_blob(content)
        read_chunks(cache, made, range(4))
        cache.close()
        backend.close()
    failed = [row for row in recorder.table().to_pylist() if row["outcome"] == "error"]
    assert [row["kind"] for row in failed] == ["retry", "request"]
    (line,) = [one.getMessage() for one in caplog.records if one.name == "storage.cache"]
    assert line.startswith("a prefetch is dropped: the server is busy or broken")
    assert blob_id in line
    survived("events of: 500 storm, prefetch", kind, "1 line of the log, 1 request row, 1 retry row")


def spoil(file: Path, start: int) -> None:
    """Other bytes in the place of the blob's."""
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(20_000))


@pytest.mark.parametrize("kind", ["localfs", "localdisk"])
@pytest.mark.parametrize(
    ("name", "break_", "retries"),
    [
        ("truncated body, always", lambda file, start: os.truncate(file, start + 5500), 0),
        ("wrong bytes twice", spoil, 1),
    ],
)
def test_local(
    name: str,
    break_: Callable[[Path, int], object],
    retries: int,
    kind: str,
    made: Made,
    survived: Survived,
    tmp_path: Path,
) -> None:
    """A file that is cut, or spoilt, is one error and one failure row as well."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    file, start, backend = made.folder / blob_id, 0, LocalFs(made.folder)
    if kind == "localdisk":
        need("sfdisk")
        content, file, start = file.read_bytes(), tmp_path / "disk.img", 2048 * 512
        make_disk(file, {blob_id: content})
        backend = LocalDisk(file)
    cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
    break_(file, start)
    with pytest.raises(StorageError) as failed:
        read_chunks(cache, made, [1])
    cache.close()
    is_clear(failed.value, blob_id)
    rows = rows_of(recorder)
    assert (rows["retry"], rows["failure"], rows["failed read"]) == (retries, 1, 1)
    survived(f"events of: {name}", kind, f"1 error, 1 failure row, {retries} retry rows")


def fails_once(made: Made, cache: FileCache, recorder: Recorder, what: str) -> BackendError:
    """The error of a read that is refused: one, at once, with one failure row."""
    with pytest.raises(BackendError, match=what) as failed:
        read_chunks(cache, made, [1])
    is_clear(failed.value, made.infos[0].blob_id)
    rows = rows_of(recorder)
    assert (rows["retry"], rows["failure"], rows["failed read"]) == (0, 1, 1)
    return failed.value


@pytest.mark.parametrize("region", ["", "cn-hangzhou"], ids=["v1", "v4"])
def test_temporary_keys_of_oss_expire(region: str, made: Made, survived: Survived, tmp_path: Path) -> None:
    """Temporary keys that the server takes no longer fail the next read at once, and the error says what of them."""
    blob_id, keys, recorder = made.infos[0].blob_id, Keys("STS.EXAMPLE", "secret", "token"), Recorder()
    server = OssServer(keys.access_key_id, keys.access_key_secret, keys.session_token)
    server.objects = {("127", blob_id): (made.folder / blob_id).read_bytes()}
    endpoint = f"0.0.1:{server.port}"
    backend = Oss("127", endpoint, scheme="http", keys=keys, region=region, recorder=recorder)
    cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
    read_chunks(cache, made, [0])
    server.token = "another"
    error = fails_once(made, cache, recorder, "look at the credentials")
    assert error.where["code"] == "InvalidSecurityToken"
    assert len(server.refused) == 1
    cache.close()
    backend.close()
    server.close()
    survived("temporary keys expire", "oss", "the server refuses: look at the credentials, InvalidSecurityToken")


def test_keys_of_s3_are_changed(made: Made, survived: Survived, tmp_path: Path) -> None:
    """Keys that a real server takes no longer, as it came back with others, fail the next read at once."""
    blob_id, recorder = made.infos[0].blob_id, Recorder()
    with juicefs(tmp_path) as server:
        put_blobs(server, {blob_id: (made.folder / blob_id).read_bytes()})
        place = {"endpoint": server.endpoint, "region": "us-east-1", "scheme": "http"}
        backend = S3(server.bucket, keys=S3_KEYS, recorder=recorder, **place)
        cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder)
        read_chunks(cache, made, [0])
        server.process.kill()
        server.process.env = {**(server.process.env or {}), "MINIO_ROOT_PASSWORD": "another secret"}
        server.process.start()
        error = fails_once(made, cache, recorder, "look at the credentials")
        assert error.where["code"] == "SignatureDoesNotMatch"
        cache.close()
        backend.close()
    survived("keys are changed", "s3", "the server refuses: look at the credentials, SignatureDoesNotMatch")
