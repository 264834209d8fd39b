"""Images in a real registry: pushed by us and opened, carried by skopeo, opened from what skopeo pushed."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from storage.backend.http import HttpOptions, MirrorOptions, ProxyOptions
from storage.backend.registry import Registry, RegistryOptions
from storage.errors import ConfigError, FormatError, IntegrityError, MissingBlobError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.image import open_image
from storage.oci import pull, push
from tests.servers.processes import need
from tests.servers.proxy import proxy
from tests.servers.registry import docker_registry
from tests.servers.scripted import Scripted, reply
from tests.storage.oci._layouts import nydus_layout
from workbench.cli import group


@pytest.fixture(autouse=True)
def nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that takes everything."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as server:
        yield f"127.0.0.1:{server.port}"


def same_files(pulled: Path, tree: Path, cache: Path) -> Recorder:
    """Every regular file, read lazily from the registry, is the tree's; the events of it."""
    recorder = Recorder()
    with open_store(pulled, cache_dir=cache, recorder=recorder) as rafs:
        for file in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
            assert rafs.read(rafs.lookup("/" + file.relative_to(tree).as_posix())) == file.read_bytes()
    return recorder


@pytest.mark.parametrize(("indexed", "compressed"), [(False, True), (True, True), (False, False)])
def test_push_and_open(indexed: bool, compressed: bool, host: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """What we pushed we open, by tag and by digest, and read: only what is read is fetched."""
    digest = nydus_layout(image_dir, tmp_path / "layout", indexed=indexed, compressed=compressed)
    reference = f"{host}/app-{indexed}-{compressed}".lower()
    pushed = push(tmp_path / "layout", f"{reference}:v1")
    assert pushed.reference.digest == digest
    assert push(tmp_path / "layout", f"{reference}:v2").sent == 0
    for number, name in enumerate((":v1", f"@{digest}")):
        pulled = pull(reference + name, tmp_path / f"pulled-{number}")
        assert (pulled.folder / "bootstrap").read_bytes() == (image_dir / "bootstrap").read_bytes()
        blobs = sum(file.stat().st_size for file in (image_dir / "blobs").iterdir())
        assert pulled.fetched < pulled.layers - blobs + 5000
    recorder = same_files(tmp_path / "pulled-0", tree, tmp_path / "cache")
    ledgers = audit(recorder.table())
    assert 0 < ledgers.received <= blobs


def test_skopeo_carries_what_we_pushed(host: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """skopeo copies our image to another repository and to a layout; both are the image we made."""
    need("skopeo")
    digest = nydus_layout(image_dir, tmp_path / "layout")
    push(tmp_path / "layout", f"{host}/ours:v1")
    skopeo("copy", f"docker://{host}/ours:v1", f"docker://{host}/carried:v1")
    skopeo("copy", f"docker://{host}/ours:v1", f"oci:{tmp_path / 'copied'}:v1")
    pulled = pull(f"{host}/carried:v1", tmp_path / "pulled")
    assert pulled.reference.digest == digest
    same_files(pulled.folder, tree, tmp_path / "cache")
    assert push(tmp_path / "copied", f"{host}/again:v1").reference.digest == digest


def test_we_open_what_skopeo_pushed(host: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """An image that skopeo pushed from a layout is opened and read."""
    need("skopeo")
    nydus_layout(image_dir, tmp_path / "layout")
    skopeo("copy", f"oci:{tmp_path / 'layout'}", f"docker://{host}/theirs:v1")
    pulled = pull(f"{host}/theirs:v1", tmp_path / "pulled")
    same_files(pulled.folder, tree, tmp_path / "cache")


def skopeo(verb: str, *places: str) -> None:
    """Run it without TLS and policy."""
    command = ["skopeo", "--insecure-policy", verb, "--src-tls-verify=false", "--dest-tls-verify=false", *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_command_line(host: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """`push`, `open`, and then every verb on the folder: ls from the bootstrap alone, cat from the registry."""
    nydus_layout(image_dir, tmp_path / "layout")
    run = CliRunner().invoke
    pushed = run(group, ["push", str(tmp_path / "layout"), f"{host}/cli:v1"])
    assert pushed.exit_code == 0
    assert pushed.output.startswith(f"{host}/cli@sha256:")
    opened = run(group, ["open", f"{host}/cli:v1", "-o", str(tmp_path / "app"), "--json"])
    assert opened.exit_code == 0
    said = json.loads(opened.output)
    assert said["folder"] == str(tmp_path / "app")
    assert said["paths"] == len(open_image(image_dir).paths()[0])
    listed = run(group, ["ls", str(tmp_path / "app"), "/lib"])
    assert "module_07.py" in listed.output
    shown = run(group, ["cat", str(tmp_path / "app"), "/lib/module_07.py"])
    assert shown.output == (tree / "lib" / "module_07.py").read_text()


def test_without_the_registry(host: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """Once everything has been read, the cache is enough: the registry may be gone."""
    nydus_layout(image_dir, tmp_path / "layout")
    push(tmp_path / "layout", f"{host}/gone:v1")
    pulled = pull(f"{host}/gone:v1", tmp_path / "pulled")
    same_files(pulled.folder, tree, tmp_path / "cache")
    config = pulled.folder / "registry.json"
    config.write_text(config.read_text().replace(host, "127.0.0.1:1"))
    same_files(pulled.folder, tree, tmp_path / "cache")


def test_prefetch_goes_as_prefetch(host: str, image_dir: Path, tmp_path: Path) -> None:
    """What a store prefetches is asked for in the class of prefetch, what it reads on demand: Dragonfly is told so."""
    nydus_layout(image_dir, tmp_path / "layout")
    push(tmp_path / "layout", f"{host}/classes:v1")
    with proxy() as way:
        http = HttpOptions(proxy=ProxyOptions(way.url, fallback=False))
        backend = Registry(RegistryOptions(host, "classes", "http", http=http))
        with open_store(image_dir, cache_dir=tmp_path / "cache", backend=backend, amplify_io=0) as rafs:
            rafs.read(rafs.lookup("/lib/module_01.py"))
            demand = [asked.headers["x-dragonfly-priority"] for asked in way.asked]
            rafs.prefetch(range(len(rafs.image.chunks)))
            rafs.drain()
        prefetch = [asked.headers["x-dragonfly-priority"] for asked in way.asked[len(demand) :]]
        backend.close()
    assert set(demand) == {"6"}
    assert set(prefetch) == {"3"}
    assert backend.metrics["prefetch"] == len(prefetch)


def test_what_is_not_there(host: str, tmp_path: Path) -> None:
    """A tag or a repository that is missing is a missing blob."""
    with pytest.raises(MissingBlobError, match=r"manifest nothing, status 404, code MANIFEST_UNKNOWN"):
        pull(f"{host}/absent:nothing", tmp_path)


def test_not_a_nydus_image(host: str, image_dir: Path, tmp_path: Path) -> None:
    """An image without a bootstrap is refused by name."""
    nydus_layout(image_dir, tmp_path / "layout")
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    manifest["layers"] = manifest["layers"][:-1]
    write_top(tmp_path / "layout", json.dumps(manifest).encode())
    push(tmp_path / "layout", f"{host}/plain:v1")
    with pytest.raises(FormatError, match="is not a nydus image: no layer is a bootstrap"):
        pull(f"{host}/plain:v1", tmp_path / "pulled")


def write_top(layout: Path, content: bytes) -> None:
    """Make a manifest the layout's only one."""
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(content)
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{digest}"}
    (layout / "index.json").write_text(json.dumps({"manifests": [{**entry, "size": len(content)}]}))


def test_layouts_that_are_none(host: str, image_dir: Path, tmp_path: Path) -> None:
    """A folder without an index, an index of nothing, a blob that is not what its name says."""
    target = f"{host}/none:v1"
    with pytest.raises(FormatError, match="the layout cannot be read"):
        push(tmp_path, target)
    for index, what in (("{", "not JSON"), ("{}", "neither a manifest"), ('{"manifests":[]}', "no one image")):
        (tmp_path / "index.json").write_text(index)
        with pytest.raises(FormatError, match=what):
            push(tmp_path, target)
    nydus_layout(image_dir, tmp_path / "layout")
    blob = next((image_dir / "blobs").iterdir()).name
    (tmp_path / "layout" / "blobs" / "sha256" / blob).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="not what its name says"):
        push(tmp_path / "layout", target)


def test_a_layer_that_lies(host: str, image_dir: Path, tmp_path: Path) -> None:
    """A registry whose blob is not what its digest says is caught before anything is kept."""
    layout = tmp_path / "layout"
    digest = nydus_layout(image_dir, layout)
    manifest = (layout / "blobs" / "sha256" / digest[7:]).read_bytes()
    layer = json.loads(manifest)["layers"][-1]
    body = bytearray((layout / "blobs" / "sha256" / layer["digest"][7:]).read_bytes())
    body[-1] ^= 1
    answers = {"manifests": manifest, "blobs": bytes(body)}
    with Scripted(lambda asked, wire: wire.sendall(reply(200, answers[asked.path.split("/")[3]]))) as server:
        with pytest.raises(IntegrityError, match="a layer is not what its digest says"):
            pull(f"127.0.0.1:{server.port}/x:v1", tmp_path / "pulled", scheme="http")
        assert not (tmp_path / "pulled" / "bootstrap").exists()
        answers["manifests"] = manifest + b" "
        with pytest.raises(IntegrityError, match="a manifest is not what its digest says"):
            pull(f"127.0.0.1:{server.port}/x@{digest}", tmp_path / "pulled", scheme="http")


def bomb() -> bytes:
    """A tar that begins with an extended header of 200 MiB."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 200 << 20
    return gzip.compress(info.tobuf() + bytes(info.size), 1)


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (b"", "has no image/image.boot|is not a tar"),
        (b"nothing of the kind" * 100, "is not a tar"),
        (b"\x1f\x8b nor this", "is not a tar"),
        (b"\x28\xb5\x2f\xfd nor this", "is not a tar"),
        (gzip.compress(bytes(10240)), "has no image/image.boot"),
        (bomb(), "headers of the bootstrap's layer are too long"),
    ],
    ids=["empty", "noise", "gzip", "zstd", "no member", "bomb"],
)
def test_layers_that_are_none(layer: bytes, what: str, tmp_path: Path) -> None:
    """A bootstrap layer that is no tar, or is made to fill memory, is a FormatError with the image's name."""
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    notes = {"containerd.io/snapshot/nydus-bootstrap": "true"}
    manifest = json.dumps({"layers": [{"digest": digest, "size": len(layer), "annotations": notes}]}).encode()
    answers = {"manifests": manifest, "blobs": layer}
    with Scripted(lambda asked, wire: wire.sendall(reply(200, answers[asked.path.split("/")[3]]))) as server:
        tracemalloc.start()
        with pytest.raises(FormatError, match=f"(?:{what}).*path 127.0.0.1:{server.port}/x:v1"):
            pull(f"127.0.0.1:{server.port}/x:v1", tmp_path, scheme="http")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100 << 20
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_says_nothing(image_dir: Path, tmp_path: Path) -> None:
    """A registry.json that is none is named."""
    shutil.copy(image_dir / "bootstrap", tmp_path / "bootstrap")
    for text in ("", "[]", '{"registry": {"host": 1}}'):
        (tmp_path / "registry.json").write_text(text)
        with pytest.raises(ConfigError, match=r"registry\.json"):
            open_store(tmp_path, cache_dir=tmp_path / "cache")


def test_options_reach_the_registry(host: str, tmp_path: Path) -> None:
    """Timeouts and the like are taken as given."""
    with pytest.raises(MissingBlobError):
        pull(f"{host}/absent:v1", tmp_path, http=HttpOptions(timeout=1, retry_limit=0))


def test_opened_again_as_it_was_pulled(host: str, image_dir: Path, tmp_path: Path) -> None:
    """How the registry was spoken to is kept with the image, all of it but secrets."""
    nydus_layout(image_dir, tmp_path / "layout")
    push(tmp_path / "layout", f"{host}/kept:v1")
    with proxy() as way:
        url = way.url.replace("http://", "http://me:SECRET@")
        mirror = MirrorOptions(f"http://{host}", headers={"Authorization": "SECRET"}, failure_limit=2)
        http = HttpOptions(
            timeout=6.5,
            connect_timeout=4,
            retry_limit=2,
            skip_verify=True,
            proxy=ProxyOptions(url, ping_url=f"http://{host}/v2/", check_interval=9, use_http=True),
            mirrors=(mirror,),
        )
        pulled = pull(f"{host}/kept:v1", tmp_path / "pulled", http=http)
        assert "SECRET" not in (pulled.folder / "registry.json").read_text()
        with open_store(pulled.folder, cache_dir=tmp_path / "cache") as rafs:
            (meter,) = rafs.backends
            registry: Any = meter.inner
    assert (registry.options.scheme, registry.options.host, registry.options.repo) == ("http", host, "kept")
    bare = replace(mirror, headers={})
    wanted = replace(http, timeout=7, proxy=replace(http.proxy, url=way.url), mirrors=(bare,))
    assert registry.options.http == wanted
