"""Every kind of cache serves every kind of blob, after a restart from the folder alone, and mends what is spoilt."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.cache import CacheKind, FileCache
from storage.codec import PageCipher
from storage.errors import BackendError, CacheError, ConfigError, UnsupportedError
from storage.events import Recorder, audit
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing import machine
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, expected, read_chunks, read_segments, ready_rows
from storage.testing.lru import plain_lru

KEY = bytes(range(32))
KINDS = {
    "plain": CacheKind(),
    "validated": CacheKind(validate=True),
    "digested": CacheKind(chunk_map="digested"),
    "range": CacheKind(chunk_map="range"),
    "raw": CacheKind(compressed=True),
    "encrypted": CacheKind(cipher=PageCipher(KEY)),
    "convergent": CacheKind(cipher=PageCipher(KEY, convergent=True)),
}
CHECKED = ["validated", "raw", "encrypted", "convergent"]
BLOBS = {"alone": {}, "batched": {"together": 4}, "encrypted": {"encrypted": True}}


@pytest.fixture(scope="module", params=BLOBS)
def blobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two blobs of 20 chunks up to 20,000 bytes, text and noise."""
    dice = random.Random(3)
    sizes = [dice.choices(range(1, 20_000), k=20) for _ in range(2)]
    contents = [[dice.randbytes(n) if n % 2 else bytes([n % 251]) * n for n in blob] for blob in sizes]
    return make_blobs(tmp_path_factory.mktemp("blobs"), contents, **BLOBS[request.param])


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("name", KINDS)
def test_reads(name: str, plan: str, blobs: Made, tmp_path: Path) -> None:
    """Cold, warm and after a restart without a backend: parts and wholes are right; the ledgers balance."""
    recorder = Recorder()
    cache = open_cache(blobs, tmp_path, plan=plan, kind=KINDS[name], amplify_io=30_000, recorder=recorder)
    dice = random.Random(4)
    for _ in range(2):
        for row in dice.sample(range(40), 40):
            size = len(blobs.contents[row])
            start = dice.randrange(size)
            segments = [(row, start, dice.randint(0, size - start))]
            assert read_segments(cache, segments) == expected(blobs, segments)
    assert_at_rest(cache)
    audit(recorder.table())
    cache.close()
    again = open_cache(blobs, tmp_path, backend=WatchedBackend(LocalFs(blobs.folder), refuse), kind=KINDS[name])
    for row in range(40):
        read_chunks(again, blobs, [row])
    read_chunks(again, blobs, range(20))
    again.close()


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("name", CHECKED)
def test_spoilt_in_the_cache(name: str, plan: str, blobs: Made, tmp_path: Path) -> None:
    """A byte that was changed in the cache file is noticed: that chunk is fetched again, and is right there after."""
    cache = open_cache(blobs, tmp_path, plan=plan, kind=KINDS[name])
    read_chunks(cache, blobs, range(20))
    cache.close()
    row = max(range(20), key=lambda row: len(blobs.contents[row]))
    raw = KINDS[name].compressed
    path = tmp_path / f"{blobs.infos[0].blob_id}.blob.{'raw' if raw else 'data'}"
    content = bytearray(path.read_bytes())
    content[int((blobs.chunks.compressed_offset if raw else blobs.chunks.uncompressed_offset)[row]) + 1] ^= 0x55
    path.write_bytes(content)
    backend, recorder = WatchedBackend(LocalFs(blobs.folder)), Recorder()
    cache = open_cache(blobs, tmp_path, backend=backend, plan=plan, kind=KINDS[name], recorder=recorder, journal=True)
    read_chunks(cache, blobs, range(20))
    asked = [(at, size) for _, at, size in backend.requests]
    start, size = int(blobs.chunks.compressed_offset[row]), int(blobs.chunks.compressed_size[row])
    assert any(at <= start and start + size <= at + length for at, length in asked)
    count = len(asked)
    read_chunks(cache, blobs, range(20))
    assert len(backend.requests) == count
    assert_at_rest(cache)
    audit(recorder.table())
    journal = cache.decider.journal
    assert journal is not None
    fresh = Decider(plan_layout(blobs.chunks), plan_options(plan, 0), None, keep_all)
    assert rerun(journal, fresh) == len(journal)
    cache.close()


