"""Whatever a configuration looks like, and whatever is wrong with it: what is secret in it is shown nowhere."""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.config import ConfigV2, external_backends, parse_config
from storage.errors import StorageError
from storage.events import Recorder
from storage.openers import open_backend, open_external
from tests.storage.config.test_config import _FULL, _HTTP, _KEYS, _TABLES, as_toml

_MARK = "hunter2"
_BLOB = "a" * 64
_SECRET = {"access_key_id", "access_key_secret", "session_token", "auth", "registry_token", "encryption_key"}
_URLS = {"url", "ping_url", "host", "addr"}

letters = st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=["Cc"])
around = st.text(letters, max_size=3) | st.text("/@?#:%\\\"' \n", max_size=4)
secrets = st.builds(lambda before, after: before + _MARK + after, around, around)
users = st.builds(
    lambda scheme, user, secret, rest: f"{scheme}{user}:{secret}@{rest}",
    st.sampled_from(["http://", "https://", "", "//", "socks5://"]),
    st.sampled_from(["me", "", "a b", "é"]),
    secrets,
    st.sampled_from(["127.0.0.1:1", "127.0.0.1:1/path", "[::1]:1", "host:port", "", "127.0.0.1:1?a=b"]),
)
wrongs = (
    st.sampled_from([None, True, 7, -1, 1e9])
    | st.builds(lambda s: [s], secrets)
    | st.builds(lambda s: {"a": s}, secrets)
)
_OUTSIDE = {"endpoint": "s3", "region": "r", "bucket_name": "b", "scheme": "http"} | _KEYS


def told(draw: st.DrawFn, value: Any, key: str = "") -> Any:
    """The value with secrets where there may be some; sometimes they are of no type that could be right."""
    if isinstance(value, dict):
        hidden = key in ("headers", "ours")
        # A file of certificates that is not there would be the end of each of them.
        kept = {name: item for name, item in value.items() if name != "ca_cert_files"}
        return {name: told(draw, item, "secret" if hidden else name) for name, item in kept.items()}
    if isinstance(value, list):
        return [told(draw, item, key) for item in value]
    if key in _SECRET or key == "secret":
        return draw(st.one_of(secrets, secrets, secrets, wrongs)) if draw(st.booleans()) else draw(secrets)
    return draw(users) if key in _URLS and draw(st.booleans()) else value


@st.composite
def configurations(draw: st.DrawFn) -> tuple[str, str]:
    """A configuration of any type of backend in any format, and that type."""
    kind = draw(st.sampled_from(sorted({*_TABLES, "ours"})))
    table = told(draw, _TABLES.get(kind, {"password": "SECRET"} | _HTTP), "config" if kind == "ours" else "")
    raw = {
        "version": 2,
        "backend": {"type": kind, kind: table},
        "external_backends": [{"type": "s3", "patch": {}, "config": told(draw, _OUTSIDE)}],
        "cache": told(draw, _FULL["cache"]),
        "more": {"a": 1},
    }
    legacy = {
        "device": {
            "backend": {"type": kind, "config": table},
            "cache": {"type": "filecache", "config": told(draw, _FULL["cache"]["filecache"])},
        },
        "mode": "direct",
    }
    text = draw(st.sampled_from([json.dumps(raw), as_toml(raw), json.dumps(legacy)]))
    cut = draw(st.sampled_from([len(text)] * 14 + [len(text) // 2, len(text) - 3]))
    return text[:cut], kind


class Shown(logging.Handler):
    """All that is said of a configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """What is logged is said."""
        self.texts.append(record.getMessage())

    def show(self, *things: object) -> None:
        """What is printed is."""
        self.texts += [f"{thing} {thing!r}" for thing in things]

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """An error of ours is shown as it is, and with all that led to it."""
        try:
            yield
        except StorageError as error:
            self.show(error, error.where, error.args)
            self.texts.append("".join(traceback.format_exception_only(error)))
            self.show(error.__cause__)


def open_all(text: str, shown: Shown) -> None:
    """Read it, open what it describes, and ask that for a blob, which is not there."""
    config = parse_config(text)
    shown.show(config, config.to_dict(), config.backend, config.external_backends, config.cache)
    with Recorder() as recorder:
        ask_all(config, recorder, shown)
        shown.show(recorder.table().to_pylist(), recorder.schema.metadata)


def ask_all(config: ConfigV2, recorder: Recorder, shown: Shown) -> None:
    """Open what it describes, and ask for a blob."""
    backends = []
    assert config.backend is not None
    with shown.failing():
        backends.append(open_backend(config.backend, recorder))
    with shown.failing():
        made, _ = external_backends(config.external_backends)
        shown.show(made)
        backends += [open_external(one, recorder) for one in made if one is not None]
    for backend in backends:
        inner: Any = backend.inner
        client = getattr(inner, "client", None)
        shown.show(backend, inner, getattr(inner, "options", None), client, getattr(client, "options", None))
        shown.show(getattr(client, "_mirrors", None), getattr(client, "_proxy", None), backend.counters)
        with shown.failing():
            backend.get_reader(_BLOB).read_into(memoryview(bytearray(1)), 0)
        backend.close()


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Nobody is asked, and nothing waits: no name resolves, and no address is connected to."""
    with pytest.MonkeyPatch.context() as patch:

        def fail(*arguments: Any, **options: Any) -> Any:
            raise OSError("there is no network")

        patch.setattr("storage.backend.http._connection.dial", fail)
        patch.setattr("storage.backend.http._client.backoff", lambda attempt, retry_after: 0.0)
        patch.setenv("DOCKER_CONFIG", "/nowhere")
        yield


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_shown_nowhere(given_: tuple[str, str]) -> None:
    """Not in any repr, dict, warning, log, error, its cause, or event."""
    text, _ = given_
    shown = Shown()
    logger = logging.getLogger("storage")
    logger.addHandler(shown)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught, shown.failing():
            warnings.simplefilter("always")
            open_all(text, shown)
        shown.texts += [str(warning.message) for warning in caught]
    finally:
        logger.removeHandler(shown)
        logger.setLevel(level)
    assert [said for said in shown.texts if _MARK in said] == []
