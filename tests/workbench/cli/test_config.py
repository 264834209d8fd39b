"""``--config``: the same on every verb that reads an image's data, which then comes from a server."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from storage.image import open_image
from storage.image.build import build
from storage.image.verbs import merge
from storage.oci import pull, push
from tests.servers.nginx import nginx
from tests.servers.registry import docker_registry, with_htpasswd
from tests.storage.oci._layouts import nydus_layout
from workbench.cli import group

AUTH = base64.b64encode(b"user:secret-pw").decode()
HTPASSWD = "user:$2b$04$y.x4C7nfMIkaLVAZa7G71..Nqi/MDEm4ytYMhRPXmZ6snvjXL4V6i\n"


def run(*words: object) -> Result:
    """Run a verb in this process."""
    return CliRunner().invoke(group, list(map(str, words)))


class Served(NamedTuple):
    """A bootstrap alone; a configuration of the server that has its blobs; the image with both; the server's log."""

    bootstrap: Path
    config: Path
    whole: Path
    log: Path


@pytest.fixture(scope="module")
def served(image_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The image's blobs from nginx, and nowhere near its bootstrap."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "alone").mkdir()
    shutil.copy(image_dir / "bootstrap", folder / "alone" / "bootstrap")
    with nginx(folder / "nginx", image_dir / "blobs") as server:
        config = folder / "config.toml"
        config.write_text(
            f'version = 2\nbackend.type = "http-proxy"\nbackend.http-proxy.addr = "http://127.0.0.1:{server.port}"\n'
        )
        yield Served(folder / "alone" / "bootstrap", config, image_dir, folder / "nginx" / "access.log")


def ranges(served: Served) -> int:
    """Ranges that the server has sent."""
    return served.log.read_text().count(" 206 ")


READING = {
    "ls": ["ls", "-R", "--json", "--sha256", "IMAGE"],
    "stat": ["stat", "--json", "IMAGE"],
    "cat": ["cat", "IMAGE", "/lib/module_07.py"],
    "explain": ["explain", "--json", "IMAGE", "/lib/module_07.py"],
    "inspect": ["inspect", "--json", "IMAGE"],
    "check": ["check", "--deep", "--json", "IMAGE"],
    "unpack": ["unpack", "IMAGE", "-o", "OUT"],
    "export": ["export", "IMAGE", "-o", "OUT"],
    "cp": ["cp", "IMAGE", "/lib/deep/noise.bin", "OUT"],
}


@pytest.mark.parametrize("verb", READING)
def test_the_same_as_with_the_blobs(verb: str, served: Served, tmp_path: Path) -> None:
    """A verb says and writes with a configuration what it does with the blobs beside the bootstrap."""
    outcomes = []
    for name, place in (("local", served.whole), ("served", served.bootstrap)):
        out, options = tmp_path / name, ["--config", served.config] if name == "served" else []
        asked = ranges(served)
        done = run(*({"IMAGE": place, "OUT": out}.get(word, word) for word in READING[verb]), *options)
        assert (done.exit_code, done.stderr) == (0, "")
        assert (ranges(served) > asked) == bool(options)
        said = re.sub(r"^\S+(?=: )", "", done.stdout) if verb in ("unpack", "export") else done.stdout
        outcomes.append((said, out.read_bytes() if out.exists() else b""))
    assert outcomes[0] == outcomes[1]


def test_without_it(served: Served) -> None:
    """The bootstrap alone is not enough: the test above reads from the server."""
    done = run("check", "--deep", "--json", served.bootstrap)
    assert json.loads(done.stdout)["verified"] == 0


@pytest.mark.parametrize("verb", ["compact", "optimize"])
def test_rebuilt(verb: str, served: Served, tmp_path: Path) -> None:
    """Images are made anew from blobs that are elsewhere, and then hold all that they need."""
    (tmp_path / "files.json").write_text('{"version": "v1", "files": [{"path": "/lib/module_07.py"}]}')
    more = [tmp_path / "files.json"] if verb == "optimize" else []
    done = run(verb, served.bootstrap, *more, "-o", tmp_path / "out", "--config", served.config)
    assert done.exit_code == 0, done.output
    checked = json.loads(run("check", "--deep", "--json", tmp_path / "out").stdout)
    assert (checked["problems"], checked["verified"] > 0) == ([], True)


def test_record_and_replay(served: Served, tmp_path: Path) -> None:
    """Programs run on an image whose blobs are on a server, and are replayed on it."""
    library, program = tmp_path / "lib", tmp_path / "program.py"
    library.mkdir()
    (library / "quopri.py").write_text("value = 42\n")
    program.write_text("print('ran')\n")
    recorded = run(
        "record", program, "--image", served.bootstrap, "--cache", tmp_path / "cache", "-o", tmp_path / "trace",
        "--link", "rtt=0ms,bw=10Gbit", "--config", served.config,
    )  # fmt: skip
    assert (recorded.exit_code, recorded.stderr) == (0, "")
    listed = run("cache", "ls", tmp_path / "cache", "--image", served.bootstrap, "--json", "--config", served.config)
    assert listed.exit_code == 0, listed.output
    trace = tmp_path / "trace" / "reads.parquet"
    replayed = run("replay", trace, "--image", served.bootstrap, "--json", "--config", served.config)
    assert replayed.exit_code == 0, replayed.output


def test_record_takes_the_backend_alone(served: Served, tmp_path: Path) -> None:
    """What a recording does with its cache and its reads, its options say: sections that would are named."""
    program, config = tmp_path / "program.py", tmp_path / "config.toml"
    program.write_text("print('ran')\n")
    sections = '[cache]\ntype = "filecache"\nfilecache.work_dir = "c"\n[rafs]\nbatch_size = 65536\n'
    config.write_text(served.config.read_text() + sections)
    recorded = run(
        "record", program, "--image", served.bootstrap, "--cache", tmp_path / "cache", "-o", tmp_path / "trace",
        "--link", "rtt=0ms,bw=10Gbit", "--config", config,
    )  # fmt: skip
    assert recorded.exit_code == 0, recorded.output
    assert recorded.stderr.splitlines() == [
        "workbench: warning: the configuration's section cache has no effect here: "
        "--cache and --cache-size say what it would",
        "workbench: warning: the configuration's section rafs has no effect here: "
        "--amplify and --plan say what it would",
    ]


def test_metrics(served: Served) -> None:
    """``--metrics`` says what the backend was asked, under nydusd's names."""
    done = run("cat", served.bootstrap, "/big.txt", "--config", served.config, "--metrics")
    found = dict(pair.split(" ", 1) for pair in done.stderr.strip().split(", "))
    assert found["backend_type"] == "http-proxy"
    assert int(found["read_amount_total"]) == int(found["bytes"]) > 0
    local = run("cat", served.whole, "/big.txt", "--metrics")
    assert local.stderr.startswith("backend_type localfs, read_count ")


@pytest.mark.parametrize("verb", READING)
def test_both(verb: str, served: Served, tmp_path: Path) -> None:
    """Every verb refuses to be told twice where blobs are, and a configuration that is not there."""
    words = [{"IMAGE": served.bootstrap, "OUT": tmp_path / "out"}.get(word, word) for word in READING[verb]]
    both = run(*words, "--config", served.config, "--blobs", tmp_path)
    assert "--config says where blobs are: leave out --blobs" in both.output
    absent = run(*words, "--config", tmp_path / "none.toml")
    assert "the configuration cannot be read" in str(absent.exception)


def test_two_blobs_and_a_server_that_has_one(served: Served, image_dir: Path, tmp_path: Path) -> None:
    """A deep check says which blob the server does not have."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "more").write_bytes(bytes(range(256)) * 100)
    build(tmp_path / "tree", tmp_path / "upper", chunk_size=64 << 10)
    merge([image_dir / "bootstrap", tmp_path / "upper" / "bootstrap"], tmp_path / "bootstrap")
    missing = open_image(tmp_path / "upper").infos[0].blob_id
    done = run("check", "--deep", tmp_path / "bootstrap", "--config", served.config)
    assert "does not have it" in done.stdout
    assert missing in done.stdout


def test_pulled_images_are_read_from_their_registry(image_dir: Path, tmp_path: Path) -> None:
    """What `open` fetched is checked, unpacked and exported without being told where its blobs are."""
    nydus_layout(image_dir, tmp_path / "layout")
    with docker_registry(tmp_path / "registry") as server:
        push(tmp_path / "layout", f"127.0.0.1:{server.port}/app:v1")
        pull(f"127.0.0.1:{server.port}/app:v1", tmp_path / "app")
        checked = json.loads(run("check", "--deep", "--json", tmp_path / "app").stdout)
        for name, place in (("pulled", tmp_path / "app"), ("local", image_dir)):
            assert run("unpack", place, "-o", tmp_path / f"{name}.tar").exit_code == 0
            assert run("export", place, "-o", tmp_path / f"{name}.erofs").exit_code == 0
    assert (checked["problems"], checked["verified"] > 0) == ([], True)
    for suffix in ("tar", "erofs"):
        assert (tmp_path / f"pulled.{suffix}").read_bytes() == (tmp_path / f"local.{suffix}").read_bytes()


def test_open_and_push(image_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`push` and `open` speak to a registry as a configuration says: with its credentials here."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    nydus_layout(image_dir, tmp_path / "layout")
    with docker_registry(tmp_path / "registry", with_htpasswd(tmp_path, HTPASSWD)) as server:
        host = f"127.0.0.1:{server.port}"
        configured = {"host": host, "repo": "app", "auth": AUTH}
        config = tmp_path / "registry.json"
        config.write_text(json.dumps({"version": 2, "backend": {"type": "registry", "registry": configured}}))
        refused = run("push", tmp_path / "layout", f"{host}/app:v1")
        assert "look at the credentials" in str(refused.exception)
        assert run("push", tmp_path / "layout", f"{host}/app:v1", "--config", config).exit_code == 0
        assert run("open", f"{host}/app:v1", "-o", tmp_path / "app", "--config", config).exit_code == 0
        shown = run("cat", tmp_path / "app", "/lib/module_07.py", "--config", config)
        assert "7 0 lazy loading" in shown.stdout
        assert AUTH not in (tmp_path / "app" / "registry.json").read_text()
        twice = run("open", f"{host}/app:v1", "--plain-http", "--config", config)
        assert "--config says how to speak" in twice.output
