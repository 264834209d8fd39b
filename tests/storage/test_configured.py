"""From a configuration to a store: each section has its effect, and what has none is said."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.backend import LocalDisk, LocalFs
from storage.backend.http import HttpOptions, MirrorOptions, ProxyOptions
from storage.config import ConfigWarning, parse_config
from storage.configured import open_backend, open_configured
from storage.errors import ConfigError, StorageError, UnsupportedError
from storage.events import Recorder
from storage.factory import open_store
from tests.servers.nginx import nginx


def config_of(backend: dict[str, Any], **sections: Any) -> Any:
    """A configuration of a backend and whatever sections."""
    return parse_config(json.dumps({"version": 2, "backend": backend, **sections}), strict=True)


@pytest.fixture
def local(image_dir: Path) -> dict[str, Any]:
    """The image's folder of blobs as a backend."""
    return {"type": "localfs", "localfs": {"dir": str(image_dir / "blobs")}}


def test_local(local: dict[str, Any], image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """A bootstrap alone, its blobs where the configuration says, and the cache where it says."""
    (tmp_path / "bootstrap").write_bytes((image_dir / "bootstrap").read_bytes())
    cache = {"type": "filecache", "filecache": {"work_dir": str(tmp_path / "cache")}}
    with open_configured(tmp_path / "bootstrap", config_of(local, cache=cache)) as rafs:
        assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
    assert list((tmp_path / "cache").glob("*.chunk_map"))


def test_metadata_path(local: dict[str, Any], image_dir: Path, tree: Path) -> None:
    """The bootstrap may be named by the configuration; else there has to be one."""
    with open_configured(None, config_of(local, metadata_path=str(image_dir / "bootstrap"))) as rafs:
        assert rafs.read("/copy.txt") == (tree / "copy.txt").read_bytes()
    with pytest.raises(ConfigError, match="no bootstrap"):
        open_configured(None, config_of(local))


def requests_of(recorder: Recorder) -> int:
    """Bytes of all chunks that were fetched for a user's reads, along with them or ahead."""
    events = recorder.table().to_pandas()
    return int(events[(events["kind"] == "fetch") & (events["cause"] != "meta")]["length"].sum())


def test_without_a_cache(local: dict[str, Any], image_dir: Path) -> None:
    """Without a cache nothing is kept: each read is fetched."""
    recorder = Recorder()
    with open_configured(image_dir / "bootstrap", config_of(local, rafs={"batch_size": 0}), recorder=recorder) as rafs:
        rafs.read("/copy.txt")
        once = requests_of(recorder)
        rafs.read("/copy.txt")
        assert requests_of(recorder) == 2 * once > 0


def test_batch_size(local: dict[str, Any], image_dir: Path, tmp_path: Path) -> None:
    """``rafs.batch_size`` is how far a request is widened."""
    fetched = []
    for size in (0, 1 << 20):
        cache = {"type": "blobcache", "filecache": {"work_dir": str(tmp_path / str(size))}}
        recorder = Recorder()
        config = config_of(local, cache=cache, rafs={"batch_size": size})
        with open_configured(image_dir / "bootstrap", config, recorder=recorder) as rafs:
            rafs.read("/lib/module_01.py")
        fetched.append(requests_of(recorder))
    assert 0 < fetched[0] < fetched[1]


@pytest.mark.parametrize("section", ["cache", "rafs"])
def test_prefetch(section: str, local: dict[str, Any], image_dir: Path, tmp_path: Path) -> None:
    """Prefetch of everything leaves nothing to be fetched."""
    sections: dict[str, Any] = {
        "cache": {"type": "filecache", "filecache": {"work_dir": str(tmp_path / "cache")}},
        "rafs": {},
    }
    sections[section] |= {"prefetch": {"enable": True, "threads": 2, "prefetch_all": True, "bandwidth_limit": 1}}
    with open_configured(image_dir / "bootstrap", config_of(local, **sections)) as rafs:
        rafs.drain()
        assert rafs.cache.is_ready(range(len(rafs.image.chunks)))


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"cache": {"type": "fscache", "fscache": {"work_dir": "c"}}}, "cache.type"),
        ({"overlay": {"upper_dir": "u", "work_dir": "w"}}, "overlay"),
    ],
)
def test_refused(sections: dict[str, Any], field: str, local: dict[str, Any], image_dir: Path) -> None:
    """What cannot be done is refused by its key, before anything is opened."""
    with pytest.raises(UnsupportedError) as refused:
        open_configured(image_dir / "bootstrap", config_of(local, **sections))
    assert refused.value.where == {"field": field}


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 32])
def test_no_key(key: str, local: dict[str, Any], image_dir: Path, tmp_path: Path) -> None:
    """An encryption key that is none is refused by its name, and not shown."""
    table = {"work_dir": str(tmp_path), "enable_encryption": True, "encryption_key": key}
    with pytest.raises(ConfigError) as refused:
        open_configured(image_dir / "bootstrap", config_of(local, cache={"type": "filecache", "filecache": table}))
    assert refused.value.where == {"field": "cache.filecache.encryption_key"}
    assert key == "" or key not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "suffixes"),
    [
        ({"compressed": True}, [".blob.data.chunk_map", ".blob.meta", ".blob.raw"]),
        ({"validate": True}, [".blob.data", ".blob.data.chunk_map", ".blob.meta"]),
    ],
)
def test_kinds(
    settings: dict[str, Any], suffixes: list[str], local: dict[str, Any], image_dir: Path, tree: Path, tmp_path: Path
) -> None:
    """``compressed`` and ``validate`` reach the cache: its files are those, and what is read is right, twice."""
    cache = {"type": "filecache", "filecache": {"work_dir": str(tmp_path)}, **settings}
    for _ in range(2):
        with open_configured(image_dir / "bootstrap", config_of(local, cache=cache)) as rafs:
            assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
            (info,) = rafs.image.infos
    assert sorted(path.name.removeprefix(info.blob_id) for path in tmp_path.glob("*.blob*")) == suffixes


