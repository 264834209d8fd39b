"""The HTTP client against servers that answer what a test says: exact requests, deadlines, retries, credentials."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage.backend import prefetching
from storage.backend.http import (
    HttpClient,
    HttpOptions,
    HttpReader,
    MirrorOptions,
    ProxyOptions,
    Request,
    Response,
    Secret,
    _connection,
    mask_url,
)
from storage.errors import BackendError, ConfigError, MissingBlobError
from storage.events import Recorder
from tests.servers.scripted import Asked, Script, Scripted, answer_of, reply, reset, serve_blob
from tests.storage.backend._timing import in_time, punctual

CONTENT = bytes(range(251)) * 400
Start = Callable[[Script], Scripted]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start scripted servers that end with the test."""
    servers: list[Scripted] = []

    def begin(script: Script) -> Scripted:
        servers.append(Scripted(script))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def reader_of(server: Scripted, options: HttpOptions | None = None, **kwargs: Any) -> HttpReader:
    """A reader of the server's blob."""
    client = HttpClient(server.url, options or HttpOptions(timeout=2, retry_limit=0), **kwargs)
    return HttpReader(client, "blob", lambda method: Request(method, server.url + "/blob"))


def read(reader: HttpReader, offset: int, length: int) -> bytes:
    """Bytes of a range."""
    buffer = bytearray(length)
    assert reader.read_into(memoryview(buffer), offset).received == length
    return bytes(buffer)


def client_of(reader: HttpReader) -> HttpClient:
    """The reader's client."""
    return reader._client


def test_ranges(start: Start) -> None:
    """Ranges are asked for exactly, over one connection, and the size is learnt on the way."""
    server = start(serve_blob(CONTENT))
    reader = reader_of(server)
    assert read(reader, 0, 10) == CONTENT[:10]
    assert read(reader, 70_000, 30_400) == CONTENT[70_000:]
    assert reader.blob_size() == len(CONTENT)
    assert [asked.headers["range"] for asked in server.asked] == ["bytes=0-9", "bytes=70000-100399"]
    assert {asked.headers["accept-encoding"] for asked in server.asked} == {"identity"}
    assert server.opened == 1


