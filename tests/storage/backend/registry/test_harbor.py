"""Challenges and tokens as Harbor and other registries have them, and redirect URLs that a real S3 lets expire."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.backend.http import HttpOptions
from storage.backend.registry import _redirects
from storage.errors import BackendError
from tests.servers.realm import Realm
from tests.servers.s3 import S3Server, client, juicefs, put_blobs
from tests.servers.scripted import Asked, Scripted, answer_of, reply
from tests.storage.backend.registry.conftest import (
    BASIC,
    CONTENT,
    REPO,
    USER,
    Hosted,
    read,
    registry_of,
    wanted,
)

Survived = Callable[[str, str, str], None]
_BLOB = hashlib.sha256(CONTENT).hexdigest()


def challenging(realm: Scripted, challenge: str, token: str) -> Scripted:
    """A registry that wants a token of the realm."""

    def script(asked: Asked, wire: socket.socket) -> None:
        if asked.headers.get("authorization") == f"Bearer {token}":
            wire.sendall(answer_of(asked, CONTENT))
        else:
            header = f'Bearer realm="{realm.url}/service/token",{challenge}'
            wire.sendall(reply(401, b"", {"WWW-Authenticate": header}))

    return Scripted(script)


def giving(answer: dict[str, Any]) -> Scripted:
    """A realm that answers so."""
    return Scripted(lambda asked, wire: wire.sendall(reply(200, json.dumps(answer).encode())))


@pytest.mark.parametrize(
    ("challenge", "service", "scopes"),
    [
        ('service="harbor",scope="repository:library/app:pull"', "harbor", [f"repository:{REPO}:pull"]),
        (
            'service="harbor-registry",scope="repository:a/b:pull repository:library/app:pull,push"',
            "harbor-registry",
            ["repository:a/b:pull", "repository:library/app:pull,push"],
        ),
        ('service="token & co: é/+?=",scope=""', "token & co: Ã©/+?=", [f"repository:{REPO}:pull"]),
        ('service="r.example.com:5000"', "r.example.com:5000", [f"repository:{REPO}:pull"]),
        ("scope=repository:library/app:pull", None, [f"repository:{REPO}:pull"]),
    ],
)
def test_what_is_asked_of_the_realm(challenge: str, service: str | None, scopes: list[str]) -> None:
    """Every scope by itself, the service as it is, whatever characters it has."""
    with giving({"token": "t"}) as realm, challenging(realm, challenge, "t") as server:
        registry = registry_of(Hosted(server.url[7:], _BLOB), scheme="http", auth=BASIC)
        assert read(registry, _BLOB) == wanted()
        (asked,) = realm.asked
        query = parse_qs(urlsplit(asked.path).query)
        assert query["scope"] == scopes
        assert query.get("service") == (None if service is None else [service])
        assert asked.headers["authorization"] == f"Basic {BASIC}"
        registry.close()


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"token": "t"}, 1),
        ({"access_token": "t"}, 1),
        ({"token": "t", "access_token": "other"}, 1),
        ({"token": "t", "expires_in": None, "issued_at": "2026-01-01T00:00:00Z"}, 1),
        ({"token": "t", "expires_in": "3600"}, 1),
        ({"token": "t", "expires_in": 1}, 2),
    ],
)
def test_what_the_realm_answers(answer: dict[str, Any], tokens: int) -> None:
    """Under either name, with or without how long it lasts, which is then a minute."""
    with giving(answer) as realm, challenging(realm, 'service="s"', "t") as server:
        registry = registry_of(Hosted(server.url[7:], _BLOB), scheme="http", auth=BASIC)
        assert read(registry, _BLOB) == wanted()
        if tokens > 1:
            time.sleep(0.85)
        assert read(registry, _BLOB) == wanted()
        assert len(realm.asked) == registry.metrics["tokens"] == tokens
        registry.close()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"token": ""},
        {"token": 5},
        {"token": "a\nb"},
        {"token": "t", "expires_in": "nan"},
        {"token": "t", "expires_in": {"a": 1}},
    ],
)
def test_no_token(answer: dict[str, Any]) -> None:
    """What is no token is the realm's fault, by name."""
    with giving(answer) as realm, challenging(realm, 'service="s"', "t") as server:
        registry = registry_of(Hosted(server.url[7:], _BLOB), HttpOptions(retry_limit=0), scheme="http", auth=BASIC)
        with pytest.raises(BackendError, match="the realm's answer is no token"):
            read(registry, _BLOB)
        registry.close()


def test_several_scopes_at_a_real_registry(token_registry: Hosted, realm: Realm) -> None:
    """docker-registry takes the token that a realm gives for the scope that it named."""
    registry = registry_of(token_registry, scheme="http", auth=BASIC)
    assert read(registry, token_registry.blob) == wanted()
    assert parse_qs(urlsplit(realm.asked[0].path).query)["scope"] == [f"repository:{REPO}:pull"]
    assert USER not in realm.asked[0].path
    registry.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A bucket with the blob."""
    with juicefs(tmp_path_factory.mktemp("s3")) as server:
        put_blobs(server, {_BLOB: CONTENT})
        yield server


def redirecting(store: S3Server, seconds: int, given: list[str]) -> Scripted:
    """A registry that redirects to URLs of the bucket which boto3 signed for so many seconds."""

    def script(asked: Asked, wire: socket.socket) -> None:
        if asked.headers.get("authorization") != f"Basic {BASIC}":
            wire.sendall(reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}))
            return
        place = {"Bucket": store.bucket, "Key": _BLOB}
        given.append(client(store).generate_presigned_url("get_object", Params=place, ExpiresIn=seconds))
        wire.sendall(reply(307, b"", {"Location": given[-1]}))

    return Scripted(script)


def test_a_signed_url_is_not_used_to_its_end(store: S3Server, survived: Survived) -> None:
    """A URL that S3 takes for two seconds is left before they are over: nothing is refused, no read fails."""
    given: list[str] = []
    with redirecting(store, 2, given) as server:
        registry = registry_of(Hosted(server.url[7:], _BLOB), HttpOptions(retry_limit=0), scheme="http", auth=BASIC)
        until = time.monotonic() + 3.2
        while time.monotonic() < until:
            assert read(registry, _BLOB, 1000, 500) == wanted(1000, 500)
        assert 2 <= len(given) <= 4  # its seconds are whole ones
        assert registry.metrics["requests"] == registry.metrics["redirects"] + registry.metrics["bytes"] // 500 + 1
        registry.close()
    survived("signed URL of S3 about to expire", "registry", "a new one in time, no read failed")


def test_a_signed_url_that_expired(store: S3Server, survived: Survived, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that S3 refuses, as it does not say when it expires, is asked for anew; no read fails, nobody is told."""
    monkeypatch.setattr(_redirects, "expiry_of", lambda url, control="", now=None: None)
    given: list[str] = []
    with redirecting(store, 1, given) as server:
        registry = registry_of(Hosted(server.url[7:], _BLOB), HttpOptions(retry_limit=0), scheme="http", auth=BASIC)
        for wait in (0, 2.1, 0):
            time.sleep(wait)
            assert read(registry, _BLOB, 1000, 500) == wanted(1000, 500)
        assert len(given) == 2
        assert registry.metrics["errors"] == registry.metrics["retries"] == 0
        registry.close()
    survived("signed URL of S3 expired", "registry", "a new one, no read failed")
