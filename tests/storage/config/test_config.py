"""Configurations: every key of upstream in each format, what is wrong named by its key, no secret shown."""

from __future__ import annotations

import json
import traceback
import warnings
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.config import ConfigV2, ConfigWarning, load_config, parse_config
from storage.errors import ConfigError

_HTTP: dict[str, Any] = {
    "skip_verify": True,
    "ca_cert_files": ["/etc/ca.pem"],
    "timeout": 11,
    "connect_timeout": 12,
    "retry_limit": 4,
    "proxy": {
        "url": "http://user:passWORD@proxy:65001",
        "ping_url": "http://proxy:65001/ping",
        "fallback": False,
        "check_interval": 9,
        "use_http": True,
        "check_pause_elapsed": 77,
        "dragonfly_scheduler_endpoint": "",
    },
    "mirrors": [
        {
            "host": "https://mirror",
            "ping_url": "https://mirror/ping",
            "headers": {"Authorization": "Bearer SECRET-h"},
            "health_check_interval": 3,
            "failure_limit": 2,
        }
    ],
}
_KEYS = {"access_key_id": "SECRET-id", "access_key_secret": "SECRET-key", "session_token": "SECRET-token"}
_TABLES: dict[str, dict[str, Any]] = {
    "localdisk": {"device_path": "/dev/vdb", "disable_gpt": True},
    "localfs": {"blob_file": "/blob", "dir": "/blobs", "alt_dirs": ["/more", "/other"]},
    "oss": _HTTP
    | _KEYS
    | {
        "scheme": "http", "endpoint": "oss", "bucket_name": "b", "object_prefix": "p/", "region": "cn",
        "signature_version": "v4",
    },
    "s3": _HTTP
    | _KEYS
    | {
        "scheme": "http", "endpoint": "s3", "region": "r", "bucket_name": "b", "object_prefix": "p/",
        "addressing_style": "virtual",
    },
    "registry": _HTTP
    | {
        "scheme": "http", "host": "registry:5000", "repo": "library/app", "auth": "SECRET-auth",
        "registry_token": "SECRET-bearer", "blob_url_scheme": "http", "blob_redirected_host": "cdn",
    },
    "http-proxy": _HTTP | {"addr": "http://localhost:9000", "path": "/v2/blobs"},
}  # fmt: skip
_PREFETCH = {
    "enable": True,
    "threads": 3,
    "batch_size": 4096,
    "bandwidth_limit": 5,
    "prefetch_all": True,
    "stream_prefetch": True,
}
_FULL: dict[str, Any] = {
    "version": 2,
    "id": "instance",
    "backend": {"type": "registry"} | _TABLES,
    "external_backends": [{"patch": {"a": "b"}, "type": "s3", "config": {"access_key_secret": "SECRET-external"}}],
    "cache": {
        "type": "filecache",
        "compressed": True,
        "validate": True,
        "prefetch": _PREFETCH,
        "filecache": {
            "work_dir": "/cache",
            "disable_indexed_map": True,
            "enable_encryption": True,
            "enable_convergent_encryption": True,
            "encryption_key": "SECRET-cache",
            "dedup_db": "/cache/index.db",
        },
        "fscache": {"work_dir": "/fscache"},
    },
    "rafs": {
        "mode": "cached",
        "batch_size": 65536,
        "validate": True,
        "enable_xattr": True,
        "iostats_files": True,
        "access_pattern": True,
        "latest_read_files": True,
        "prefetch": _PREFETCH,
    },
    "overlay": {"upper_dir": "/upper", "work_dir": "/work"},
    "metadata_path": "/bootstrap",
}


def toml(value: Any) -> str:
    """A value in TOML, tables in line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def as_toml(raw: dict[str, Any]) -> str:
    """A whole file."""
    return "".join(f"{key} = {toml(value)}\n" for key, value in raw.items())


def plain(value: Any) -> Any:
    """A configuration with nothing masked."""
    if is_dataclass(value):
        made = {place.metadata.get("key") or place.name: plain(getattr(value, place.name)) for place in fields(value)}
        return {key: item for key, item in made.items() if item is not None}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if hasattr(value, "items") else value


@pytest.fixture(autouse=True)
def warned() -> Any:
    """A warning is an error, unless a test expects it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConfigWarning)
        yield


