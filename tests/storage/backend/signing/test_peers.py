"""Signatures: for any key, prefix, region and date, byte for byte what the vendors' own libraries sign."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backend.signing import Keys, object_path, sign_oss_v1, sign_oss_v4, sign_s3

botocore_auth = pytest.importorskip("botocore.auth")
oss2 = pytest.importorskip("oss2")
oss_v2 = pytest.importorskip("alibabacloud_oss_v2")
obstore_store = pytest.importorskip("obstore.store")

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
_OBJECTS = st.builds(lambda prefix, name: prefix + name, st.sampled_from(["", "nydus/", "a b/", "é/ü+"]), _TEXT).filter(
    lambda key: not key.startswith("/") and "\\" not in key
)
_DATES = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
_WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=", min_size=1, max_size=40)
_KEYS = st.builds(Keys, st.text("ABCDEFGH0123456789", min_size=1, max_size=20), _WORDS, st.one_of(st.just(""), _WORDS))
_BUCKETS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=20)
_REGIONS = st.sampled_from(["us-east-1", "cn-hangzhou", "eu-west-3"])
_RANGES = st.one_of(
    st.just({}), st.builds(lambda a, b: {"Range": f"bytes={a}-{a + b}"}, st.integers(0), st.integers(0))
)
_METHODS = st.sampled_from(["GET", "HEAD"])


def frozen(when: datetime) -> Any:
    """A stand-in for the class `datetime` in a peer's module, whose now is `when`."""
    return mock.Mock(wraps=datetime, utcnow=lambda: when.replace(tzinfo=None))


@given(_METHODS, _OBJECTS, _BUCKETS, _RANGES, _KEYS, _REGIONS, _DATES, st.booleans())
def test_s3_as_botocore(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, region: str, when: datetime, path: bool
) -> None:
    """SigV4 over path and virtual-host style is botocore's."""
    host = "s3.example.com:9000" if path else f"{bucket}.s3.example.com"
    url = f"http://{host}/{bucket + '/' if path else ''}{object_path(key)}"
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    theirs = AWSRequest(method, url, headers=dict(headers))
    credentials = Credentials(keys.access_key_id, keys.access_key_secret, keys.session_token or None)
    with mock.patch.object(botocore_auth, "get_current_datetime", lambda: when):
        botocore_auth.S3SigV4Auth(credentials, "s3", region).add_auth(theirs)
    ours = sign_s3(method, url, headers, keys, region, when)
    assert {name.lower(): value for name, value in (headers | ours).items()} == {
        name.lower(): value for name, value in theirs.headers.items()
    }


@given(_METHODS, _OBJECTS, _BUCKETS, _RANGES, _KEYS, _DATES)
def test_oss_v1_as_oss2(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, when: datetime
) -> None:
    """OSS version 1 is oss2's, session token included."""
    provider = oss2.credentials.StaticCredentialsProvider(
        keys.access_key_id, keys.access_key_secret, keys.session_token
    )
    theirs = oss2.http.Request(method, f"http://{bucket}.oss/{object_path(key)}", headers=dict(headers))
    ours = sign_oss_v1(method, bucket, key, headers, keys, when)
    with mock.patch.object(oss2.utils, "http_date", lambda: ours["Date"]):
        oss2.ProviderAuth(provider)._sign_request(theirs, bucket, key)
    assert {name: theirs.headers[name] for name in ours} == ours
    assert ours["Date"] == when.strftime("%a, %d %b %Y %H:%M:%S GMT")


@given(_METHODS, _OBJECTS, _BUCKETS, _RANGES, _KEYS, _DATES)
def test_oss_v1_as_oss_v2(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, when: datetime
) -> None:
    """OSS version 1 is alibabacloud-oss-v2's, which sends session tokens in another header: without one."""
    keys = Keys(keys.access_key_id, keys.access_key_secret)
    context = _context(method, key, bucket, headers, keys, "", when)
    oss_v2.signer.SignerV1().sign(context)
    ours = sign_oss_v1(method, bucket, key, headers, keys, when)
    assert {name: context.request.headers[name] for name in ours} == ours


