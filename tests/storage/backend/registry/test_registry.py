"""The registry backend against docker-registry: schemes, credentials, tokens, redirects, pull-through."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.backend.http import HttpOptions
from storage.errors import BackendError, ConfigError, MissingBlobError
from tests.servers.certificates import Authority
from tests.servers.nginx import nginx
from tests.servers.realm import Realm
from tests.servers.registry import docker_registry, pull_through, with_realm, with_redirects, with_tls
from tests.servers.scripted import Asked, Scripted, answer_of, reply
from tests.storage.backend.registry.conftest import (
    BASIC,
    CONTENT,
    PASSWORD,
    REPO,
    USER,
    Hosted,
    Run,
    read,
    registry_of,
    wanted,
)


def test_open(open_registry: Hosted) -> None:
    """Ranges, size and stream are the blob's; the scheme is found out."""
    registry = registry_of(open_registry)
    assert read(registry, open_registry.blob) == wanted()
    reader = registry.get_reader("sha256:" + open_registry.blob)
    assert reader.blob_size() == len(CONTENT)
    got = bytearray()
    assert reader.copy_to(got.extend) == len(CONTENT)
    assert got == CONTENT
    assert registry.client.home == f"http://{open_registry.host}"
    assert repr(registry) == f"Registry({open_registry.host}/{REPO})"


def test_missing(open_registry: Hosted) -> None:
    """A blob that is not there is missing; one that no registry can have is refused without asking."""
    registry = registry_of(open_registry)
    with pytest.raises(MissingBlobError, match=r"blob 0{64}, offset 5, status 404, code BLOB_UNKNOWN"):
        read(registry, "0" * 64, 5, 10)
    with pytest.raises(MissingBlobError):
        registry.get_reader("1" * 64).blob_size()
    with pytest.raises(BackendError, match="by their sha256"):
        registry.get_reader("../manifests/latest")


def test_plain_only_where_it_may(monkeypatch: pytest.MonkeyPatch, open_registry: Hosted) -> None:
    """A registry elsewhere that speaks no TLS is not spoken to in the clear, unless verification is off."""
    monkeypatch.setattr("storage.backend.registry._registry._is_loopback", lambda host: False)
    with pytest.raises(BackendError, match="speaks no TLS: say scheme http"):
        read(registry_of(open_registry), open_registry.blob)
    loose = HttpOptions(skip_verify=True)
    assert read(registry_of(open_registry, loose), open_registry.blob) == wanted()
    assert read(registry_of(open_registry, scheme="http"), open_registry.blob) == wanted()