@pytest.mark.parametrize("write", [json.dumps, as_toml])
def test_every_key(write: Any) -> None:
    """Every key comes out as it went in, out of JSON and TOML; what is set shows, so none has been forgotten."""
    config = parse_config(write(_FULL), strict=True)
    assert plain(config) == _FULL


def test_defaults() -> None:
    """What is not said is as upstream has it."""
    config = parse_config(
        json.dumps(
            {
                "version": 2,
                "backend": {"type": "oss", "oss": {"endpoint": "e", "bucket_name": "b"}},
                "cache": {},
                "rafs": {},
            }
        )
    )
    assert config.backend is not None
    oss = config.backend.oss
    assert oss is not None
    assert (oss.scheme, oss.timeout, oss.connect_timeout, oss.retry_limit) == ("https", 5, 5, None)
    assert (oss.proxy.fallback, oss.proxy.check_interval, oss.proxy.check_pause_elapsed) == (True, 5, 300)
    assert config.rafs is not None
    assert (config.rafs.mode, config.rafs.batch_size, config.rafs.prefetch.threads) == ("direct", 1 << 20, 8)
    assert config.cache is not None
    assert (config.cache.type, config.cache.work_dir) == ("", None)


_LEGACY: dict[str, Any] = {
    "device": {
        "id": "instance",
        "backend": {"type": "registry", "config": _TABLES["registry"]},
        "external_backends": _FULL["external_backends"],
        "cache": {"type": "blobcache", "compressed": True, "validate": True, "config": _FULL["cache"]["filecache"]},
    },
    "mode": "cached",
    "digest_validate": True,
    "iostats_files": True,
    "fs_prefetch": {
        "enable": True,
        "threads_count": 3,
        "merging_size": 4096,
        "bandwidth_rate": 5,
        "prefetch_all": True,
        "stream_prefetch": True,
    },
    "enable_xattr": True,
    "access_pattern": True,
    "latest_read_files": True,
    "amplify_io": 65536,
}


def test_legacy() -> None:
    """The legacy JSON says the same as version 2, its prefetch the cache's as well."""
    expected = {key: value for key, value in _FULL.items() if key not in ("overlay", "metadata_path")}
    expected["backend"] = {"type": "registry", "registry": _TABLES["registry"]}
    expected["cache"] = {key: value for key, value in _FULL["cache"].items() if key != "fscache"} | {
        "type": "blobcache"
    }
    assert plain(parse_config(json.dumps(_LEGACY), strict=True)) == expected


def test_legacy_defaults() -> None:
    """Where the legacy JSON says little; ``prefetch_all`` is on once there is a table of prefetch."""
    little: dict[str, Any] = {"device": {"backend": {"type": "localfs", "config": {"dir": "/b"}}}, "mode": "direct"}
    rafs = parse_config(json.dumps(little)).rafs
    assert rafs is not None
    assert (rafs.batch_size, rafs.prefetch.enable, rafs.prefetch.prefetch_all) == (1 << 20, False, False)
    rafs = parse_config(json.dumps(little | {"fs_prefetch": {"enable": True}})).rafs
    assert rafs is not None
    assert (rafs.prefetch.threads, rafs.prefetch.prefetch_all) == (8, True)


_BLOB: dict[str, Any] = {
    "id": "blob",
    "backend_type": "localfs",
    "backend_config": {"dir": "/blobs"},
    "cache_type": "fscache",
    "cache_config": {"work_dir": "/cache"},
    "prefetch_config": {"enable": True, "threads_count": 2, "merging_size": 1, "bandwidth_rate": 4},
    "metadata_path": "/bootstrap",
}


def test_legacy_blob() -> None:
    """That of a cached blob says backend, cache, prefetch and where its bootstrap is."""
    config = parse_config(json.dumps(_BLOB), strict=True)
    assert config.cache is not None
    assert (config.metadata_path, config.cache.work_dir) == ("/bootstrap", "/cache")
    assert plain(config.cache.prefetch) == {
        "enable": True, "threads": 2, "batch_size": 1, "bandwidth_limit": 4, "prefetch_all": True,
        "stream_prefetch": False,
    }  # fmt: skip


