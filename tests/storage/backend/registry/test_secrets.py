"""No secret is seen, whatever happens; and the ways of getting a token that docker-registry does not have."""

from __future__ import annotations

import base64
import json
import logging
import socket
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from storage.backend.http import HttpOptions, ProxyOptions, Secret
from storage.backend.registry import RegistryOptions
from storage.errors import BackendError
from storage.events import Recorder
from tests.servers.realm import Realm
from tests.servers.scripted import Asked, Scripted, answer_of, reply
from tests.storage.backend.registry.conftest import BASIC, CONTENT, PASSWORD, USER, Hosted, read, registry_of, wanted


def test_nothing_shows(token_registry: Hosted, realm: Realm, caplog: pytest.LogCaptureFixture) -> None:
    """Not in any repr, log at any level, error or event: password, its base64, and every token that was given."""
    tokens = []
    sign = realm.sign

    def remember(scope: str, user: str) -> str:
        tokens.append(sign(scope, user))
        return tokens[-1]

    realm.sign = remember  # type: ignore[method-assign]
    shown: list[object] = []
    with caplog.at_level(logging.DEBUG), Recorder() as recorder:
        http = HttpOptions(retry_limit=1, proxy=ProxyOptions(f"http://{USER}:{PASSWORD}@127.0.0.1:1"))
        registry = registry_of(token_registry, http, auth=BASIC, recorder=recorder)
        assert read(registry, token_registry.blob) == wanted()
        realm.lasts = -120
        registry._auth._tokens.clear()
        with pytest.raises(BackendError) as caught:
            read(registry, token_registry.blob)
        shown += [caught.value, caught.value.where, registry, registry.options, registry.client, registry.metrics]
        shown += [registry.get_reader(token_registry.blob), registry._auth._tokens, registry._auth._credentials()]
        shown += [recorder.table().to_pylist(), recorder.schema.metadata]
    assert len(tokens) >= 2
    text = caplog.text + repr(shown) + str(shown)
    assert len(caplog.records) >= 2
    assert not [secret for secret in (PASSWORD, BASIC, *tokens) if secret in text]


def test_a_server_that_echoes(data: tuple[Path, str]) -> None:
    """An answer that repeats our credentials in its body does not bring them into the error."""

    def echo(asked: Asked, wire: socket.socket) -> None:
        secret = asked.headers.get("authorization", "")
        wire.sendall(reply(401 if not secret else 403, secret.encode(), {"WWW-Authenticate": "Basic realm=x"}))

    with Scripted(echo) as server:
        registry = registry_of(Hosted(server.url[7:], data[1]), scheme="http", auth=BASIC)
        with pytest.raises(BackendError, match="status 403") as caught:
            read(registry, data[1])
        assert BASIC not in repr(caught.value) + str(caught.value)


def test_options_hide_secrets() -> None:
    """The options' own repr has none."""
    options = RegistryOptions("r.io", "a", auth=Secret(BASIC), registry_token=Secret("t0ken"))
    assert "r.io" in repr(options)
    assert BASIC not in repr(options)
    assert "t0ken" not in repr(options)


@pytest.mark.parametrize("kind", ["identity", "post", "access_token", "harbor"])
def test_other_realms(kind: str, data: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OAuth2 with an identity token, realms that know POST only, `access_token`, and Harbor's basic challenge."""
    given = {"n": 0}

    def tokens(asked: Asked, wire: socket.socket) -> None:
        form = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
        if kind == "identity":
            good = asked.method == "POST" and form.get("refresh_token") == "id-token" and "authorization" not in form
        elif kind == "post":
            good = asked.method == "POST" and asked.headers.get("authorization") == f"Basic {BASIC}"
        else:
            good = asked.headers.get("authorization") == f"Basic {BASIC}"
        given["n"] += good
        body = {"access_token" if kind == "access_token" else "token": f"t{given['n']}", "expires_in": 60}
        wire.sendall(reply(200, json.dumps(body).encode()) if good else reply(405))

    with Scripted(tokens) as realm:

        def blobs(asked: Asked, wire: socket.socket) -> None:
            sent = asked.headers.get("authorization", "")
            if sent == f"Bearer t{given['n']}" and not (kind == "harbor" and sent == "Bearer t1" and seen):
                seen.append(sent)
                wire.sendall(answer_of(asked, CONTENT))
            else:
                bearer = f'Bearer realm="{realm.url}/token",service="s"'
                stale = kind == "harbor" and sent.startswith("Bearer")
                wire.sendall(reply(401, b"", {"WWW-Authenticate": 'Basic realm="harbor"' if stale else bearer}))

        seen: list[str] = []
        with Scripted(blobs) as server:
            host = server.url[7:]
            entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "id-token"}
            (tmp_path / "config.json").write_text(json.dumps({"auths": {host: entry}}))
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
            registry = registry_of(Hosted(host, data[1]), scheme="http", auth="" if kind == "identity" else BASIC)
            assert read(registry, data[1]) == wanted()
            assert read(registry, data[1], 5, 5) == wanted(5, 5)
            assert given["n"] == (2 if kind == "harbor" else 1)


@pytest.mark.parametrize(
    "realm", ["", "ftp://x", "http://[bad", "http://h:99999/", "http://127.0.0.1:1/t", "http://\xe9/"]
)
def test_realms_that_are_none(realm: str, data: tuple[Path, str]) -> None:
    """A realm that is no URL, or that nobody listens at, is our error."""
    header = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}

    def refuse(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(reply(401, b"", header))

    with Scripted(refuse) as server:
        http = HttpOptions(retry_limit=0)
        with pytest.raises(BackendError):
            read(registry_of(Hosted(server.url[7:], data[1]), http, scheme="http", auth=BASIC), data[1])


@pytest.mark.parametrize("location", ["", "ftp://x/", "http://[bad", "//", "http://h:0/", "\xff"])
def test_redirects_to_nowhere(location: str, data: tuple[Path, str]) -> None:
    """A redirect that leads nowhere is our error."""

    def redirect(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n")

    with Scripted(redirect) as server, pytest.raises(BackendError):
        read(registry_of(Hosted(server.url[7:], data[1]), HttpOptions(retry_limit=0), scheme="http"), data[1])
