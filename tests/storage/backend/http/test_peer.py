"""What we understand of an answer is what `requests` understands of it."""

from __future__ import annotations

import pytest

from storage.backend.http import HttpClient, HttpOptions, Request
from tests.servers.scripted import Scripted

requests = pytest.importorskip("requests")

_BODY = bytes(range(256)) * 40
_CHUNKS = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (_BODY[:1], _BODY[1:5000], _BODY[5000:]))
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: 1\r\nx-a:  2 \r\n\r\n%s" % (len(_BODY), _BODY),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS + b"0\r\n\r\n",
    "chunked, with trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS + b"0\r\nT: 1\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + _BODY,
    "version 1.0": b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\n" + _BODY,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok",
    "nothing": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 202 \r\nContent-Length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_same_answer(kind: str) -> None:
    """Status, headers and body, whichever way the body is framed."""
    with Scripted(lambda asked, wire: wire.sendall(ANSWERS[kind]) or True) as server:  # type: ignore[func-returns-value]
        theirs = requests.get(server.url + "/x", timeout=5)
        client = HttpClient(server.url, HttpOptions(retry_limit=0))
        status, headers, body = client.send(
            Request("GET", server.url + "/x"),
            lambda response: (response.status, response.headers, response.read(1 << 20)),
        )
        client.close()
    assert (status, body) == (theirs.status_code, theirs.content)
    # RFC 9110, 5.5: blanks around a value are no part of it; requests keeps those behind it.
    assert headers == {name.lower(): value.strip() for name, value in theirs.headers.items()}
