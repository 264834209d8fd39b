"""HTTP/1.1 as bytes: heads and bodies, however they arrive, and what is none."""

from __future__ import annotations

import bisect
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backend.http import HttpClient, HttpOptions, Request, _wire
from storage.backend.http import _resolve as resolver
from storage.backend.http._wire import (
    Body,
    DisconnectedError,
    Head,
    Inbox,
    ProtocolError,
    body_of,
    parse_head,
    request_head,
)
from storage.errors import BackendError
from tests.servers.scripted import Asked, Scripted, reply
from tests.storage.backend._timing import in_time, punctual


def inbox_of(data: bytes, *cuts: int) -> Inbox:
    """What receives `data`, in pieces that end at `cuts`."""
    edges = [*sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    at = 0

    def receive(view: memoryview, whole: bool) -> int:
        nonlocal at
        following = bisect.bisect_right(edges, at)
        end = edges[following] if following < len(edges) else at
        count = min(end - at, len(view))
        view[:count] = data[at : at + count]
        at += count
        return count

    return Inbox(receive)


def everything(body: Body, piece: int = 7) -> bytes:
    """A body to its end."""
    content, buffer = b"", bytearray(piece)
    while count := body.readinto(memoryview(buffer)):
        content += buffer[:count]
    return content


HEAD = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 11\r\nX-Empty:\r\nContent-Range:  bytes 0-10/11 \r\n\r\n"
CHUNKS = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS


@pytest.mark.parametrize("data", [HEAD + b"hello world", CHUNKED])
def test_cut_anywhere(data: bytes) -> None:
    """Wherever packets end, head and body are the same, and not a byte more is taken."""
    for cut in range(len(data)):
        inbox = inbox_of(data + b"NEXT", cut, cut + 1)
        head = parse_head(inbox.head())
        body = body_of("GET", head, inbox)
        assert everything(body) == b"hello world"
        assert body.finished
        rest = bytearray(10)
        taken = 0
        while count := inbox.readinto(memoryview(rest)[taken:], False):
            taken += count
        assert rest[:taken] == b"NEXT"


@pytest.mark.parametrize("data", [HEAD, CHUNKED])
def test_ended_anywhere(data: bytes) -> None:
    """Closed before its end, an answer is never taken for whole."""
    for cut in range(len(data)):
        inbox = inbox_of(data[:cut])
        with pytest.raises(DisconnectedError):
            everything(body_of("GET", parse_head(inbox.head()), inbox))


def test_heads() -> None:
    """Names in lower case, values stripped, the same name joined, folded lines unfolded, bare newlines taken."""
    head = parse_head(b"HTTP/1.0 200\r\nA: 1\r\na:2\r\nB: x\r\n\ty \r\nConnection: Keep-Alive")
    assert head == Head(200, {"a": "1, 2", "b": "x y", "connection": "Keep-Alive"}, True)
    assert parse_head(b"HTTP/1.1 200 OK\nA: 1\nB:").headers == {"a": "1", "b": ""}
    assert parse_head(b"HTTP/1.1 200 OK").headers == {}
    assert inbox_of(b"HTTP/1.1 200 OK\nA: 1\n\nrest").head() == b"HTTP/1.1 200 OK\nA: 1"


@pytest.mark.parametrize(
    ("raw", "keeps"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_kept_open(raw: bytes, keeps: bool) -> None:
    """Whether the connection is kept is as its version and ``Connection`` say."""
    assert parse_head(raw).keeps is keeps


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 099 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\n: no name",
        b"HTTP/1.1 200 OK\r\nspace : before",
        b"HTTP/1.1 200 OK\r\n folded: at once",
    ],
)
def test_no_heads(raw: bytes) -> None:
    """What is no head is refused."""
    with pytest.raises(ProtocolError):
        parse_head(raw)


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    """Whatever is received is an answer, or refused as none."""
    inbox = inbox_of(raw + b"\r\n\r\n", 10)
    try:
        head = parse_head(inbox.head())
        everything(body_of("GET", head, inbox))
    except (ProtocolError, DisconnectedError):
        return
    assert 100 <= head.status <= 999


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-length": "x"}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "3, 4"}, None),
        ({"content-length": "3, 3"}, b"abc"),
        ({"transfer-encoding": "gzip"}, None),
        ({}, b"abcdef"),
    ],
)
def test_where_a_body_ends(headers: dict[str, str], content: bytes | None) -> None:
    """By its length, said once or twice alike; else with the connection; never by a guess."""
    inbox = inbox_of(b"abcdef")
    if content is None:
        with pytest.raises(ProtocolError):
            body_of("GET", Head(200, headers, True), inbox)
    else:
        assert everything(body_of("GET", Head(200, headers, True), inbox)) == content


