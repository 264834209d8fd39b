"""External blobs: files that lie in blobs of others, built from attributes and read from elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from storage.backend import LocalFs
from storage.errors import ConfigError, IntegrityError, MissingBlobError
from storage.factory import open_store
from storage.image import BlobFeatures, open_bootstrap, open_image
from storage.image._ondisk import CHUNK_RECORD
from storage.image.build import build_external
from storage.image.build._attributes import parse_attributes
from storage.image.verbs import check, merge

CHUNK = 64 << 10
MODEL = bytes(range(256)) * 700  # two whole chunks, and a part of one
TABLE = b"vocabulary " * 900
BLOB = bytes(4096) + MODEL + bytes(-len(MODEL) % 4096) + TABLE
BLOB_ID = hashlib.sha256(BLOB).hexdigest()


def crcs(data: bytes) -> str:
    """CRC32C of its chunks, as attributes have them."""
    return ",".join(f"0x{google_crc32c.value(data[at : at + CHUNK]):x}" for at in range(0, len(data), CHUNK))


def attributes(place: Path, *, model: str = "", table: str = "") -> Path:
    """Attributes of the two files, with more words behind each line."""
    told = f"type=external blob_index=0 blob_id={BLOB_ID} chunk_size=64KB compressed_size={len(BLOB)}"
    second = 4096 + len(MODEL) + -len(MODEL) % 4096
    lines = [
        "# where the model is",
        f"models/big.bin {told} chunk_0_compressed_offset=4096 file_size={len(MODEL)} crcs={crcs(MODEL)} {model}",
        f'"/models/a table" {told} chunk_0_compressed_offset={second} {table}',
        "code.py type=internal",
    ]
    place.write_text("\n".join(lines))
    return place


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose model is a stand-in."""
    (tmp_path / "tree" / "models").mkdir(parents=True)
    (tmp_path / "tree" / "models" / "big.bin").touch()
    (tmp_path / "tree" / "models" / "a table").write_bytes(TABLE)
    (tmp_path / "tree" / "models" / "readme").write_bytes(b"read me")
    (tmp_path / "tree" / "code.py").write_bytes(b"import model")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / BLOB_ID).write_bytes(BLOB)
    return tmp_path / "tree"


def test_two_images(tree: Path, tmp_path: Path) -> None:
    """External files are in the second bootstrap, the rest in the first; the blob table says whose they are."""
    made = build_external(tree, tmp_path / "image", attributes(tmp_path / "attributes"))
    assert made.blobs == (BLOB_ID,)
    inside = {path.decode() for path in open_image(made.built.bootstrap).paths()[0]}
    assert inside == {"/", "/code.py", "/models", "/models/readme"}
    outside = open_bootstrap(made.bootstrap)
    assert outside.infos[0].has_feature(BlobFeatures.EXTERNAL)
    paths = {path.decode() for path in outside.image().paths()[0]}
    assert paths == {"/", "/models", "/models/a table", "/models/big.bin"}
    report = check(made.bootstrap, tmp_path / "elsewhere", deep=True)
    assert (report.problems, report.files, report.chunks) == ((), 4, 4)


@pytest.mark.parametrize("given", ["folder", "backend"])
def test_read_as_one(given: str, tree: Path, tmp_path: Path) -> None:
    """Merged, both are one image, whose external blobs come from another folder or backend."""
    made = build_external(tree, tmp_path / "image", attributes(tmp_path / "attributes"), chunk_size=CHUNK)
    merge([made.built.bootstrap, made.bootstrap], tmp_path / "image" / "bootstrap")
    elsewhere = tmp_path / "elsewhere" if given == "folder" else LocalFs(tmp_path / "elsewhere")
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache", external=elsewhere) as rafs:
        assert rafs.read("models/big.bin") == MODEL
        assert rafs.read("models/big.bin", 70_000, 100) == MODEL[70_000:70_100]
        assert rafs.read("models/a table") == TABLE
        assert rafs.read("models/readme") == b"read me"
        assert rafs.read("code.py") == b"import model"
    with pytest.raises(MissingBlobError):
        open_store(tmp_path / "image", cache_dir=tmp_path / "other")


