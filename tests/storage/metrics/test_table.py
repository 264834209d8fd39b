"""Metrics of a file system, of its cache and of its backend, as tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from storage.cache import FileCache
from storage.factory import open_store
from storage.metrics import metrics_table


def test_a_row_each(image_dir: Path, tmp_path: Path) -> None:
    """Of two images: figure for figure what was answered, integers as integers and lists as lists."""
    with (
        open_store(image_dir, cache_dir=tmp_path / "one") as one,
        open_store(image_dir, cache_dir=tmp_path / "two") as two,
    ):
        one.read("/big.txt")
        assert isinstance(one.cache, FileCache)
        assert isinstance(two.cache, FileCache)
        for found in (
            [one.stats.metrics(), two.stats.metrics()],
            [one.cache.metrics(), two.cache.metrics()],
            [one.backends[0].metrics(), two.backends[0].metrics()],
        ):
            table = metrics_table(found)
            assert table.to_pylist() == found
            assert table.column_names == list(found[0])
        caches = metrics_table([one.cache.metrics()])
        assert caches.schema.field("entries_count").type == pa.int64()
        assert caches.schema.field("underlying_files").type == pa.list_(pa.string())


def test_what_is_not_counted() -> None:
    """A key that only some have is null for the others; of nobody there is an empty table."""
    assert metrics_table([{"a": 1}, {"a": 2, "b": "x"}]).to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert metrics_table([]).num_rows == 0