@pytest.mark.parametrize("name", CHECKED)
def test_spoilt_and_gone(name: str, blobs: Made, tmp_path: Path) -> None:
    """What was spoilt in the cache and cannot be had again is an error, and never a wrong byte."""
    cache = open_cache(blobs, tmp_path, kind=KINDS[name])
    read_chunks(cache, blobs, range(20))
    cache.close()
    for path in tmp_path.glob("*.blob.[dr]a*"):
        if path.suffix != ".chunk_map":
            path.write_bytes(bytes(path.stat().st_size))
    again = open_cache(blobs, tmp_path, backend=WatchedBackend(LocalFs(blobs.folder), refuse), kind=KINDS[name])
    for row in range(20):
        if any(blobs.contents[row]):
            with pytest.raises(BackendError):
                read_chunks(again, blobs, [row])
    assert_at_rest(again)
    again.close()


def test_another_key(blobs: Made, tmp_path: Path) -> None:
    """A folder opened with another key is fetched anew, not read as noise."""
    for key in (KEY, KEY[::-1], KEY):
        backend = WatchedBackend(LocalFs(blobs.folder))
        cache = open_cache(blobs, tmp_path, backend=backend, kind=CacheKind(cipher=PageCipher(key)))
        read_chunks(cache, blobs, range(20))
        assert backend.requests
        cache.close()


@pytest.mark.parametrize("name", ["plain", "validated", "encrypted", "raw"])
def test_bounded(name: str, tmp_path: Path) -> None:
    """A quarter of the chunks' room: never more is stored, everything read is right."""
    dice = random.Random(6)
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [[dice.randbytes(dice.randrange(1, 20_000)) for _ in range(30)]])
    capacity = sum(map(len, made.contents)) // 4
    cache = open_cache(made, tmp_path / "cache", kind=KINDS[name], capacity=capacity, policy=plain_lru())
    for _ in range(120):
        first = dice.randrange(30)
        read_chunks(cache, made, range(first, min(first + dice.randint(1, 5), 30)))
        assert cache.stored <= capacity
    assert 0 < len(ready_rows(cache)) < 30
    assert_at_rest(cache)
    cache.close()


def test_not_to_be_bounded(blobs: Made, tmp_path: Path) -> None:
    """Raw units of which plan `reference` may keep a part are refused with a capacity."""
    if (blobs.chunks.unit != range(len(blobs.chunks))).any():
        settings: dict[str, Any] = {"kind": CacheKind(compressed=True), "capacity": 1000, "policy": plain_lru()}
        with pytest.raises(ConfigError, match="cannot be evicted") as refused:
            open_cache(blobs, tmp_path / "cache", plan="reference", **settings)
        assert refused.value.where["field"] == "capacity"