def test_out_of_order(tree: Path, tmp_path: Path) -> None:
    """Chunks are numbered as files come, as the reference has it, and read by their place; so merged, too."""
    data, aside = bytes(-len(TABLE) % 4096), len(MODEL) + -len(MODEL) % 4096
    blob = TABLE + data + MODEL + bytes(-len(MODEL) % 4096) + b"aside " * 900
    blob_id = hashlib.sha256(blob).hexdigest()
    (tmp_path / "elsewhere" / blob_id).write_bytes(blob)
    (tree / "aside").touch()
    told = f"type=external blob_index=0 blob_id={blob_id} chunk_size=64KB compressed_size={len(blob)}"
    first = len(TABLE) + len(data)
    (tmp_path / "attributes").write_text(
        f"aside {told} chunk_0_compressed_offset={first + aside} file_size=5400\n"
        f"models/big.bin {told} chunk_0_compressed_offset={first} file_size={len(MODEL)} crcs={crcs(MODEL)}\n"
        f'"/models/a table" {told} chunk_0_compressed_offset=0\n'
    )
    made = build_external(tree, tmp_path / "image", tmp_path / "attributes", chunk_size=CHUNK)
    records = open_bootstrap(made.bootstrap.read_bytes()).block.chunk_table  # type: ignore[union-attr]
    raw = np.frombuffer(made.bootstrap.read_bytes(), CHUNK_RECORD, records[1] // CHUNK_RECORD.itemsize, records[0])
    numbers = dict(zip(raw["compressed_offset"].tolist(), raw["index"].tolist(), strict=True))
    assert numbers == {first + aside: 0, 0: 1, first: 2, first + CHUNK: 3, first + 2 * CHUNK: 4}
    assert check(made.bootstrap, tmp_path / "elsewhere", deep=True).problems == ()
    merge([made.built.bootstrap, made.bootstrap], tmp_path / "image" / "bootstrap")
    for image, cache in ((made.bootstrap, "alone"), (tmp_path / "image", "merged")):
        external = {} if cache == "alone" else {"external": tmp_path / "elsewhere"}
        blobs = tmp_path / "elsewhere" if cache == "alone" else None
        with open_store(image, blobs, cache_dir=tmp_path / cache, **external) as rafs:  # type: ignore[arg-type]
            assert rafs.read("models/big.bin") == MODEL
            assert rafs.read("models/a table") == TABLE
            assert rafs.read("aside") == b"aside " * 900


def test_changed(tree: Path, tmp_path: Path) -> None:
    """What is told with CRC32C is held to it; without, bytes are taken as they come."""
    made = build_external(tree, tmp_path / "image", attributes(tmp_path / "attributes"), chunk_size=CHUNK)
    changed = bytearray(BLOB)
    changed[5000] ^= 1
    changed[-3] ^= 1
    (tmp_path / "elsewhere" / BLOB_ID).write_bytes(changed)
    with open_store(made.bootstrap, tmp_path / "elsewhere", cache_dir=tmp_path / "cache", amplify_io=0) as rafs:
        with pytest.raises(IntegrityError, match="CRC32C"):
            rafs.read("models/big.bin", 0, 10)
        assert rafs.read("models/a table") != TABLE


@pytest.mark.parametrize(
    ("model", "table", "complaint"),
    [
        ("blob_id=../../x", "", "not a blob's id"),
        ("chunk_size=5000", "", "chunk size"),
        ("chunk_size=1M", "", "2 sizes"),
        ("chunk_size=many", "", "no size"),
        ("chunk_0_compressed_offset=100", "", "begin at"),
        ("compressed_size=-1", "", "no number"),
        ("", "chunk_0_compressed_offset=409600000", "not in its blob"),
        ("crcs=0x1", "", "CRC32C are told"),
        ("crcs=0x1,zz", "", "invalid literal"),
        ("", "compressed_size=999999999", "told to be two"),
        ("", "blob_index=7", "not numbered"),
        ("blob_index=99999", "", "begin at"),
        ("file_size=99999999999", "", "not in its blob"),
        ("", "chunk_0_compressed_offset=8192", "overlaps"),
    ],
)
def test_wrong_attributes(model: str, table: str, complaint: str, tree: Path, tmp_path: Path) -> None:
    """Attributes that contradict themselves, one another or the tree are refused, and nothing is left behind."""
    told = attributes(tmp_path / "attributes", model=model, table=table)
    with pytest.raises(ConfigError, match=complaint):
        build_external(tree, tmp_path / "image", told)
    assert not (tmp_path / "image").exists()


def test_of_no_file(tree: Path, tmp_path: Path) -> None:
    """A path that the tree does not have is named; so is a value that is not told."""
    (tree / "models" / "big.bin").unlink()
    with pytest.raises(ConfigError, match=r"not a file of the tree.*big\.bin"):
        build_external(tree, tmp_path / "image", attributes(tmp_path / "attributes"))
    (tmp_path / "attributes").write_text("a type=external blob_index=0")
    with pytest.raises(ConfigError, match="line 1: is not told: 'blob_id'"):
        parse_attributes(tmp_path / "attributes")