def test_no_effect(local: dict[str, Any], image_dir: Path, tmp_path: Path) -> None:
    """Keys that do nothing here are warned of, those alone."""
    table = {"work_dir": str(tmp_path / "cache"), "enable_encryption": True, "encryption_key": bytes(range(32)).hex()}
    cache = {"type": "filecache", "compressed": True, "filecache": table}
    config = config_of(local, cache=cache)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_configured(image_dir / "bootstrap", config).close()
    said = sorted(str(warning.message) for warning in caught if warning.category is ConfigWarning)
    assert [words.split()[3] for words in said] == ["cache.filecache.enable_encryption"]


def test_backends_of_their_types(tmp_path: Path) -> None:
    """Each type gives its backend, its settings in place."""
    http = {"timeout": 3, "connect_timeout": 2, "retry_limit": 7, "skip_verify": True, "proxy": {"url": "http://p:1"}}
    http |= {"mirrors": [{"host": "http://m", "headers": {"A": "b"}}]}
    (tmp_path / "disk").write_bytes(bytes(512))
    tables: dict[str, dict[str, Any]] = {
        "localfs": {"dir": "/b", "alt_dirs": ["/c"]},
        "localdisk": {"device_path": str(tmp_path / "disk"), "disable_gpt": True},
        "s3": http | {"endpoint": "", "region": "r", "bucket_name": "b", "object_prefix": "p/"},
        "oss": http | {"endpoint": "e", "bucket_name": "b", "region": "r", "signature_version": "v4"},
        "registry": http | {"host": "h", "repo": "r", "auth": "SECRET"},
        "http-proxy": http | {"addr": "http://h:80", "path": "/p"},
    }
    shown = {}
    for kind, table in tables.items():
        backend: Any = open_backend(config_of({"type": kind, kind: table}).backend).inner
        shown[kind] = repr(backend)
        if isinstance(backend, (LocalFs, LocalDisk)):
            continue
        options: HttpOptions = backend.client.options
        assert (options.timeout, options.connect_timeout, options.retry_limit, options.skip_verify) == (3, 2, 7, True)
        assert options.proxy == ProxyOptions("http://p:1")
        assert options.mirrors == (MirrorOptions("http://m", headers={"A": "b"}),)
        backend.close()
    assert shown["localfs"] == "LocalFs('/b', alt_dirs=['/c'])"
    assert shown["s3"] == "S3('https://s3.amazonaws.com/b/p/')"
    assert shown["oss"] == "Oss('https://b.e/')"
    assert "SECRET" not in str(shown)