def test_entry_of_a_cached_blob() -> None:
    """An entry has either configuration in it; of both, that of version 2 counts."""
    entry = {"type": "bootstrap", "id": "blob", "config": _BLOB, "domain_id": "domain"}
    assert parse_config(json.dumps(entry), strict=True) == parse_config(json.dumps(_BLOB))
    assert plain(parse_config(json.dumps(entry | {"config_v2": _FULL}), strict=True)) == _FULL
    with pytest.raises(ConfigError) as refused:
        parse_config(json.dumps(entry | {"config": _BLOB | {"backend_config": {"dir": 1}}}))
    assert refused.value.where == {"field": "config.backend_config.dir"}


_UNKNOWN = [
    ({"version": 2, "colour": 1}, ["colour"]),
    ({"version": 2, "rafs": {"mode": "direct", "x": {"y": 1}}}, ["rafs.x"]),
    (
        {"version": 2, "backend": {"type": "localfs", "localfs": {"dir": "/b", "readahead": True}, "gcs": {}}},
        ["backend.localfs.readahead", "backend.gcs"],
    ),
    (
        {
            "version": 2,
            "backend": {"type": "s3", "s3": _TABLES["s3"] | {"mirrors": [{"host": "h", "auth_through": 1}]}},
        },
        ["backend.s3.mirrors[0].auth_through"],
    ),
    (_LEGACY | {"device": _LEGACY["device"] | {"cache": {"prefetch_config": {}}}}, ["device.cache.prefetch_config"]),
    (
        _LEGACY | {"device": {"backend": {"type": "localfs", "config": {"dir": "/b", "ro": 1}}}, "verbose": True},
        ["verbose", "device.backend.config.ro"],
    ),
]


