"""The whole way: an OCI image is converted, pushed to a real registry, carried by skopeo, opened, and read lazily."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from storage.factory import open_store
from storage.image.verbs import convert
from storage.oci import pull, push
from storage.testing.oci import layer, write_layout
from tests.servers.processes import need
from tests.servers.registry import docker_registry
from tests.storage.oci.test_pull_push import skopeo
from workbench.cli import group

_NOISE = np.random.default_rng(5).bytes(900_000)
_LAYERS = [
    {"etc": None, "etc/a": b"first\n" * 3000, "etc/gone": b"x"},
    {"etc/.wh.gone": b"", "noise": _NOISE},
    {"l": "etc/a", "etc/b": b"second\n" * 3000},
]
_SHOWN = {"/etc/a": b"first\n" * 3000, "/etc/b": b"second\n" * 3000, "/noise": _NOISE}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout of three layers."""
    folder = tmp_path_factory.mktemp("source") / "layout"
    write_layout(folder, [layer(files) for files in _LAYERS], tag="v1")
    return folder


@pytest.mark.parametrize("by_reference", [False, True], ids=["native", "oci-ref"])
def test_converted(by_reference: bool, source: Path, host: str, tmp_path: Path) -> None:
    """What was converted is read from the registry file by file, and a small file does not bring the large one."""
    need("skopeo")
    convert(source, tmp_path / "layout", oci_ref=by_reference)
    name = f"{host}/app-{by_reference}".lower()
    push(tmp_path / "layout", f"{name}:v1")
    skopeo("copy", "--all", f"docker://{name}:v1", f"docker://{name}:carried")
    pulled = pull(f"{name}:carried", tmp_path / "app")
    with open_store(pulled.folder, cache_dir=tmp_path / "cache", amplify_io=0) as rafs:
        assert rafs.read("/etc/b") == _SHOWN["/etc/b"]
        (meter,) = rafs.backends
        assert meter.backend_type == "registry"
        assert 0 < meter.metrics()["read_amount_total"] < 200_000
        assert {path: rafs.read(path) for path in _SHOWN} == _SHOWN
        assert "errors" not in meter.counters
    checked = CliRunner().invoke(group, ["check", str(pulled.folder), "--deep"])
    assert checked.exit_code == 0, checked.output