def test_tls(tls_registry: Hosted, authority: Authority, tmp_path: Path) -> None:
    """A private authority is trusted if it is named, anybody under skip_verify, and nobody else."""
    with pytest.raises(BackendError, match=r"the certificate is not trusted: .*url https://127"):
        read(registry_of(tls_registry), tls_registry.blob)
    named = HttpOptions(ca_cert_files=(str(authority.ca),))
    for options in (named, HttpOptions(skip_verify=True)):
        registry = registry_of(tls_registry, options)
        assert read(registry, tls_registry.blob) == wanted()
        assert registry.client.home.startswith("https:")
    (tmp_path / "none.pem").write_text("nothing")
    for path in ("none.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=f"cannot be used as certificates.*{path}"):
            registry_of(tls_registry, HttpOptions(ca_cert_files=(str(tmp_path / path),)))


def test_basic(basic_registry: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auth` is sent after one challenge; IMAGE_PULL_AUTH comes before it; nobody and a wrong one are refused."""
    registry = registry_of(basic_registry, auth=BASIC)
    assert read(registry, basic_registry.blob) == wanted()
    assert read(registry, basic_registry.blob, 0, 10) == wanted(0, 10)
    assert registry.metrics["challenges"] == 1
    for auth in ("", "d3Jvbmc6d3Jvbmc="):
        with pytest.raises(BackendError, match=r"look at the credentials .*status 401") as caught:
            read(registry_of(basic_registry, auth=auth), basic_registry.blob)
        assert not auth or auth not in str(caught.value)
    monkeypatch.setenv("IMAGE_PULL_AUTH", BASIC)
    assert read(registry_of(basic_registry, auth="d3Jvbmc6d3Jvbmc="), basic_registry.blob) == wanted()


def helper(folder: Path, name: str, script: str) -> None:
    """A credential helper on the path."""
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\nread host\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("kind", ["auth", "username", "credHelpers", "credsStore"])
def test_docker_configuration(
    kind: str, basic_registry: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials of our own, those of docker's config.json or of its helpers are used."""
    host = basic_registry.host
    configs = {
        "auth": {"auths": {f"https://{host}/v1/": {"auth": BASIC}}},
        "username": {"auths": {host: {"username": USER, "password": PASSWORD}}},
        "credHelpers": {"credHelpers": {host: "test"}, "auths": {host: {"auth": "d3Jvbmc6d3Jvbmc="}}},
        "credsStore": {"credsStore": "test"},
    }
    (tmp_path / "config.json").write_text(json.dumps(configs[kind]))
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    helper(tmp_path, "test", f"[ \"$host\" = {host} ] && echo '{answer}' || {{ echo credentials not found; exit 1; }}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read(registry_of(basic_registry), basic_registry.blob) == wanted()


@pytest.mark.parametrize(
    ("config", "script", "what"),
    [
        ("{", "", "cannot be read"),
        ("[]", "", "is not an object"),
        ('{"auths": {"HOST": {"auth": "%%%"}}}', "", "not base64"),
        ('{"credsStore": "absent"}', "", "docker-credential-absent cannot be run"),
        ('{"credsStore": "../evil"}', "", "a credential helper is a name"),
        ('{"credsStore": "test"}', "echo nonsense", "says what is no answer"),
    ],
)
def test_docker_configuration_that_is_wrong(
    config: str, script: str, what: str, basic_registry: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration or a helper that cannot be used is named, not passed over."""
    (tmp_path / "config.json").write_text(config.replace("HOST", basic_registry.host))
    helper(tmp_path, "test", script)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match=what):
        read(registry_of(basic_registry), basic_registry.blob)


def test_tokens(token_registry: Hosted, realm: Realm) -> None:
    """A token is fetched once for a scope, however many read at once, and kept."""
    registry = registry_of(token_registry, auth=BASIC)
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda n: read(registry, token_registry.blob, n * 1000, 1000), range(16)))
    assert got == [wanted(n * 1000, 1000) for n in range(16)]
    assert read(registry, token_registry.blob) == wanted()
    assert realm.tokens == [
        {"service": "a-registry", "scope": f"repository:{REPO}:pull", "client_id": "nydus-workbench"}
    ]
    assert (registry.metrics["tokens"], registry.metrics["challenges"]) == (1, 1)


def test_a_token_is_refreshed_before_it_expires(token_registry: Hosted, realm: Realm) -> None:
    """A token said to last a second is fetched anew after 0.8 of it, without a challenge."""
    realm.said = 1
    registry = registry_of(token_registry, auth=BASIC)
    assert read(registry, token_registry.blob) == wanted()
    time.sleep(0.85)
    assert read(registry, token_registry.blob) == wanted()
    assert (registry.metrics["tokens"], registry.metrics["challenges"]) == (2, 1)


def test_a_token_that_expired(token_registry: Hosted, realm: Realm) -> None:
    """A token that is refused, whatever it was said to last, is fetched anew on the 401; no read fails."""
    realm.lasts, realm.said = -60, 3600
    registry = registry_of(token_registry, auth=BASIC)
    with pytest.raises(BackendError, match="status 401"):
        read(registry, token_registry.blob)
    realm.lasts = 60
    assert read(registry, token_registry.blob) == wanted()


def test_realm_goes_down(token_registry: Hosted, realm: Realm, caplog: pytest.LogCaptureFixture) -> None:
    """While a token lasts, a realm that is down costs a warning; without a token it is the error."""
    realm.said = 4
    once = HttpOptions(retry_limit=0)
    registry = registry_of(token_registry, once, auth=BASIC)
    assert read(registry, token_registry.blob) == wanted()
    realm.down = True
    time.sleep(3.25)  # refreshed after four fifths of its life
    with caplog.at_level(logging.WARNING):
        assert read(registry, token_registry.blob) == wanted()
    assert "the token is kept while it lasts" in caplog.text
    with pytest.raises(BackendError, match=r"status 503.*/token"):
        read(registry_of(token_registry, once, auth=BASIC), token_registry.blob)


def test_registry_token(token_registry: Hosted, realm: Realm) -> None:
    """A token that was given is used without asking the realm; when it is refused, the realm is asked."""
    given = realm.sign(f"repository:{REPO}:pull", USER)
    registry = registry_of(token_registry, registry_token=given)
    assert read(registry, token_registry.blob) == wanted()
    assert realm.tokens == []
    registry = registry_of(token_registry, registry_token="stale", auth=BASIC)
    assert read(registry, token_registry.blob) == wanted()
    assert len(realm.tokens) == 1


def test_wrong_password(token_registry: Hosted, realm: Realm) -> None:
    """A realm that does not know us is the error, and shows no secret."""
    with pytest.raises(BackendError, match=r"look at the credentials .*status 401.*/token\?\*\*\*") as caught:
        read(registry_of(token_registry, auth="d3Jvbmc6d3Jvbmc="), token_registry.blob)
    assert "d3Jvbmc6d3Jvbmc=" not in str(caught.value) + repr(caught.value)


def test_no_password_in_the_clear(run: Run, authority: Authority) -> None:
    """A registry behind TLS whose realm is not is not given our password."""
    with Realm(authority, {USER: PASSWORD}) as realm:
        hosted = run(with_realm(realm), with_tls(authority))
        registry = registry_of(hosted, HttpOptions(ca_cert_files=(str(authority.ca),)), auth=BASIC)
        with pytest.raises(BackendError, match="wants credentials sent in the clear"):
            read(registry, hosted.blob)
        assert realm.asked == []


def test_redirects(run: Run, data: tuple[Path, str], tmp_path: Path) -> None:
    """A blob's redirect is followed with its Range and kept: the registry is asked once."""
    with nginx(tmp_path, data[0]) as store:
        hosted = run(with_redirects(f"http://127.0.0.1:{store.port}/"))
        registry = registry_of(hosted)
        for offset in (0, 1000, 2_000_000):
            assert read(registry, hosted.blob, offset) == wanted(offset)
        assert registry.metrics["redirects"] == 1
        assert registry.get_reader(hosted.blob).blob_size() == len(CONTENT)
        elsewhere = registry_of(hosted, blob_redirected_host="localhost")
        assert read(elsewhere, hosted.blob) == wanted()
        lines = (tmp_path / "access.log").read_text().splitlines()
        assert [" 206 " in line for line in lines] == [True] * 4


def test_redirects_with_credentials(basic_registry: Hosted, data: tuple[Path, str]) -> None:
    """The registry sees Authorization, where it redirects does not; a kept URL that is refused is asked for anew."""
    denied: list[int] = []

    def blobs(asked: Asked, wire: socket.socket) -> None:
        if denied:
            wire.sendall(reply(denied.pop()))
        else:
            wire.sendall(answer_of(asked, CONTENT))

    with Scripted(blobs) as store:

        def front(asked: Asked, wire: socket.socket) -> None:
            if asked.headers.get("authorization") != f"Basic {BASIC}":
                wire.sendall(reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}))
            else:
                wire.sendall(reply(307, b"", {"Location": f"{store.url}/{data[1]}?X-Amz-Signature=abc"}))

        with Scripted(front) as server:
            hosted = Hosted(f"127.0.0.1:{server.port}", data[1])
            registry = registry_of(hosted, scheme="http", auth=BASIC)
            for status in (0, 403, 0, 401):
                if status:
                    denied.append(status)
                assert read(registry, hosted.blob) == wanted()
            assert len(server.asked) == 1 + 1 + 1 + 1
            assert not any("authorization" in asked.headers for asked in store.asked)
            assert {asked.headers["range"] for asked in store.asked} == {"bytes=1000000-1099999"}
            assert registry.metrics["errors"] == registry.metrics["retries"] == 0


def test_blob_url_scheme(data: tuple[Path, str]) -> None:
    """A registry that redirects to https is followed in http where blob_url_scheme says so."""
    with Scripted(lambda asked, wire: wire.sendall(answer_of(asked, CONTENT))) as store:
        moved = reply(307, b"", {"Location": store.url.replace("http:", "https:") + "/x"})
        with Scripted(lambda asked, wire: wire.sendall(moved)) as server:
            hosted = Hosted(f"127.0.0.1:{server.port}", data[1])
            assert read(registry_of(hosted, scheme="http", blob_url_scheme="http"), data[1]) == wanted()
            with pytest.raises(BackendError, match="TLS fails"):
                read(registry_of(hosted, scheme="http"), data[1])


def test_redirects_expire(data: tuple[Path, str]) -> None:
    """A redirect with a max-age of a second is asked for anew after it."""
    with Scripted(lambda asked, wire: wire.sendall(answer_of(asked, CONTENT))) as store:
        moved = reply(307, b"", {"Location": f"{store.url}/x", "Cache-Control": "max-age=1"})
        with Scripted(lambda asked, wire: wire.sendall(moved)) as server:
            registry = registry_of(Hosted(f"127.0.0.1:{server.port}", data[1]), scheme="http")
            for _ in range(3):
                assert read(registry, data[1]) == wanted()
            assert len(server.asked) == 1
            time.sleep(0.95)
            assert read(registry, data[1]) == wanted()
            assert len(server.asked) == 2


def test_pull_through(open_registry: Hosted, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pull-through cache ignores Range: the blob is downloaded once, and all ranges are right."""
    with docker_registry(tmp_path, pull_through(f"http://{open_registry.host}")) as server:
        hosted = Hosted(f"127.0.0.1:{server.port}", open_registry.blob)
        registry = registry_of(hosted)
        for offset in (2_000_000, 0, 1000):
            assert read(registry, hosted.blob, offset) == wanted(offset)
        assert registry.metrics["whole"] == 1
        assert registry.metrics["requests"] == 1
    assert caplog.text.count("ignores Range") == 1