@given(_METHODS, _OBJECTS, _BUCKETS, _RANGES, _KEYS, _REGIONS, _DATES)
def test_oss_v4_as_oss_v2(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, region: str, when: datetime
) -> None:
    """OSS version 4 is alibabacloud-oss-v2's."""
    context = _context(method, key, bucket, headers, keys, region, when)
    oss_v2.signer.SignerV4().sign(context)
    ours = sign_oss_v4(method, bucket, key, headers, keys, region, when)
    assert {name: context.request.headers[name] for name in ours} == ours


@given(_METHODS, _OBJECTS, _BUCKETS, _RANGES, _KEYS, _REGIONS, _DATES)
def test_oss_v4_as_oss2(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, region: str, when: datetime
) -> None:
    """OSS version 4 is oss2's, which writes the same three parts in another order."""
    provider = oss2.credentials.StaticCredentialsProvider(
        keys.access_key_id, keys.access_key_secret, keys.session_token
    )
    theirs = oss2.http.Request(method, f"http://{bucket}.oss/", headers=dict(headers), region=region, product="oss")
    with mock.patch.object(oss2.auth, "datetime", frozen(when)):
        oss2.ProviderAuthV4(provider)._sign_request(theirs, bucket, key, [name.lower() for name in headers])
    ours = sign_oss_v4(method, bucket, key, headers, keys, region, when)
    signed = theirs.headers["authorization"].removeprefix("OSS4-HMAC-SHA256 ")
    assert set(signed.split(", ")) == set(ours["Authorization"].removeprefix("OSS4-HMAC-SHA256 ").split(","))
    assert theirs.headers["x-oss-date"] == ours["x-oss-date"]


def _context(
    method: str, key: str, bucket: str, headers: dict[str, str], keys: Keys, region: str, when: datetime
) -> Any:
    request = oss_v2.types.HttpRequest(method, f"http://{bucket}.oss/{object_path(key)}", headers=dict(headers))
    credentials = oss_v2.types.Credentials(
        keys.access_key_id, keys.access_key_secret, security_token=keys.session_token or None
    )
    return oss_v2.types.SigningContext(
        product="oss", region=region, bucket=bucket, key=key, request=request, credentials=credentials,
        signing_time=when, additional_headers={"range"},
    )  # fmt: skip


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A server that answers ranges of zeros, and the requests that it saw."""
    seen: list[tuple[str, str, dict[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            seen.append((self.command, self.path, dict(self.headers)))
            self.send_response(206)
            self.send_header("Content-Range", "bytes 5-14/100")
            self.send_header("Content-Length", "10")
            self.send_header("ETag", '"a"')
            self.send_header("Last-Modified", "Tue, 24 Nov 2026 13:00:00 GMT")
            self.end_headers()
            self.wfile.write(bytes(10))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("key", ["blob", "nydus/0123", "a b/+é=~(x)", "per%cent"])
@pytest.mark.parametrize("token", ["", "token/+="])
def test_s3_as_obstore(key: str, token: str) -> None:
    """A request as obstore sent it has the signature that we give it."""
    keys = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    with listening() as (endpoint, seen):
        store = obstore_store.S3Store(
            "bucket", endpoint=endpoint, region="eu-west-3", access_key_id=keys.access_key_id,
            secret_access_key=keys.access_key_secret, client_options={"allow_http": True},
            **({"session_token": token} if token else {}),
        )  # fmt: skip
        store.get_range(key, start=5, length=10)
    method, path, headers = seen[0]
    given = {name.lower(): value for name, value in headers.items()}
    when = datetime.strptime(given["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign_s3(method, endpoint + path, {"Range": given["range"]}, keys, "eu-west-3", when)
    assert _parts(given["authorization"]) == _parts(ours["Authorization"])
    assert urlsplit(endpoint + path).path == f"/bucket/{object_path(key)}"


def _parts(authorization: str) -> set[str]:
    return {part.strip() for part in authorization.split(" ", 1)[1].split(",")}


def test_keys_are_not_shown() -> None:
    """Of an access key only its id is shown."""
    assert repr(Keys("id", "secret", "token")) == "Keys(access_key_id='id')"
