"""The command line: what it says, and how it says what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.cache import ChunkIndex, Held
from storage.factory import open_store
from workbench.cli._settings import watermarks_of
from workbench.cli._types import Share

ROOT = Path(__file__).parents[3]
Workbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def workbench() -> Workbench:
    """Runs ``workbench`` in a process of its own."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from workbench.cli import main; main()", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_build_and_ls(workbench: Workbench, tree: Path, tmp_path: Path) -> None:
    """What was built is listed, with the digests of the files it was built of."""
    built = workbench("build", tree, "-o", tmp_path, "--compressor", "lz4_block", "--json")
    assert json.loads(built.stdout)["chunks"] > 0
    listed = [json.loads(line) for line in workbench("ls", "-R", "--json", "--sha256", tmp_path).stdout.splitlines()]
    by_path = {found["path"]: found for found in listed}
    names = {"/" + str(path.relative_to(tree)) for path in tree.rglob("*")}
    assert set(by_path) == names | {"/"}
    for name, found in by_path.items():
        source = tree / name[1:]
        if found["type"] == "reg":
            assert found["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
            assert found["mtime_ns"] == source.stat().st_mtime_ns
    assert by_path["/link"]["target"] == "lib/module_01.py"
    assert by_path["/hard"]["nlink"] == 2


def test_ls_one_folder(workbench: Workbench, image_dir: Path) -> None:
    """Without -R only the folder itself."""
    lines = workbench("ls", image_dir, "/lib/deep").stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("/lib/deep/noise.bin")


def test_stat(workbench: Workbench, image_dir: Path) -> None:
    """An image's facts, and a file's."""
    facts = json.loads(workbench("stat", "--json", image_dir).stdout)
    assert (facts["files"], facts["directories"], facts["links"]) == (44, 3, 1)
    found = json.loads(workbench("stat", "--json", image_dir, "/lib/deep/noise.bin").stdout)
    assert (found["size"], found["chunks"]) == (300_000, 5)


def test_cat_and_cp(workbench: Workbench, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """Content comes out as it went in, one file or a folder."""
    assert workbench("cat", image_dir, "/lib/module_20.py").stdout == (tree / "lib/module_20.py").read_text()
    assert workbench("cp", image_dir, "/lib", tmp_path).returncode == 0
    for path in (tree / "lib").rglob("*.bin"):
        assert (tmp_path / "lib" / path.relative_to(tree / "lib")).read_bytes() == path.read_bytes()


def test_explain(workbench: Workbench, image_dir: Path) -> None:
    """A read is explained without a blob: what is asked for, and what is fetched along."""
    words = ("explain", image_dir, "/lib/deep/noise.bin", "--offset", 70_000, "--length", 10, "--json")
    (step,) = [json.loads(line) for line in workbench(*words, "--amplify", "0").stdout.splitlines()]
    assert (step["action"], step["causes"], step["user_bytes"]) == ("fetch", ["demand"], 10)
    (wide,) = [json.loads(line) for line in workbench(*words, "--amplify", "128KiB").stdout.splitlines()]
    assert wide["causes"][0] == "demand"
    assert set(wide["causes"][1:]) == {"amplify"}
    assert wide["length"] <= 128 << 10


def test_cache_ls(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """What is in a cache is said by blob and by file; another image's folder is refused."""
    with open_store(image_dir, cache_dir=tmp_path, amplify_io=0) as rafs:
        rafs.read("/lib/module_20.py")
    words = ("cache", "ls", tmp_path, "--image", image_dir, "--json")
    (blob,) = [json.loads(line) for line in workbench(*words).stdout.splitlines()]
    assert blob["chunks"] == 1
    files = workbench(*words, "--files").stdout.splitlines()
    assert {json.loads(line)["path"] for line in files} == {"/lib/module_20.py", "/copy.txt"}


def test_cache_gc(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """`cache gc` removes what no image needs: said first with --dry-run, and done without."""
    with open_store(image_dir, cache_dir=tmp_path) as store:
        store.read("/copy.txt")
    unused = [tmp_path / f"{'0' * 64}.blob{suffix}" for suffix in (".data", ".data.chunk_map", ".meta")]
    for path in unused:
        path.write_bytes(bytes(5000))
    words = ("cache", "gc", tmp_path, "--image", image_dir)
    planned = [json.loads(line) for line in workbench(*words, "--dry-run", "--json").stdout.splitlines()]
    assert sorted(row["file"] for row in planned) == sorted(path.name for path in unused)
    assert all(path.exists() for path in unused)
    assert "bytes were freed" in workbench(*words).stdout
    assert not any(path.exists() for path in unused)
    assert len(list(tmp_path.glob("*.chunk_map"))) == 1


def test_cache_gc_index(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """With --index, files that are there no longer are forgotten: those of this folder, and of others."""
    with open_store(image_dir, cache_dir=tmp_path / "cache", dedup=tmp_path / "chunks.db") as store:
        store.read("/copy.txt")
    unused = tmp_path / "cache" / f"{'0' * 64}.blob.data"
    unused.write_bytes(bytes(5000))
    index, name = ChunkIndex(tmp_path / "chunks.db"), "Blake3:" + "0" * 64
    for path in (str(unused), "/gone/before"):
        index.add([(name, Held(path, 0))])
    words = ("cache", "gc", tmp_path / "cache", "--image", image_dir, "--index", tmp_path / "chunks.db", "--json")
    planned = [json.loads(line) for line in workbench(*words, "--dry-run").stdout.splitlines()]
    assert [row["forgotten"] for row in planned if "forgotten" in row] == [str(unused), "/gone/before"]
    assert [held.path for held in index.find([name])[name]] == [str(unused), "/gone/before"]
    assert [json.loads(line) for line in workbench(*words).stdout.splitlines()] == planned
    assert index.find([name]) == {}
    assert workbench(*words).stdout == ""
    index.close()


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (None, None, None),
        (Share(0.5), None, (500, 1000)),
        (None, Share(0.8), (800, 800)),
        (100, 900, (100, 900)),
        (0, Share(1.0), (0, 1000)),
    ],
)
def test_watermarks(low: Any, high: Any, marks: tuple[int, int] | None) -> None:
    """Watermarks are bytes or shares of the capacity; the high one is that by default, the low one as the high one."""
    assert watermarks_of(low, high, 1000) == marks
    assert watermarks_of(low, high, None) is None


VERBS = ("build", "ls", "stat", "cat", "cp", "explain", "record", "replay", "demo", "cache ls", "cache gc")


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(workbench: Workbench, verb: str) -> None:
    """Every verb's help shows how it is used."""
    done = workbench(*verb.split(), "--help")
    assert done.returncode == 0
    assert f"workbench {verb}" in done.stdout.partition("Examples:")[2]


def complains(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line on standard error, and a status that says so."""
    assert done.returncode != 0
    assert done.stderr.startswith("workbench: error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_not_an_image(workbench: Workbench, tmp_path: Path) -> None:
    """Nothing there, an empty folder, and a file that is no image, each by path."""
    complains(workbench("stat", tmp_path / "missing"), "missing")
    complains(workbench("stat", tmp_path), str(tmp_path))
    (tmp_path / "text").write_text("just text " * 1000)
    complains(workbench("stat", tmp_path / "text"), "text", "not a RAFS image")


@pytest.mark.parametrize("length", [0, 1000, 1030, 1500, 5000, 9000, -1])
def test_truncated_bootstrap(workbench: Workbench, image_dir: Path, tmp_path: Path, length: int) -> None:
    """A bootstrap cut short is refused by path."""
    whole = (image_dir / "bootstrap").read_bytes()
    (tmp_path / "bootstrap").write_bytes(whole[:length])
    complains(workbench("ls", "-R", tmp_path / "bootstrap"), str(tmp_path))


def test_flipped_bootstrap(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """A wild root, by path."""
    whole = bytearray((image_dir / "bootstrap").read_bytes())
    whole[1024 + 14 : 1024 + 16] = b"\xff\xff"
    (tmp_path / "bootstrap").write_bytes(whole)
    complains(workbench("ls", tmp_path / "bootstrap"), str(tmp_path))


def test_missing_blob(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """Metadata can be read without the blob; data cannot, and the blob is named."""
    shutil.copy(image_dir / "bootstrap", tmp_path)
    assert workbench("ls", tmp_path / "bootstrap").returncode == 0
    blob = next((image_dir / "blobs").iterdir()).name
    complains(workbench("cat", tmp_path / "bootstrap", "/big.txt"), "blob is missing", blob)


def test_wrong_bytes(workbench: Workbench, image_dir: Path, tmp_path: Path) -> None:
    """A chunk that is not what its digest says is named, and none of it is written out."""
    shutil.copytree(image_dir, tmp_path / "image")
    blob = next((tmp_path / "image" / "blobs").iterdir())
    data = bytearray(blob.read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    blob.write_bytes(data)
    done = workbench("cat", tmp_path / "image", "/lib/module_20.py")
    complains(done, "chunk", blob.name)
    assert done.stdout == ""


def test_missing_file(workbench: Workbench, image_dir: Path) -> None:
    """A path that is not there, and one that is of another kind."""
    complains(workbench("cat", image_dir, "/nothing"), "/nothing")
    complains(workbench("cat", image_dir, "/lib"), "not a regular file", "/lib")


def test_foreign_cache(workbench: Workbench, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """A cache folder of another image is refused by path."""
    (tmp_path / f"{'ab' * 32}.blob.data").write_bytes(b"")
    complains(workbench("cache", "ls", tmp_path, "--image", image_dir), "another image", str(tmp_path))


def test_foreign_trace(workbench: Workbench, image_dir: Path) -> None:
    """A trace of another image is refused by path, and so is a file that is no trace."""
    trace = ROOT / "datasets" / "first-light" / "reads.parquet"
    complains(workbench("replay", trace, "--image", image_dir), "recorded on image", str(trace))
    complains(workbench("replay", image_dir / "bootstrap", "--image", image_dir), "bootstrap")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["replay", "t", "--image", "i", "--eviction", "lru"], "--cache-size"),
        (["replay", "t", "--image", "i", "--cache-size", "1MiB"], "--eviction"),
        (["replay", "t", "--image", "i", "--low", "50%"], "--cache-size"),
        (["replay", "t", "--image", "i", "--link", "rtt=soon"], "20ms"),
        (["replay", "t", "--image", "i", "--amplify", "lots"], "256KiB"),
        (["build", ".", "-o", "x", "--chunk-size", "5000"], "powers of two"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_words(workbench: Workbench, words: list[str], complaint: str) -> None:
    """A wrong option is answered with what would be right."""
    complains(workbench(*words), complaint)


def test_nothing_left_behind(workbench: Workbench, tree: Path, tmp_path: Path) -> None:
    """A build that fails leaves no partial file."""
    complains(workbench("build", tree / "missing", "-o", tmp_path / "out"), "missing")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").rglob("*.*"))


def test_build_options(workbench: Workbench, tree: Path, tmp_path: Path) -> None:
    """Batches, encryption, an inlined bootstrap with its table, and a chunk dict: each reads as the tree."""
    ways = (
        ("--batch-size", "64KiB", "--encrypt"),
        ("--inline", "--toc", "--prefetch", "/lib", "--prefetch-policy", "fs"),
        ("--chunk-dict", tmp_path / "0" / "bootstrap", "--chunk-size", "1MiB"),
    )
    for number, options in enumerate(ways):
        built = json.loads(workbench("build", tree, "-o", tmp_path / str(number), *options, "--json").stdout)
        assert built["duplicates"] >= (built["chunks"] if "--chunk-dict" in options else 0)
        cache = tmp_path / f"cache-{number}"
        with open_store(built["bootstrap"], tmp_path / "0" / "blobs" if number == 2 else None, cache_dir=cache) as rafs:
            for path in tree.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    assert rafs.read(f"/{path.relative_to(tree)}") == path.read_bytes()


def test_config(workbench: Workbench, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """`cat` reads through the backend and the cache of a configuration, and says which keys it does not know."""
    text = f'version = 2\nbackend.type = "localfs"\nbackend.localfs.dir = "{image_dir / "blobs"}"\nbackend.colour = 1\n'
    (tmp_path / "config.toml").write_text(text)
    done = workbench("cat", image_dir / "bootstrap", "/copy.txt", "--config", tmp_path / "config.toml")
    assert done.stdout == (tree / "copy.txt").read_text()
    assert done.stderr == "workbench: warning: the configuration's key backend.colour is not known, and ignored\n"
    both = workbench("cat", image_dir, "/copy.txt", "--config", tmp_path / "config.toml", "--blobs", tmp_path)
    assert (both.returncode, both.stdout) == (2, "")