def test_size_by_head(start: Start) -> None:
    """HEAD gives the size; where it is refused, the Content-Range of one byte does."""
    server = start(serve_blob(CONTENT))
    assert reader_of(server).blob_size() == len(CONTENT)
    assert [asked.method for asked in server.asked] == ["HEAD"]

    def no_head(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(reply(403) if asked.method == "HEAD" else answer_of(asked, CONTENT))

    server.script = no_head
    assert reader_of(server).blob_size() == len(CONTENT)


def test_past_the_end(start: Start) -> None:
    """A range that ends past the blob's end, or begins there, is refused; nothing short is served."""
    reader = reader_of(start(serve_blob(CONTENT)))
    for offset in (len(CONTENT) - 5, len(CONTENT), len(CONTENT) + 5):
        with pytest.raises(BackendError, match=f"the blob ends early .*blob blob, offset {offset}"):
            read(reader, offset, 10)


def test_server_ignores_range(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A server that answers 200 with the whole blob is asked once, by 16 threads together, and the log says so."""
    server = start(lambda asked, wire: wire.sendall(reply(200, CONTENT)))
    reader = reader_of(server)
    got: dict[int, bytes] = {}

    def work(offset: int) -> None:
        got[offset] = read(reader, offset, 5000)

    with caplog.at_level(logging.WARNING):
        threads = [threading.Thread(target=work, args=(n * 5000,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == {n * 5000: CONTENT[n * 5000 : n * 5000 + 5000] for n in range(16)}
    assert len(server.asked) == 1
    assert [record.message for record in caplog.records] == [
        f"{server.url}/blob ignores Range: blob blob is downloaded whole"
    ]
    assert reader.blob_size() == len(CONTENT)
    with pytest.raises(BackendError, match="the blob ends early"):
        read(reader, len(CONTENT) - 1, 2)


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"Content-Range": "bytes 1-10/100"}, "another range than was asked"),
        ({"Content-Range": "bytes 0-8/100"}, "another range than was asked"),
        ({"Content-Type": "multipart/byteranges; boundary=x"}, "without saying which"),
        ({"Content-Range": "bytes 0-9/100", "Content-Encoding": "gzip"}, "what we did not ask for"),
        ({"Content-Range": "bytes 0-9/5"}, "the blob ends early"),
    ],
)
def test_wrong_answers(start: Start, headers: dict[str, str], what: str) -> None:
    """A 206 that is not what was asked for is an error, not bytes."""
    reader = reader_of(start(lambda asked, wire: wire.sendall(reply(206, b"0123456789", headers))))
    with pytest.raises(BackendError, match=what):
        read(reader, 0, 10)


def test_a_broken_body_goes_on(start: Start) -> None:
    """After a truncated body only the rest is asked for."""
    cut = iter([1000, 4000, None])

    def script(asked: Asked, wire: socket.socket) -> bool:
        whole, limit = answer_of(asked, CONTENT), next(cut)
        head = whole.index(b"\r\n\r\n") + 4
        wire.sendall(whole if limit is None else whole[: head + limit])
        return limit is not None

    server = start(script)
    reader = reader_of(server, HttpOptions(timeout=2, retry_limit=2))
    assert read(reader, 100, 10_000) == CONTENT[100:10_100]
    assert [asked.headers["range"] for asked in server.asked] == [
        "bytes=100-10099",
        "bytes=1100-10099",
        "bytes=5100-10099",
    ]
    assert client_of(reader).metrics["retries"] == 2


def test_every_boundary_of_a_header(start: Start) -> None:
    """A connection that is cut or reset after any byte of an answer costs a retry, and nothing else."""
    content = CONTENT[:60]
    whole = answer_of(Asked("GET", "/", {"range": "bytes=0-59"}, b"", 0), content)
    cases = [(cut, hard) for cut in range(len(whole)) for hard in (False, True)]
    seen: set[str] = set()

    def script(asked: Asked, wire: socket.socket) -> bool:
        if asked.path in seen:
            wire.sendall(answer_of(asked, content))
            return False
        seen.add(asked.path)
        _, cut, hard = asked.path.split("/")
        wire.sendall(whole[: int(cut)])
        if hard == "True":
            reset(wire)
        return True

    server = start(script)
    client = HttpClient(server.url, HttpOptions(timeout=5, retry_limit=1, connections=64))

    def check(case: tuple[int, bool]) -> tuple[tuple[int, bool], bytes]:
        url = f"{server.url}/{case[0]}/{case[1]}"
        return case, read(HttpReader(client, "blob", lambda method: Request(method, url)), 0, 60)

    with ThreadPoolExecutor(64) as threads:
        assert list(threads.map(check, cases)) == [(case, content) for case in cases]
    assert len(seen) == len(cases)


@pytest.mark.parametrize("cut", [0, 1, 59])
def test_within_a_body(start: Start, cut: int) -> None:
    """Without retries a body that ends early is an error with blob, offset and URL; the buffer's rest is not served."""
    server = start(lambda asked, wire: wire.sendall(answer_of(asked, CONTENT)[: cut - 60]) or True)
    with pytest.raises(
        BackendError, match=r"the body ends early \(blob blob, offset 7, url http://127.0.0.1:\d+/blob\)"
    ):
        read(reader_of(server), 7, 60)
    assert len(server.asked) == 1


def drip(seconds: float) -> Script:
    """A server that sends its answer a byte each so many seconds."""

    def script(asked: Asked, wire: socket.socket) -> None:
        for byte in answer_of(asked, CONTENT):
            wire.sendall(bytes([byte]))
            time.sleep(seconds)

    return script


def within_the_body(asked: Asked, wire: socket.socket) -> None:
    """Stop after some of the body."""
    wire.sendall(answer_of(asked, CONTENT)[:-100])
    time.sleep(3)


STALLS: dict[str, Script] = {
    "silent": lambda asked, wire: time.sleep(3),
    "within the body": within_the_body,
    "dripping": drip(0.01),
}


@pytest.mark.parametrize("script", STALLS.values(), ids=STALLS.keys())
@punctual
def test_a_stall_ends_in_time(start: Start, script: Script) -> None:
    """Whether a server is silent, stops within the body or drips, the read ends after the timeout, within 20 %."""
    reader = reader_of(start(script), HttpOptions(timeout=0.5, retry_limit=0))
    begun = time.monotonic()
    with pytest.raises(BackendError, match="the server does not answer in time"):
        read(reader, 0, 1000)
    in_time(time.monotonic() - begun, 0.5)


@punctual
def test_many_stall_together(start: Start) -> None:
    """Eight threads at a silent server fail together: the first, which goes alone, then all the others at once."""
    reader = reader_of(start(lambda asked, wire: time.sleep(3)), HttpOptions(timeout=0.4, retry_limit=0))

    def fail(number: int) -> float:
        with pytest.raises(BackendError, match="does not answer in time"):
            read(reader, number, 10)
        return time.monotonic()

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        ends = sorted(end - begun for end in threads.map(fail, range(8)))
    in_time(ends[0], 0.4)
    assert ends[1] >= 0.8
    in_time(ends[-1], 0.8)


@punctual
def test_connect_timeout() -> None:
    """A host that does not accept is given up after the connect timeout, within 20 %."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        first = [socket.socket() for _ in range(4)]
        for sock in first:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        client = HttpClient(f"http://127.0.0.1:{port}", HttpOptions(connect_timeout=0.5, timeout=5, retry_limit=0))
        begun = time.monotonic()
        with pytest.raises(BackendError, match="does not answer in time"):
            client.send(Request("GET", client.home), lambda response: None)
        in_time(time.monotonic() - begun, 0.5)
        for sock in first:
            sock.close()


def test_retry_after(start: Start) -> None:
    """A 429 is tried again when it says, not before; more than a minute is a refusal, and of a 503 not believed."""
    busy = iter([reply(429, headers={"Retry-After": "1"})])
    server = start(lambda asked, wire: wire.sendall(next(busy, None) or answer_of(asked, CONTENT)))
    assert read(reader_of(server, HttpOptions(retry_limit=1)), 0, 10) == CONTENT[:10]
    first, second = server.asked
    assert 1 <= second.at - first.at < 1.3
    for status, requests in ((429, 1), (503, 3)):
        server.asked.clear()
        server.script = lambda asked, wire, status=status: wire.sendall(reply(status, headers={"Retry-After": "100"}))  # type: ignore[misc]
        with pytest.raises(BackendError, match=rf"the server is busy or broken .*status {status}"):
            read(reader_of(server, HttpOptions(retry_limit=2)), 0, 10)
        assert len(server.asked) == requests


def test_storm(start: Start) -> None:
    """500s are tried again with growing pauses, so often and no more; each is a row of events, and one error."""
    server = start(lambda asked, wire: wire.sendall(reply(500)))
    with Recorder() as recorder:
        reader = reader_of(server, HttpOptions(retry_limit=3), recorder=recorder)
        with pytest.raises(BackendError, match="status 500"):
            read(reader, 5, 10)
        events = recorder.table().select(["kind", "offset", "outcome"]).to_pylist()
    assert events == [{"kind": "retry", "offset": 5, "outcome": "error"}] * 3
    pauses = [b.at - a.at for a, b in zip(server.asked, server.asked[1:], strict=False)]
    assert len(pauses) == 3
    assert all(low <= pause < low * 2 + 0.1 for low, pause in zip([0.05, 0.1, 0.2], pauses, strict=True))
    metrics = client_of(reader).metrics
    assert (metrics["requests"], metrics["retries"], metrics["errors"]) == (4, 3, 1)


def test_prefetch_has_its_own_retries(start: Start) -> None:
    """Prefetch is tried again as often as its own limit says."""
    server = start(lambda asked, wire: wire.sendall(reply(502)))
    with prefetching(), pytest.raises(BackendError):
        read(reader_of(server, HttpOptions(retry_limit=3, prefetch_retry_limit=1)), 0, 10)
    assert len(server.asked) == 2


def test_what_is_not_tried_again(start: Start) -> None:
    """400, 401, 403 and 404 are answered once; 404 is a missing blob."""
    server = start(lambda asked, wire: None)
    for status in (400, 401, 403, 404):
        server.asked.clear()
        server.script = lambda asked, wire, status=status: wire.sendall(reply(status))  # type: ignore[misc]
        with pytest.raises(MissingBlobError if status == 404 else BackendError, match=f"status {status}"):
            read(reader_of(server, HttpOptions(retry_limit=3)), 0, 10)
        assert len(server.asked) == 1


def test_a_kept_connection_that_was_closed_costs_nothing(start: Start) -> None:
    """A server that closes idle connections, or on the next request, does not cost a retry."""
    seen: set[int] = set()

    def once(asked: Asked, wire: socket.socket) -> bool:
        if asked.peer in seen:
            return True
        seen.add(asked.peer)
        wire.sendall(answer_of(asked, CONTENT))
        return False

    reader = reader_of(start(once), HttpOptions(retry_limit=0))
    for _ in range(5):
        assert read(reader, 0, 10) == CONTENT[:10]
    assert client_of(reader).metrics["errors"] == 0


def test_no_such_host() -> None:
    """A name that cannot be resolved, and a port where nobody listens, are errors that say so."""
    for url, what in (("http://no-such-host.invalid", "cannot be resolved"), ("http://127.0.0.1:1", "is refused")):
        with pytest.raises(BackendError, match=what):
            HttpClient(url, HttpOptions(retry_limit=1)).send(Request("GET", url), lambda response: None)


@pytest.mark.parametrize("url", ["", "ftp://host/", "http://", "http://host:99999/", "http://ho st/", "http://hÖst/"])
def test_urls_that_are_none(url: str) -> None:
    """What is no http URL is refused, with our error."""
    with pytest.raises(BackendError, match="is not an http URL"):
        HttpClient(url)


def test_redirects_do_not_carry_credentials(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Range follows a redirect to another host; Authorization and the environment's headers do not."""
    monkeypatch.setenv("NYDUS_HEADER_X-Team", "storage")
    other = start(serve_blob(CONTENT))
    server = start(lambda asked, wire: wire.sendall(reply(307, headers={"Location": f"{other.url}/moved?signature=x"})))

    class Login:
        def prepare(self, request: Request) -> None:
            request.headers["Authorization"] = "Bearer secret"

        def challenged(self, request: Request, response: Response) -> bool:
            return False

    assert read(reader_of(server, auth=Login()), 10, 20) == CONTENT[10:30]
    (asked,), (followed,) = server.asked, other.asked
    assert asked.headers["authorization"] == "Bearer secret"
    assert asked.headers["x-team"] == "storage"
    assert followed.headers["range"] == "bytes=10-29"
    assert followed.path == "/moved?signature=x"
    assert not {"authorization", "x-team"} & set(followed.headers)


def test_explicit_credentials_stay(start: Start) -> None:
    """An Authorization header in a request itself is not carried to another host either."""
    other = start(serve_blob(CONTENT))
    server = start(lambda asked, wire: wire.sendall(reply(302, headers={"Location": other.url})))
    client = HttpClient(server.url)
    client.send(
        Request("GET", server.url, {"authorization": "Basic x", "x-a": "b"}), lambda response: response.read(10**6)
    )
    assert "authorization" in server.asked[0].headers
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].headers["x-a"] == "b"


def test_circle(start: Start) -> None:
    """A server that redirects to itself for ever is left."""
    server = start(lambda asked, wire: wire.sendall(reply(307, headers={"Location": "/again"})))
    with pytest.raises(BackendError, match="redirects in a circle"):
        read(reader_of(server), 0, 10)


def test_secrets_are_masked() -> None:
    """Passwords in URLs, signatures in queries, tokens: none shows in a repr."""
    assert mask_url("https://me:hunter2@host:5/a?sig=s3cr3t#x") == "https://***@host:5/a?***"
    shown = [
        repr(Secret("s3cr3t")),
        str(Secret("s3cr3t")),
        f"{Secret('s3cr3t')}",
        repr(Request("GET", "http://u:s3cr3t@h/?q=s3cr3t", {"Authorization": "s3cr3t"})),
        repr(
            HttpOptions(
                proxy=ProxyOptions("http://u:s3cr3t@h"), mirrors=(MirrorOptions("http://m", headers={"a": "s3cr3t"}),)
            )
        ),
    ]
    assert not [text for text in shown if "s3cr3t" in text]


@pytest.mark.parametrize("field", ["timeout", "connect_timeout", "connections"])
def test_options_out_of_range(field: str) -> None:
    """Settings that make no sense are refused by name."""
    with pytest.raises(ConfigError, match=f"field {field}"):
        HttpOptions(**{field: 0})  # type: ignore[arg-type]


def test_streams(start: Start) -> None:
    """A whole blob is streamed without a Range, and taken up where it broke."""
    cut = iter([30_000, None])

    def script(asked: Asked, wire: socket.socket) -> bool:
        limit = next(cut)
        wire.sendall(answer_of(asked, CONTENT)[:limit])
        return limit is not None

    server = start(script)
    got = bytearray()
    assert reader_of(server, HttpOptions(retry_limit=1)).copy_to(got.extend) == len(CONTENT)
    assert got == CONTENT
    assert "range" not in server.asked[0].headers
    head = len(answer_of(server.asked[0], CONTENT)) - len(CONTENT)
    assert server.asked[1].headers["range"] == f"bytes={30_000 - head}-"


def test_two_calls_of_the_system(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small range over a connection that is there is one call to send and one to receive, and none besides."""
    calls: list[str] = []

    class Counted(socket.socket):
        """Writes down what is called."""

        def sendall(self, *arguments: Any) -> None:
            calls.append("send")
            super().sendall(*arguments)

        def recv_into(self, *arguments: Any) -> int:
            calls.append("receive")
            return super().recv_into(*arguments)

        def setsockopt(self, *arguments: Any) -> None:
            calls.append("set")
            super().setsockopt(*arguments)

    real = _connection.dial
    monkeypatch.setattr(_connection, "dial", lambda *place: Counted(fileno=real(*place).detach()))
    reader = reader_of(start(serve_blob(CONTENT)), HttpOptions(timeout=60))
    for _ in range(3):
        calls.clear()
        assert read(reader, 5000, 4096) == CONTENT[5000:9096]
    assert calls == ["send", "receive"]
