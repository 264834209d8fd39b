"""External blobs: read from where `external_backends` and the image say, and from nowhere else."""

from __future__ import annotations

import json
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from storage.backend import LocalFs, RoutedBackend
from storage.config import ConfigV2, ConfigWarning, parse_config
from storage.configured import open_configured
from storage.errors import BackendError, ConfigError, FormatError, MissingBlobError
from storage.factory import open_store
from storage.image import BlobFeatures, open_bootstrap
from storage.image._ondisk import BLOB_ENTRY
from storage.image._super import read_super_block
from storage.image.build import build
from storage.image.verbs import merge
from storage.oci import pull, push
from tests.servers.nginx import nginx
from tests.servers.registry import docker_registry
from tests.servers.s3 import KEYS, S3Server, juicefs, put_blobs
from tests.servers.scripted import Asked, Scripted, reply, serve_blob
from tests.storage.oci._layouts import nydus_layout
from workbench.cli import group


class Layered(NamedTuple):
    """An image of two layers: one blob of its own, and one that it marks as external."""

    bootstrap: Path
    own: str
    outside: str
    content: dict[str, bytes]
    blobs: Path


def mark_external(bootstrap: Path, blob_id: str) -> None:
    """Set the flag in the blob table, as a builder of external blobs does."""
    content = bytearray(bootstrap.read_bytes())
    offset, size = read_super_block(np.frombuffer(content, np.uint8)).blob_table
    table = np.frombuffer(content, BLOB_ENTRY, size // BLOB_ENTRY.itemsize, offset)
    rows = [entry["blob_id"].tobytes().decode() == blob_id for entry in table]
    table["features"][rows] |= np.uint32(BlobFeatures.EXTERNAL)
    bootstrap.write_bytes(content)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Layered:
    """The image."""
    root, noise = tmp_path_factory.mktemp("layered"), np.random.default_rng(11)
    content = {"code": noise.bytes(90_000), "weights": noise.bytes(400_000)}
    (root / "blobs").mkdir()
    ids = []
    for name, data in content.items():
        (root / name / "tree").mkdir(parents=True)
        (root / name / "tree" / name).write_bytes(data)
        built = build(root / name / "tree", root / name / "image", chunk_size=64 << 10)
        assert built.blob is not None
        built.blob.rename(root / "blobs" / built.blob.name)
        ids.append(built.blob.name)
    (root / "image").mkdir()
    merge([root / name / "image" / "bootstrap" for name in content], root / "image" / "bootstrap")
    mark_external(root / "image" / "bootstrap", ids[1])
    return Layered(root / "image" / "bootstrap", ids[0], ids[1], content, root / "blobs")


@pytest.fixture(scope="module")
def servers(layered: Layered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, S3Server]]:
    """The image's own blob behind nginx, the external one in a bucket: neither has the other's."""
    folder = tmp_path_factory.mktemp("servers")
    (folder / "root").mkdir()
    (folder / "root" / layered.own).write_bytes((layered.blobs / layered.own).read_bytes())
    (folder / "s3").mkdir()
    with nginx(folder / "nginx", folder / "root") as web, juicefs(folder / "s3") as s3:
        put_blobs(s3, {layered.outside: (layered.blobs / layered.outside).read_bytes()}, "models/")
        yield f"http://127.0.0.1:{web.port}", s3


def bucket_of(s3: S3Server) -> dict[str, str]:
    """The bucket's settings as `external_backends` has them: all of them texts."""
    return {
        "endpoint": s3.endpoint, "scheme": "http", "region": "us-east-1", "bucket_name": s3.bucket,
        "object_prefix": "models/", "access_key_id": KEYS.access_key_id, "access_key_secret": KEYS.access_key_secret,
        "timeout": "7", "skip_verify": "true",
    }  # fmt: skip


def config_of(addr: str, *external: dict[str, Any]) -> ConfigV2:
    """A configuration of nginx and of external backends."""
    backend = {"type": "http-proxy", "http-proxy": {"addr": addr}}
    return parse_config(json.dumps({"version": 2, "backend": backend, "external_backends": external}), strict=True)


@pytest.fixture
def image(layered: Layered, tmp_path: Path) -> Path:
    """The bootstrap in a folder that may be written to."""
    (tmp_path / "bootstrap").write_bytes(layered.bootstrap.read_bytes())
    return tmp_path / "bootstrap"


