"""Reference images, built again by us with the options that they were made with: the same bytes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from storage.image import open_bootstrap, open_image
from storage.image.build import BuildResult, Node, build, build_layer, image_tree
from tests.interop.options import asked
from tests.interop.references import Variant, variants

_GZIP = ("targz-ref", "estargz-ref")


@pytest.mark.claim("rebuilt")
def test_same_bytes(created: Variant, tmp_path: Path) -> None:
    """Data blob and bootstrap, byte for byte, and under the same name.

    A directory's tree is taken out of another image of it, if there is one, a tar out of the gzip layer that a
    zran image keeps. The encrypted one is given the key and the tweak that the reference drew.
    """
    conversion, options, unknown = told = asked(created.ref["options"])
    if unknown:
        pytest.skip(f"no {', '.join(unknown)} here")
    if "encrypt" in options:
        (info,) = open_bootstrap(created.folder).infos
        options["encrypt"] = (info.cipher_key, info.cipher_iv)
    if "prefetch_policy" in options:
        options["prefetch"] = created.ref["prefetch_input"].split()
    if told.of_directory:
        built = build(_tree(created), tmp_path, **options)
    else:
        built = _from_a_tar(_layer(created), conversion, options, tmp_path)
    blobs = created.folder / "blobs"
    theirs = {path.name: path for path in blobs.iterdir()} if blobs.is_dir() else {}
    ours = {path.name: path for path in (tmp_path / "blobs").iterdir()}
    if theirs:  # of a tarfs they are kept elsewhere
        assert sorted(ours) == sorted(theirs)
    for name, path in theirs.items():
        print(f"{created.name:22} {path.stat().st_size:9,} bytes: ours {digest(ours[name])}, its {digest(path)}")
        assert ours[name].read_bytes() == path.read_bytes()
    if not options.get("inline"):
        assert built.bootstrap.read_bytes() == (created.folder / "bootstrap").read_bytes()


def _tree(variant: Variant) -> Node:
    """The directory that it was built of."""
    twins = [
        other
        for other in variants()
        if other != variant
        and other.ref.get("tree") == variant.ref["tree"]
        and "options" in other.ref
        and asked(other.ref["options"]).of_directory
    ]
    source = twins[0] if twins else variant
    return image_tree(open_image(source.folder), source.folder / "blobs")


def _layer(variant: Variant) -> Path:
    """The tar that it was built of, compressed."""
    for other in variants():
        if other.ref.get("tree") == variant.ref["tree"] and asked(other.ref.get("options", ())).conversion in _GZIP:
            return max((other.folder / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    pytest.skip("nobody has kept the tar")


def _from_a_tar(layer: Path, conversion: str, options: dict[str, Any], out: Path) -> BuildResult:
    if conversion == "tar-tarfs":
        plain = out / "layer.tar"
        plain.write_bytes(gzip.decompress(layer.read_bytes()))
        layer = plain
    return build_layer(layer, out, conversion=conversion, **options)


@pytest.mark.claim("rebuilt", variant="chunkdict-v6")
def test_chunk_dict(refs: Path, tmp_path: Path) -> None:
    """What a chunk dict holds is used where it is: the reference's blob of the rest, and its bootstrap."""
    folder = refs / "chunkdict-v6"
    if not folder.is_dir():
        pytest.skip(f"no chunkdict-v6 in {refs}")
    tree = image_tree(open_image(folder / "image.boot"), folder / "blobs")
    built = build(tree, tmp_path, chunk_dict=folder / "dict.boot")
    assert built.blob is not None
    assert built.blob.read_bytes() == (folder / "blobs" / built.blob.name).read_bytes()
    assert built.bootstrap.read_bytes() == (folder / "image.boot").read_bytes()


def digest(file: Path) -> str:
    """Enough of a file's SHA-256 to tell two apart."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
