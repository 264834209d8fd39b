"""The recorder loses nothing, whoever logs."""

from __future__ import annotations

import threading

from storage.events import Kind, Recorder


def test_every_row_of_every_thread() -> None:
    """Rows of many threads, more than their rings hold, are all there, once, in order of `seq`."""
    recorder = Recorder()

    def work(number: int) -> None:
        for row in range(5000):
            recorder.log(kind=Kind.HIT, read_id=number, chunk=row)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        recorder.table()
    for thread in threads:
        thread.join()
    frame = recorder.table().to_pandas()
    assert len(frame) == 40_000
    assert frame["seq"].is_monotonic_increasing
    assert frame["seq"].is_unique
    for _, rows in frame.groupby("read_id"):
        assert rows["chunk"].tolist() == list(range(5000))


def test_rings_are_reused() -> None:
    """A thousand short threads take no more rings than live at once, and lose no row."""
    recorder = Recorder()
    for number in range(1000):
        thread = threading.Thread(target=recorder.log, kwargs={"kind": Kind.EVICT, "chunk": number})
        thread.start()
        thread.join()
    table = recorder.table()
    assert table["chunk"].to_pylist() == list(range(1000))
    assert set(table["worker"].to_pylist()) == {0}


def test_a_hit_is_two_rows() -> None:
    """A hit logged the short way is the hit and its read, as `log` would have written them, and in their order."""
    short, long = Recorder(), Recorder()
    for chunk in range(3000):
        short.log_hit(chunk, read_id=chunk, blob=1, chunk=chunk, size=100 + chunk)
        short.log(kind=Kind.EVICT, chunk=chunk)
        long.log(kind=Kind.HIT, t_ns=chunk, read_id=chunk, blob=1, chunk=chunk, chunks=1, user_bytes=100 + chunk)
        long.log(kind=Kind.READ, t_ns=chunk, read_id=chunk, length=100 + chunk, user_bytes=100 + chunk)
        long.log(kind=Kind.EVICT, chunk=chunk)
    clocks = ["seq", "t_ns", "dur_ns"]
    assert short.table().drop_columns(clocks).equals(long.table().drop_columns(clocks))
    assert short.table()["seq"].to_pandas().is_monotonic_increasing