@pytest.mark.parametrize(("raw", "keys"), _UNKNOWN)
def test_unknown_keys(raw: dict[str, Any], keys: list[str]) -> None:
    """Each unknown key is warned of by its path, once; under `strict` they are an error that names them all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse_config(json.dumps(raw))
    said = [str(warning.message) for warning in caught if warning.category is ConfigWarning]
    assert sorted(said) == sorted(f"the configuration's key {key} is not known, and ignored" for key in keys)
    with pytest.raises(ConfigError, match="no such key") as refused:
        parse_config(json.dumps(raw), strict=True)
    assert sorted(str(refused.value.where["field"]).split(", ")) == sorted(keys)


def test_a_plugins_table_is_its_own() -> None:
    """The table of a type that we do not know is kept as it is, and none of it is unknown."""
    raw = {"version": 2, "backend": {"type": "tape", "tape": {"drive": 3}}}
    backend = parse_config(json.dumps(raw), strict=True).backend
    assert backend is not None
    assert dict(backend.other or {}) == {"drive": 3}


def with_backend(kind: str, **changes: Any) -> dict[str, Any]:
    """A file with a backend changed."""
    return {"version": 2, "backend": {"type": kind, kind: _TABLES[kind] | changes}}


_WRONG = [
    ({}, "version"),
    ({"version": 1}, "version"),
    ({"version": "2"}, "version"),
    ({"version": 2, "backend": {}}, "backend.type"),
    ({"version": 2, "backend": []}, "backend"),
    ({"version": 2, "backend": {"type": "s3"}}, "backend.s3"),
    ({"version": 2, "backend": {"type": "s3", "s3": {"region": "r", "bucket_name": "b"}}}, "backend.s3.endpoint"),
    ({"version": 2, "backend": {"type": "tape", "tape": 1}}, "backend.tape"),
    (with_backend("localdisk", device_path=""), "backend.localdisk.device_path"),
    (with_backend("localfs", dir="", blob_file=""), "backend.localfs.dir"),
    (with_backend("localfs", alt_dirs=["a", 2]), "backend.localfs.alt_dirs[1]"),
    (with_backend("oss", endpoint=""), "backend.oss.endpoint"),
    (with_backend("oss", timeout=-1), "backend.oss.timeout"),
    (with_backend("oss", timeout=1 << 32), "backend.oss.timeout"),
    (with_backend("oss", timeout=1.5), "backend.oss.timeout"),
    (with_backend("oss", timeout=True), "backend.oss.timeout"),
    (with_backend("oss", retry_limit=256), "backend.oss.retry_limit"),
    (with_backend("oss", scheme=""), "backend.oss.scheme"),
    (with_backend("oss", signature_version="v2"), "backend.oss.signature_version"),
    (with_backend("s3", region=""), "backend.s3.region"),
    (with_backend("s3", scheme="ftp"), "backend.s3.scheme"),
    (with_backend("s3", addressing_style="auto"), "backend.s3.addressing_style"),
    (with_backend("s3", access_key_secret=7), "backend.s3.access_key_secret"),
    (with_backend("registry", repo=""), "backend.registry.repo"),
    (with_backend("registry", mirrors=[{}]), "backend.registry.mirrors[0].host"),
    (with_backend("registry", mirrors=[{"host": "h", "headers": {"A": 1}}]), "backend.registry.mirrors[0].headers.A"),
    (with_backend("http-proxy", addr="localhost"), "backend.http-proxy.addr"),
    ({"version": 2, "cache": {"type": "ramcache"}}, "cache.type"),
    ({"version": 2, "cache": {"type": "filecache"}}, "cache.filecache"),
    ({"version": 2, "cache": {"type": "fscache", "fscache": {"work_dir": ""}}}, "cache.fscache.work_dir"),
    ({"version": 2, "cache": {"prefetch": {"enable": True, "threads": 0}}}, "cache.prefetch.threads"),
    ({"version": 2, "cache": {"prefetch": {"enable": True, "threads": 1025}}}, "cache.prefetch.threads"),
    ({"version": 2, "rafs": {"mode": "fast"}}, "rafs.mode"),
    ({"version": 2, "rafs": {"batch_size": 0x10000001}}, "rafs.batch_size"),
    ({"version": 2, "rafs": {"prefetch": {"enable": True, "batch_size": 1 << 30}}}, "rafs.prefetch.batch_size"),
    ({"version": 2, "overlay": {"upper_dir": "/u"}}, "overlay.work_dir"),
    ({"device": {"backend": {"type": "localfs"}}, "mode": "direct"}, "device.backend.config"),
    ({"device": {"backend": {"type": "localfs", "config": {"dir": "/b"}}}}, "mode"),
    (_LEGACY | {"device": _LEGACY["device"] | {"cache": {"type": "ramcache"}}}, "device.cache.type"),
]


@pytest.mark.parametrize(("raw", "field"), _WRONG)
def test_wrong(raw: dict[str, Any], field: str) -> None:
    """What is wrong is named by its key."""
    with pytest.raises(ConfigError) as refused:
        parse_config(json.dumps(raw))
    assert refused.value.where == {"field": field}


@pytest.mark.parametrize(
    "text", ["{", "[1", "version = ", "version = 2\nversion = 2", "{" * 100_000, "a = " + "[" * 9999]
)
def test_neither(text: str) -> None:
    """What is neither JSON nor TOML is refused."""
    with pytest.raises(ConfigError):
        parse_config(text)


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """Any text is a configuration or an error of ours."""
    with pytest.raises(ConfigError):
        parse_config(text)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)


@settings(max_examples=50)
@given(st.data())
def test_any_value(data: st.DataObject) -> None:
    """With any value in the place of any other: a configuration or an error that names the key."""
    raw = json.loads(json.dumps(_FULL))
    place, path = raw, ""
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        path = f"{path}.{key}".strip(".")
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_JSON)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parse_config(json.dumps(raw))
        except ConfigError as error:
            assert str(error.where["field"]).startswith("backend" if path == "backend.type" else path)


def test_secrets_are_masked() -> None:
    """No secret shows in a repr, a dict, an error or its traceback; what is no secret does."""
    config = parse_config(json.dumps(_FULL))
    shown = f"{config!r} {config} {config.to_dict()} {config.backend!r} {config.cache!r}"
    assert "SECRET" not in shown
    assert "passWORD" not in shown
    assert "http://***@proxy:65001" in shown
    assert "library/app" in shown
    for kind, table in _TABLES.items():
        for key, value in table.items():
            if isinstance(value, str) and "SECRET" in value:
                try:
                    parse_config(json.dumps(with_backend(kind, **{key: [value]})))
                except ConfigError:
                    assert "SECRET" not in traceback.format_exc()


def test_files(tmp_path: Path) -> None:
    """A file is read, and what is wrong with it said by its path."""
    path = tmp_path / "config"
    path.write_text(as_toml(_FULL))
    assert load_config(path) == parse_config(json.dumps(_FULL))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none")
    for content, what in (
        (b"\xff", "not UTF-8"),
        (b"#" * (1 << 20) + b"##", "longer than 1 MiB"),
        (b"{}", "is missing"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=what) as refused:
            load_config(path)
        assert refused.value.where["path"] == path
    assert ConfigV2() == ConfigV2()