@pytest.mark.parametrize("together", ["batched", "zran"])
def test_units_come_and_go_together(together: str, tmp_path: Path) -> None:
    """Of a bounded raw cache all of a unit's chunks are there, or none, nor its bytes."""
    (tmp_path / "blobs").mkdir()
    dice = random.Random(5)
    longest = 400_000 if together == "zran" else 20_000
    contents = [[dice.randbytes(dice.randrange(longest)) for _ in range(20)] for _ in range(2)]
    made = machine.BLOBS[together](tmp_path / "blobs", contents)
    sizes, units = [len(content) for content in made.contents], made.chunks.unit.tolist()
    capacity, recorder, backend = sum(sizes) // 3, Recorder(), WatchedBackend(LocalFs(made.folder))
    settings: dict[str, Any] = {"kind": KINDS["raw"], "capacity": capacity, "policy": plain_lru(), "amplify_io": 0}
    cache = open_cache(made, tmp_path / "cache", backend=backend, recorder=recorder, journal=True, **settings)
    seen = set()
    for _ in range(120):
        row = dice.randrange(len(sizes))
        asked, there = len(backend.requests), row in ready_rows(cache)
        read_chunks(cache, made, [row])
        assert (len(backend.requests) == asked) == there
        ready = set(ready_rows(cache))
        kept = {units[row] for row in ready}
        assert ready == {row for row, unit in enumerate(units) if unit in kept}
        assert cache.stored == sum(sizes[row] for row in ready) <= capacity
        seen |= kept
        _only_these(cache, made, kept)
    assert seen == set(units) != set(range(len(units)))
    audit(recorder.table())
    journal, options = cache.decider.journal, plan_options("exact", 0)
    assert journal is not None
    fresh = Decider(plan_layout(made.chunks), options, capacity, plain_lru(), whole=True)
    assert rerun(journal, fresh) == len(journal)
    assert_at_rest(cache)
    before = ready_rows(cache)
    cache.close()
    cache = open_cache(made, tmp_path / "cache", **settings)
    assert ready_rows(cache) == before
    cache.close()


