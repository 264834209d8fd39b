"""A server of objects that takes only requests signed as OSS wants them, which it works out by itself.

It rebuilds what must have been signed from what arrived, as the reference describes, with none of the
product's code; `tests/storage/backend/test_oss.py` holds it to the vendor's own clients as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from storage.backend.signing import Keys
from tests.servers.processes import Process, free_port

__all__ = ["OssServer", "oss_process"]

_SKEW = timedelta(minutes=15)


class OssServer:
    """Listens on loopback; the bucket is the first label of the host's name.

    Parameters
    ----------
    key_id, secret, token
        Whom it knows; `token` only where keys are temporary.
    port
        Where it listens; any that is free by default.
    """

    def __init__(self, key_id: str, secret: str, token: str = "", port: int = 0) -> None:
        self.key_id, self.secret, self.token = key_id, secret, token
        self.objects: dict[tuple[str, str], bytes] = {}
        self.refused: list[str] = []
        handler = type("Handler", (_Handler,), {"oss": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def check(self, method: str, bucket: str, path: str, headers: Mapping[str, str]) -> str:
        """What is wrong with a request's signature; empty if nothing is."""
        authorization = headers.get("authorization", "")
        if headers.get("x-oss-security-token", "") != self.token:
            return "InvalidSecurityToken"
        if authorization.startswith("OSS4-HMAC-SHA256 "):
            return self._check_v4(method, bucket, path, headers, authorization)
        if authorization.startswith("OSS "):
            return self._check_v1(method, bucket, path, headers, authorization)
        return "AccessDenied"

    def _check_v1(self, method: str, bucket: str, path: str, headers: Mapping[str, str], authorization: str) -> str:
        key_id, _, signature = authorization.removeprefix("OSS ").partition(":")
        when = parsedate_to_datetime(headers["date"])
        ours = sorted(f"{name}:{value}\n" for name, value in headers.items() if name.startswith("x-oss-"))
        text = "\n".join((method, headers.get("content-md5", ""), headers.get("content-type", ""), headers["date"], ""))
        text += "".join(ours) + f"/{bucket}{unquote(path)}"
        expected = base64.b64encode(hmac.digest(self.secret.encode(), text.encode(), "sha1")).decode()
        return self._judge(key_id, when, signature, expected)

    def _check_v4(self, method: str, bucket: str, path: str, headers: Mapping[str, str], authorization: str) -> str:
        parts = dict(part.strip().partition("=")[::2] for part in authorization.split(" ", 1)[1].split(","))
        key_id, *scope = parts["Credential"].split("/")
        more = parts.get("AdditionalHeaders", "")
        when = datetime.strptime(headers["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if scope[0] != headers["x-oss-date"][:8] or scope[2:] != ["oss", "aliyun_v4_request"]:
            return "InvalidScope"
        signed = {"content-type", "content-md5", *more.split(";")}
        lines = sorted(f"{name}:{value}\n" for name, value in headers.items() if name in signed or name[:6] == "x-oss-")
        # Clients quote more or fewer characters than they sign.
        place = quote(f"/{bucket}{unquote(path)}", safe="/-_.~")
        canonical = "\n".join((method, place, "", "".join(lines), more, headers["x-oss-content-sha256"]))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = b"aliyun_v4" + self.secret.encode()
        for word in scope:
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"OSS4-HMAC-SHA256\n{headers['x-oss-date']}\n{'/'.join(scope)}\n{digest}"
        expected = hmac.new(key, text.encode(), "sha256").hexdigest()
        return self._judge(key_id, when, parts["Signature"], expected)

    def _judge(self, key_id: str, when: datetime, signature: str, expected: str) -> str:
        if key_id != self.key_id:
            return "InvalidAccessKeyId"
        if abs(datetime.now(UTC) - when) > _SKEW:
            return "RequestTimeTooSkewed"
        return "" if hmac.compare_digest(signature, expected) else "SignatureDoesNotMatch"


def oss_process(folder: Path, keys: Keys) -> Process:
    """The same as a process of its own, which can be killed; its objects are ``folder/objects/<bucket>/<key>``."""
    port = free_port()
    arguments = [str(port), keys.access_key_id, keys.access_key_secret, str(folder / "objects")]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return Process([sys.executable, "-m", "tests.servers.oss", *arguments], folder, port=port, env=path)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    oss: OssServer

    def _allowed(self) -> tuple[str, str] | None:
        """The bucket and key of a request that is signed right."""
        bucket = self.headers["host"].partition(".")[0]
        path = urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        code = self.oss.check(self.command, bucket, path, headers)
        if not code:
            return bucket, unquote(path[1:])
        self.oss.refused.append(code)
        self._answer(403, f"<Error><Code>{code}</Code></Error>".encode())
        return None

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if (place := self._allowed()) is not None:
            self.oss.objects[place] = body
            self._answer(200, b"", ETag='"a"')

    def do_GET(self) -> None:
        if (place := self._allowed()) is None:
            return
        content = self.oss.objects.get(place)
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        if match is None:
            self._answer(200, content)
        elif int(match[1]) >= len(content):
            self._answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        else:
            start, end = int(match[1]), min(int(match[2]) + 1, len(content))
            self._answer(206, content[start:end], **{"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})

    do_HEAD = do_GET  # noqa: N815 - the name that the base looks for

    def _answer(self, status: int, body: bytes, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    listening, key_id, secret, objects = sys.argv[1:]
    files = {(file.parent.name, file.name): file.read_bytes() for file in Path(objects).glob("*/*")}
    OssServer(key_id, secret, port=int(listening)).objects = files