def test_each_from_its_own(layered: Layered, servers: tuple[str, S3Server], image: Path) -> None:
    """The image's blob comes from its backend, the external one from the bucket; each has its metrics."""
    config = config_of(servers[0], {"type": "s3", "patch": {}, "config": bucket_of(servers[1])})
    with open_configured(image, config) as rafs:
        for name, content in layered.content.items():
            assert rafs.read("/" + name) == content
        own, outside = (meter.metrics() for meter in rafs.backends)
    assert (own["backend_type"], outside["backend_type"]) == ("http-proxy", "s3")
    sizes = {info.blob_id: info.compressed_size for info in open_bootstrap(image).infos}
    assert 90_000 <= own["read_amount_total"] <= sizes[layered.own] < 200_000
    assert outside["read_amount_total"] >= 400_000


def test_first_that_has_it(layered: Layered, servers: tuple[str, S3Server], image: Path) -> None:
    """Where the image says nothing, an external blob is read from the first of them that has it."""
    empty = {"type": "s3", "patch": {}, "config": bucket_of(servers[1]) | {"object_prefix": "none/"}}
    full = {"type": "s3", "patch": {}, "config": bucket_of(servers[1])}
    with open_configured(image, config_of(servers[0], empty, full)) as rafs:
        assert rafs.read("/weights") == layered.content["weights"]
    with pytest.raises(MissingBlobError, match="none of 2 backends"):
        open_configured(image, config_of(servers[0], empty, empty))


def listing(layered: Layered, *backends: dict[str, Any], of: int = 0) -> str:
    """What an image says of its external blobs."""
    blob = {"backend": of, "config": {"media_type": "", "digest": f"sha256:{layered.outside}", "size": 1}}
    return json.dumps({"version": "v1", "backends": backends, "blobs": [blob]})


def test_merged_into_what_the_image_says(layered: Layered, servers: tuple[str, S3Server], image: Path) -> None:
    """The image names bucket and prefix; the configuration adds keys, to that one which its patch names."""
    bucket = bucket_of(servers[1])
    secrets = {key: bucket.pop(key) for key in ("access_key_id", "access_key_secret")}
    wrong = {**bucket, "bucket_name": "others"}
    text = listing(layered, {"type": "s3", "config": wrong}, {"type": "s3", "config": bucket}, of=1)
    image.with_name("backend.json").write_text(text)
    mine = {"type": "s3", "patch": {"bucket_name": bucket["bucket_name"]}, "config": secrets}
    with open_configured(image, config_of(servers[0], mine)) as rafs:
        assert rafs.read("/weights") == layered.content["weights"]
    other = {"type": "s3", "patch": {"bucket_name": "others"}, "config": secrets}
    with pytest.raises(Exception, match="look at the credentials"):
        open_configured(image, config_of(servers[0], other))


def test_no_part_in_it(layered: Layered, servers: tuple[str, S3Server], image: Path) -> None:
    """An entry that belongs to none of the image's backends is warned of; so is any where no blob is external."""
    image.with_name("backend.json").write_text(listing(layered, {"type": "s3", "config": bucket_of(servers[1])}))
    idle = {"type": "oss", "patch": {"endpoint": "e"}, "config": {}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_configured(image, config_of(servers[0], idle)).close()
    assert [str(one.message) for one in caught if one.category is ConfigWarning] == [
        "the configuration's key external_backends[0] has no effect here"
    ]


def test_registry_of_its_own(layered: Layered, image: Path) -> None:
    """A registry of which the image says nothing is the image's own backend."""
    image.with_name("backend.json").write_text(listing(layered, {"type": "registry"}))
    text = json.dumps({"version": 2, "backend": {"type": "localfs", "localfs": {"dir": str(layered.blobs)}}})
    with open_configured(image, parse_config(text)) as rafs:
        assert rafs.read("/weights") == layered.content["weights"]
        assert len(rafs.backends) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ('{"backends": 1}', "which backends have which"),
        ('{"backends": [], "blobs": [{"backend": 0, "config": {"digest": "sha256:0"}}]}', "which backends have which"),
        ('{"backends": [{"type": "registry"}], "blobs": []}', "where an external blob is"),
    ],
)
def test_broken_listings(content: str, said: str, layered: Layered, image: Path) -> None:
    """What is broken in the image's file is said, with its name."""
    image.with_name("backend.json").write_text(content)
    with pytest.raises(ConfigError, match=said) as refused:
        open_configured(image, config_of("http://127.0.0.1:1"))
    assert "backend.json" in str(refused.value.where["path"])


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"type": "s3", "patch": {}, "config": {"region": "r"}}, "external_backends[0].config.endpoint"),
        (
            {"type": "http-proxy", "patch": {}, "config": {"addr": "http://h", "timeout": "soon"}},
            "external_backends[0].config.timeout",
        ),
        ({"type": "http-proxy", "patch": {}, "config": {"addr": "here"}}, "external_backends[0].config.addr"),
    ],
)
def test_settings_refused(entry: dict[str, Any], field: str, image: Path) -> None:
    """A setting that is missing or wrong is named by its place in the configuration."""
    with pytest.raises(ConfigError) as refused:
        open_configured(image, config_of("http://127.0.0.1:1", entry))
    assert refused.value.where["field"] == field