@pytest.mark.parametrize("together", ["batched", "zran"])
def test_units_under_threads(together: str, tmp_path: Path) -> None:
    """Six threads and prefetch on a bounded raw cache: every byte right, none of a unit lost, the capacity held."""
    (tmp_path / "blobs").mkdir()
    dice = random.Random(6)
    longest = 400_000 if together == "zran" else 20_000
    made = machine.BLOBS[together](tmp_path / "blobs", [[dice.randbytes(dice.randrange(longest)) for _ in range(40)]])
    sizes, units = [len(content) for content in made.contents], made.chunks.unit.tolist()
    settings: dict[str, Any] = {"capacity": sum(sizes) // 3, "policy": plain_lru(), "amplify_io": 64 << 10}
    cache = open_cache(made, tmp_path / "cache", kind=KINDS["raw"], journal=True, **settings)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(40):
                first = dice.randrange(len(sizes))
                read_chunks(cache, made, range(first, min(first + dice.randint(1, 4), len(sizes))))
                assert cache.stored <= settings["capacity"]
                if dice.random() < 0.1:
                    cache.prefetch(dice.sample(range(len(sizes)), 5))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    cache.drain()
    assert failures == []
    ready = ready_rows(cache)
    assert ready == [row for row, unit in enumerate(units) if unit in {units[row] for row in ready}]
    _only_these(cache, made, {units[row] for row in ready})
    assert not any(decided for name, _, decided in cache.decider.journal or () if name == "lost")
    assert_at_rest(cache)
    cache.close()


def _only_these(cache: FileCache, made: Made, kept: set[int]) -> None:
    """Only these units have bytes in the cache files."""
    spans = [(int(made.chunks.compressed_offset[unit]), int(made.chunks.compressed_size[unit])) for unit in kept]
    blobs = [int(made.chunks.blob[unit]) for unit in kept]
    for number, file in enumerate(cache.files):
        data = bytearray(file.path.read_bytes())
        for (start, size), blob in zip(spans, blobs, strict=True):
            if blob == number:
                data[start : start + size] = bytes(size)
        assert not np.frombuffer(data, np.uint8).any()


@pytest.mark.parametrize("blobs", ["alone"], indirect=True)
def test_bounded_though_it_forgets(blobs: Made, tmp_path: Path) -> None:
    """A bounded cache whose map forgets knows at its opening what is there, and gives back what is of no use."""
    kind, size = CacheKind(chunk_map="digested"), sum(map(len, blobs.contents))
    cache = open_cache(blobs, tmp_path / "cache", kind=kind)
    read_chunks(cache, blobs, range(len(blobs.contents)))
    path, spoilt = cache.files[0].path, max(range(20), key=lambda row: len(blobs.contents[row]))
    cache.close()
    with path.open("r+b") as file:
        file.seek(int(blobs.chunks.uncompressed_offset[spoilt]))
        file.write(bytes([blobs.contents[spoilt][0] ^ 1]))
    cache = open_cache(blobs, tmp_path / "cache", kind=kind, capacity=size, policy=plain_lru())
    assert set(ready_rows(cache)) == set(range(len(blobs.contents))) - {spoilt}
    assert path.read_bytes()[int(blobs.chunks.uncompressed_offset[spoilt])] == 0
    cache.close()
    backend = WatchedBackend(LocalFs(blobs.folder), refuse)
    cache = open_cache(blobs, tmp_path / "cache", kind=kind, capacity=size // 2, policy=plain_lru(), backend=backend)
    kept = ready_rows(cache)
    assert size // 4 < cache.stored <= size // 2
    read_chunks(cache, blobs, kept)
    assert_at_rest(cache)
    cache.close()


def test_pages_are_shared(tmp_path: Path) -> None:
    """Chunks that do not begin at a page are not encrypted: one would be written over the next."""
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [[b"a" * 5000, b"b" * 5000]])
    made.chunks.uncompressed_offset[1] = 5000
    with pytest.raises(UnsupportedError) as refused:
        open_cache(made, tmp_path / "cache", kind=KINDS["encrypted"])
    assert refused.value.where["field"] == "cache.filecache.enable_encryption"


@pytest.mark.parametrize("key", [b"", bytes(32), bytes(range(16)), bytes(range(64))])
def test_no_key(key: bytes) -> None:
    """A key of another length, or of two equal halves, is refused."""
    with pytest.raises(ConfigError, match="is not a key"):
        PageCipher(key)


@pytest.mark.parametrize("name", ["plain", "range", "raw", "encrypted"])
def test_two_caches_of_one_folder(name: str, blobs: Made, tmp_path: Path) -> None:
    """What one of two caches has fetched since the other was opened, the other serves without a request."""
    first, backend = WatchedBackend(LocalFs(blobs.folder)), WatchedBackend(LocalFs(blobs.folder), refuse)
    caches = [open_cache(blobs, tmp_path, backend=each, kind=KINDS[name]) for each in (first, backend)]
    for row in (7, 0, 30):
        read_chunks(caches[0], blobs, [row])
        read_chunks(caches[1], blobs, [row])
    with pytest.raises(BackendError):
        read_chunks(caches[1], blobs, [15])
    for cache in caches:
        assert_at_rest(cache)
        cache.close()


@pytest.mark.parametrize(("first", "then"), [("plain", "raw"), ("raw", "plain"), ("plain", "encrypted")])
@pytest.mark.parametrize("turned", [False, True])
def test_another_form(first: str, then: str, turned: bool, blobs: Made, tmp_path: Path) -> None:
    """A folder in which chunks are kept in another form is refused, whichever came first: maps look the same."""
    if turned:
        first, then = then, first
    cache = open_cache(blobs, tmp_path, kind=KINDS[first])
    read_chunks(cache, blobs, [3])
    with pytest.raises(CacheError, match="chunks: name another folder"):
        open_cache(blobs, tmp_path, kind=KINDS[then])
    read_chunks(cache, blobs, range(20))
    cache.close()
    again = open_cache(blobs, tmp_path, backend=WatchedBackend(LocalFs(blobs.folder), refuse), kind=KINDS[first])
    read_chunks(again, blobs, range(20))
    again.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_same_chunk_twice(kind: str, tmp_path: Path) -> None:
    """A blob may hold a chunk in two places: having it in one of them is not having it in the other."""
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [[b"same" * 500, b"other" * 300, b"same" * 500]])
    cache = open_cache(made, tmp_path / "cache", kind=KINDS[kind])
    for row in (0, 2, 0, 2):
        read_chunks(cache, made, [row])
    assert ready_rows(cache) == [0, 2]
    cache.close()
