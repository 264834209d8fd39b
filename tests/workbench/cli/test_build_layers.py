"""`workbench build` of layers: over a parent, with each kind of whiteout, and prefetch lists of tars."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from storage.errors import ConfigError
from storage.factory import open_store
from storage.image import open_image
from storage.image.verbs import check
from tests.fuzz.seeds import stargz_layers, stargz_tables
from workbench.cli._main import group

import workbench.cli._build  # noqa: F401  isort: skip  (registers the verb)


def run(*words: object) -> Result:
    """The verb in this process."""
    return CliRunner().invoke(group, [*map(str, words)], catch_exceptions=False)


def tar(place: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """A tar of (name, kind, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode = kind, len(data), 0o755 if kind == tarfile.DIRTYPE else 0o644
            archive.addfile(info, io.BytesIO(data))
    place.write_bytes(out.getvalue())
    return place


FILE, DEVICE = tarfile.REGTYPE, tarfile.CHRTYPE
LOWER = (("a", FILE, b"lower" * 900), ("gone", FILE, b"gone"), ("kept", FILE, b"kept" * 500))
UPPER: dict[str, tuple[tuple[str, bytes, bytes], ...]] = {
    "oci": (("a", FILE, b"upper" * 900), (".wh.gone", FILE, b""), ("new", FILE, b"lower" * 900)),
    "overlayfs": (("a", FILE, b"upper" * 900), ("gone", DEVICE, b""), ("new", FILE, b"lower" * 900)),
    "none": (("a", FILE, b"upper" * 900), (".wh.gone", FILE, b""), ("new", FILE, b"lower" * 900)),
}
HIDDEN = {"a", "kept", "new"}
SHOWN = {"oci": HIDDEN, "overlayfs": HIDDEN, "none": HIDDEN | {"gone", ".wh.gone"}}


@pytest.mark.parametrize("version", [5, 6])
@pytest.mark.parametrize("spec", UPPER)
def test_over_a_parent(spec: str, version: int, tmp_path: Path) -> None:
    """A layer over a parent shows both; what it says is hidden is, by the spec that it is said in."""
    lower, upper = tar(tmp_path / "1.tar", *LOWER), tar(tmp_path / "2.tar", *UPPER[spec])
    options = ("--fs-version", version, "--json")
    below = json.loads(run("build", lower, "-o", tmp_path / "below", *options).stdout)
    both = ("--parent-bootstrap", below["bootstrap"], "--whiteout-spec", spec, "--prefetch", "/new")
    made = json.loads(run("build", upper, "-o", tmp_path / "both", *options, *both, "--prefetch-policy", "fs").stdout)
    assert made["duplicates"] == 1  # the parent's chunks are used
    shutil.copytree(tmp_path / "below" / "blobs", tmp_path / "both" / "blobs", dirs_exist_ok=True)
    image = open_image(tmp_path / "both")
    assert {path[1:].decode() for path in image.paths()[0][1:]} == SHOWN[spec]
    assert image.prefetch.tolist() == [image.lookup("/new")]
    with open_store(tmp_path / "both", cache_dir=tmp_path / "cache") as rafs:
        assert rafs.read("a") == b"upper" * 900
        assert rafs.read("kept") == b"kept" * 500
        assert rafs.read("new") == b"lower" * 900


@pytest.mark.parametrize("version", [5, 6])
def test_prefetch_list_of_a_tar(version: int, tmp_path: Path) -> None:
    """What a tar's prefetch list names is in the table, in the list's order; chunks stay in the tar's order."""
    source = tar(tmp_path / "1.tar", *LOWER)
    words = ("--fs-version", version, "--prefetch", "/kept", "--prefetch", "/a", "--prefetch-policy", "fs")
    run("build", source, "-o", tmp_path / "image", *words)
    image = open_image(tmp_path / "image")
    assert image.prefetch.tolist() == [image.lookup("/kept"), image.lookup("/a")]
    assert image.extents.chunk[image.inodes.first_extent[image.lookup("/a")]] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--inline",), "no one's blob"),
        (("--chunk-dict", "x"), "chunk dict already"),
        (("--type", "targz-ref"), "as it is"),
    ],
)
def test_refused_over_a_parent(words: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    """Options that mean nothing over a parent are refused by name."""
    source = tar(tmp_path / "1.tar", *LOWER)
    result = CliRunner().invoke(group, ["build", str(source), "-o", str(tmp_path), "--parent-bootstrap", "x", *words])
    assert complaint in str(result.exception)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--whiteout-spec", "oci"), "whiteout_spec"),
        (("--platform", "linux/arm64"), "platform"),
        (("--leave-out", "a"), "leave_out"),
        (("--blob-id", "0" * 64), "blob_id"),
        (("--blob-data-size", "1MiB"), "blob_data_size"),
        (("--type", "estargztoc-ref", "--encrypt"), "encrypt"),
        (("--type", "estargztoc-ref", "--fs-version", "5"), "version"),
        (("--type", "estargztoc-ref"), "blob_id"),
        (("--type", "directory", "--attributes", "x", "--parent-bootstrap", "y"), "parent_bootstrap"),
    ],
)
def test_without_effect(words: tuple[str, ...], field: str, tmp_path: Path) -> None:
    """An option that has no effect on such a source is refused by its name, as is one that is missing."""
    source = tar(tmp_path / "1.tar", *LOWER)
    result = CliRunner().invoke(group, ["build", str(source), "-o", str(tmp_path / "image"), *words])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.where["field"] == field
    assert not (tmp_path / "image").exists()


def test_table_alone(tmp_path: Path) -> None:
    """The table of contents of a stargz layer is enough for an image of the layer."""
    layer, table = stargz_layers()[0], stargz_tables()[0]
    blob_id = hashlib.sha256(layer).hexdigest()
    (tmp_path / "stargz.index.json").write_bytes(table)
    of_layer = ("--blob-id", blob_id, "--blob-data-size", len(layer), "--type", "estargztoc-ref")
    words = (tmp_path / "stargz.index.json", "-o", tmp_path / "image", *of_layer, "--json")
    made = json.loads(run("build", *words).stdout)
    (tmp_path / "image" / "blobs" / blob_id).write_bytes(layer)
    assert (made["blob"], made["chunks"]) == (str(tmp_path / "image" / "blobs" / blob_id), 3)
    assert check(tmp_path / "image", deep=True).problems == ()
