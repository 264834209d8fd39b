"""A web client: asks a JSON service on loopback for a few documents, all at once."""

import asyncio
import hashlib
import http.client
import json
import ssl
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timezone

DOCUMENTS = {f"/item/{number}": {"number": number, "id": str(uuid.UUID(int=number))} for number in range(8)}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    request = await reader.readuntil(b"\r\n\r\n")
    path = urllib.parse.urlsplit(request.split()[1].decode()).path
    body = json.dumps(DOCUMENTS[path]).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def fetch(port: int, path: str) -> object:
    """Fetch one document."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    writer.write(f"{request.get_method()} {request.selector} HTTP/1.1\r\nHost: {request.host}\r\n\r\n".encode())
    status, body = (await reader.read()).split(b"\r\n\r\n")
    writer.close()
    assert int(status.split()[1]) == http.client.OK
    return json.loads(body)


async def main() -> None:
    """Serve, fetch everything at once, and say what came."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context()
    async with server:
        items = await asyncio.gather(*(fetch(port, path) for path in DOCUMENTS))
    assert items == list(DOCUMENTS.values())
    digest = hashlib.sha256(json.dumps(items).encode()).hexdigest()[:12]
    year = datetime.now(timezone.utc).year  # noqa: UP017
    print(f"web client: {len(items)} documents, sha256 {digest}, {context.minimum_version.name} and up, in {year}")


asyncio.run(main())