def test_unknown_setting() -> None:
    """A setting that its type of backend does not have is named, like any unknown key."""
    with pytest.raises(ConfigError) as refused:
        config_of("http://h", {"type": "s3", "patch": {}, "config": {"bukket": "b"}})
    assert refused.value.where["field"] == "external_backends[0].config.bukket"


def test_routes(tmp_path: Path) -> None:
    """A routed backend asks one backend for a blob, and closes each once."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "blob").write_bytes(folder.encode())
    own, other = LocalFs(tmp_path / "a"), LocalFs(tmp_path / "b")
    routed, buffer = RoutedBackend(own, {"blob": [other], "more": [other]}), bytearray(1)
    routed.get_reader("blob").read_into(memoryview(buffer), 0)
    assert (bytes(buffer), routed.backends) == (b"b", [own, other])
    routed.close()


@pytest.fixture
def pushed(layered: Layered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Pushes the image, with what it says of its external blob, to a registry that has no other blob; its reference."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "own" / "blobs").mkdir(parents=True)
    (tmp_path / "own" / "bootstrap").write_bytes(layered.bootstrap.read_bytes())
    (tmp_path / "own" / "blobs" / layered.own).write_bytes((layered.blobs / layered.own).read_bytes())
    with docker_registry(tmp_path / "registry") as server:

        def push_with(said: str) -> str:
            layout = Path(tempfile.mkdtemp(dir=tmp_path))
            nydus_layout(tmp_path / "own", layout, external=said)
            reference = f"127.0.0.1:{server.port}/app:v1"
            push(layout, reference, scheme="http")
            return reference

        yield push_with


def test_pulled(layered: Layered, pushed: Callable[[str], str], tmp_path: Path) -> None:
    """What an image says of its external blobs comes with its bootstrap: they are read from there, and checked."""
    outside = (layered.blobs / layered.outside).read_bytes()
    with Scripted(serve_blob(outside)) as server:
        said = listing(layered, {"type": "http-proxy", "config": {"addr": server.url}})
        folder = pull(pushed(said), tmp_path / "app", scheme="http").folder
        assert (folder / "backend.json").read_text() == said
        with open_store(folder, cache_dir=tmp_path / "cache") as rafs:
            for name, content in layered.content.items():
                assert rafs.read("/" + name) == content
            assert [meter.backend_type for meter in rafs.backends] == ["registry", "http-proxy"]
        checked = CliRunner().invoke(group, ["check", str(folder), "--deep"])
        assert (checked.exit_code, checked.exception) == (0, None)
        assert {asked.path for asked in server.asked} == {"/" + layered.outside}
    pull(pushed(""), folder, scheme="http")
    assert sorted(file.name for file in folder.iterdir()) == ["bootstrap", "registry.json"]


def test_pulled_and_broken(layered: Layered, pushed: Callable[[str], str], tmp_path: Path) -> None:
    """An image that does not say it right is refused, and what was pulled before is left as it was."""
    folder = pull(pushed(""), tmp_path / "app", scheme="http").folder
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for said in ("{", "[]", listing(layered, {"type": "s3"}, of=1)):
        with pytest.raises(FormatError, match=r"the image's backend\.json"):
            pull(pushed(said), folder, scheme="http")
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_credentials_of_the_image(layered: Layered, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that an image names is not told the credentials that are for the image's own."""
    monkeypatch.setenv("IMAGE_PULL_AUTH", "bWU6c2VjcmV0")
    monkeypatch.setenv("DOCKER_CONFIG", str(image.parent / "docker"))

    def wants_to_know(asked: Asked, wire: socket.socket) -> None:
        wire.sendall(reply(401, b"", {"WWW-Authenticate": 'Basic realm="tell me"'}))

    with Scripted(wants_to_know) as server:
        host = server.url.removeprefix("http://")
        registry = {"type": "registry", "config": {"scheme": "http", "host": host, "repo": "models"}}
        image.with_name("backend.json").write_text(listing(layered, registry))
        text = json.dumps({"version": 2, "backend": {"type": "localfs", "localfs": {"dir": str(layered.blobs)}}})
        with pytest.raises(BackendError, match="look at the credentials"):
            open_configured(image, parse_config(text)).read("/weights")
        assert server.asked
        assert not any("authorization" in asked.headers for asked in server.asked)
