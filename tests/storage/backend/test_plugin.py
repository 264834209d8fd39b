"""A backend of another package: installed, found by its entry point, and held to the same suite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storage.backend import BlobBackend, open_plugin, plugin_names
from storage.errors import ConfigError
from storage.testing.backend_conformance import BackendConformance

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example package, installed into a folder that is on the path."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    source.mkdir()
    for path in PLUGIN.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", folder / "site", source], check=True)
    sys.path.append(str(folder / "site"))
    yield
    sys.path.remove(str(folder / "site"))
    sys.modules.pop("storage_memory", None)


@pytest.mark.usefixtures("installed")
class TestPlugin(BackendConformance):
    """The suite, over the example."""

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes]) -> BlobBackend:
        """The backend, opened by its type."""
        return open_plugin("memory", {"blobs": {blob_id: content.hex() for blob_id, content in blobs.items()}})


@pytest.mark.usefixtures("installed")
def test_settings_are_refused() -> None:
    """What a plugin raises over its settings is an error of ours that names it."""
    assert "memory" in plugin_names()
    with pytest.raises(ConfigError, match=r"refuses its settings.*field backend\.memory"):
        open_plugin("memory", {"blobs": {"a": "not hex"}})


def test_unknown() -> None:
    """A type that nobody offers is refused by name."""
    with pytest.raises(ConfigError, match="'tape' is no type of backend"):
        open_plugin("tape", {})