@pytest.mark.parametrize("framing", [b"z\r\n", b"3\r\nabcX\r\n", b"-1\r\n", b"\r\n", b"f" * 2000])
def test_no_chunks(framing: bytes) -> None:
    """Chunks that are none are refused."""
    with pytest.raises(ProtocolError):
        everything(body_of("GET", Head(200, {"transfer-encoding": "chunked"}, True), inbox_of(framing)))


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_no_body(method: str, status: int) -> None:
    """Answers without a body end with their head, whatever length they say."""
    assert body_of(method, Head(status, {"content-length": "5"}, True), inbox_of(b"abcde")).finished


def test_heads_without_end() -> None:
    """A head of more than 64 KiB is refused, after so many bytes, in linear time."""
    begun = time.thread_time()
    with pytest.raises(ProtocolError, match="too long"):
        inbox_of(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, *range(0, 70_000, 5)).head()
    assert time.thread_time() - begun < 2


def test_requests() -> None:
    """What is sent: a host, no compression, a length where there is a body; and no line that nobody wrote."""
    head = request_head("PUT", "/a?b", "h:1", {"X": "y"}, 3)
    assert head == b"PUT /a?b HTTP/1.1\r\nHost: h:1\r\nAccept-Encoding: identity\r\nContent-Length: 3\r\nX: y\r\n\r\n"
    assert b"Host: other\r\n" in request_head("GET", "/", "h", {"Host": "other"}, None)
    assert b"Content-Length: 0\r\n" in request_head("POST", "/", "h", {}, None)
    for name, value in (("X", "a\r\nB: c"), ("X\n", "y"), ("X", "a\rb")):
        with pytest.raises(ProtocolError):
            request_head("GET", "/", "h", {name: value}, None)


def test_interim_answers() -> None:
    """Answers that come before the answer are passed over."""

    def script(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply(200, b"late"))

    with Scripted(script) as server:
        client = HttpClient(server.url)
        assert client.send(Request("GET", server.url + "/"), lambda response: response.read(10)) == b"late"
        client.close()


def test_what_nobody_asked_for() -> None:
    """A connection on which more came than was asked for is not used again."""
    with Scripted(lambda asked, wire: wire.sendall(reply(200, b"x") + b"HTTP/1.1 200 OK\r\n")) as server:
        client = HttpClient(server.url)
        for _ in range(2):
            assert client.send(Request("GET", server.url + "/"), lambda response: response.read(10)) == b"x"
        assert server.opened == 2
        client.close()


@punctual
def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not resolved in time is said so, within a fifth; a hundred who ask have one thread."""
    asked = []

    def hang(*arguments: object, **options: object) -> list[object]:
        asked.append(arguments)
        time.sleep(2)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    url = f"http://slow-{time.monotonic_ns()}.invalid"
    client = HttpClient(url, HttpOptions(connect_timeout=0.5, retry_limit=0))
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(BackendError, match="the host's name is not resolved in time"):
            client.send(Request("GET", url), lambda response: None)
        in_time(time.monotonic() - begun, 0.5)
    assert len(asked) == 1
    client.close()


def test_addresses_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once for many connections, and anew when nothing listens at its addresses any more."""
    real, asked = socket.getaddrinfo, []

    def count(host: str, *arguments: object, **options: object) -> object:
        asked.append(host)
        return real("127.0.0.1", *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", count)
    with Scripted(lambda asked, wire: wire.sendall(reply(200, b"x")) or True) as server:  # type: ignore[func-returns-value]
        url = f"http://kept.invalid:{server.port}/"
        client = HttpClient(url, HttpOptions(retry_limit=0))
        for _ in range(3):
            assert client.send(Request("GET", url), lambda response: response.read(1)) == b"x"
            time.sleep(0.02)
        assert (server.opened, len(asked)) == (3, 1)
    with pytest.raises(BackendError, match="refused"):
        client.send(Request("GET", url), lambda response: None)
    assert ("kept.invalid", server.port) not in resolver._lookups
    client.close()


_LINES = (
    "Content-Range: bytes 0-10/11", "content-range: bytes 5-6/7", "CONTENT-RANGE: bytes 1-2/3", "Content-Range: none",
    "Content-Range:bytes 0-1/2", "X-Content-Range: bytes 0-1/2", "Content-Length: 11", "Connection: close", "X: a",
    " folded", "\tfolded", "no header", "", "X-Empty:",
)  # fmt: skip


@given(st.lists(st.sampled_from(_LINES), max_size=6), st.sampled_from(["\r\n", "\n"]))
def test_a_range_apart_from_the_rest(lines: list[str], end: str) -> None:
    """A head of which all but the range is remembered is what it is without that."""
    raw = end.join(["HTTP/1.1 206 Partial Content", *lines]).encode()
    try:
        wanted: object = _wire._parse(raw)
    except ProtocolError as error:
        wanted = str(error)
    for _ in range(2):
        try:
            found: object = parse_head(raw)
        except ProtocolError as error:
            found = str(error)
        assert found == wanted
        if isinstance(found, Head):
            found.headers["x-mine"] = "is not seen in the next"