@pytest.mark.parametrize(
    ("kind", "table", "field"),
    [
        ("oss", {"endpoint": "e", "bucket_name": "b", "signature_version": "v4"}, "backend.oss.region"),
        ("s3", {"endpoint": "", "region": "r", "bucket_name": "b", "timeout": 0}, "backend.s3.timeout"),
        (
            "registry",
            {"host": "h", "repo": "r", "proxy": {"dragonfly_scheduler_endpoint": "x"}},
            "backend.registry.proxy.dragonfly_scheduler_endpoint",
        ),
        ("http-proxy", {"addr": "/no/such/socket"}, "backend.http-proxy.addr"),
        ("tape", {}, "backend.type"),
    ],
)
def test_backends_refused(kind: str, table: dict[str, Any], field: str) -> None:
    """What a backend does not take is named by its key."""
    with pytest.raises(StorageError) as refused:
        open_backend(config_of({"type": kind, kind: table}).backend)
    assert refused.value.where["field"] == field


@pytest.fixture(scope="module")
def served(image_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image's blobs from a server."""
    with nginx(tmp_path_factory.mktemp("nginx"), image_dir / "blobs") as process:
        yield f"http://127.0.0.1:{process.port}"


def test_from_a_server(served: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """A whole image, read from a server, by a legacy configuration."""
    legacy = {
        "device": {
            "backend": {"type": "http-proxy", "config": {"addr": served}},
            "cache": {"type": "blobcache", "config": {"work_dir": str(tmp_path / "cache")}},
        },
        "mode": "direct",
    }
    with open_configured(image_dir / "bootstrap", parse_config(json.dumps(legacy), strict=True)) as rafs:
        for path in (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
            assert rafs.read("/" + str(path.relative_to(tree))) == path.read_bytes()


def test_metrics_without_asking(served: str, image_dir: Path, tmp_path: Path) -> None:
    """A backend that a configuration opened has nydusd's metrics, and those of HTTP; a notebook shows both."""
    cache = {"type": "filecache", "filecache": {"work_dir": str(tmp_path / "cache")}}
    config = config_of({"type": "http-proxy", "http-proxy": {"addr": served}}, cache=cache)
    recorder = Recorder()
    with open_configured(image_dir / "bootstrap", config, recorder=recorder) as rafs:
        rafs.read("/big.txt")
        (meter,) = rafs.backends
    metrics, events = meter.metrics(), recorder.table().to_pandas()
    requests = events[events["kind"] == "request"]
    assert metrics["backend_type"] == "http-proxy"
    assert metrics["read_count"] == len(requests)
    assert metrics["read_amount_total"] == requests["length"].sum() == meter.counters["bytes"]
    html = meter._repr_html_()
    assert f"{metrics['read_amount_total']:,}" in html
    assert "connections" in html


def test_metrics_of_a_folder(image_dir: Path, tmp_path: Path) -> None:
    """Nobody need name a backend for its metrics to be there."""
    with open_store(image_dir, cache_dir=tmp_path / "cache") as rafs:
        rafs.read("/big.txt")
        (meter,) = rafs.backends
        assert meter.metrics()["read_amount_total"] > 0
        assert meter.metrics()["backend_type"] == "localfs"
