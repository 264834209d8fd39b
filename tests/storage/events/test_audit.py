"""The audit: balanced books pass, and each way of cooking them is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import IntegrityError, TraceError
from storage.events import EVENTS, Cause, Kind, Outcome, Recorder, audit, read_events


def balanced() -> Recorder:
    """One read of 100 bytes: 40 hit, 10 waited for, 50 from a fetch of 30 and a gap of 5 bytes."""
    recorder = Recorder()
    recorder.log(kind=Kind.HIT, read_id=0, user_bytes=40)
    recorder.log(kind=Kind.WAIT, read_id=0, user_bytes=10)
    recorder.log(kind=Kind.REQUEST, read_id=0, fetch_id=0, length=35)
    recorder.log(kind=Kind.FETCH, cause=Cause.DEMAND, read_id=0, fetch_id=0, length=30, user_bytes=50)
    recorder.log(kind=Kind.FETCH, cause=Cause.GAP, read_id=0, fetch_id=0, length=5)
    recorder.log(kind=Kind.READ, read_id=0, user_bytes=100)
    return recorder


def test_balanced_books() -> None:
    """Both ledgers add up, and say where the bytes came from."""
    ledgers = audit(balanced().table())
    assert (ledgers.asked, ledgers.hit, ledgers.waited, ledgers.fetched) == (100, 40, 10, 50)
    assert ledgers.received == 35
    assert ledgers.by_cause == {"demand": 30, "gap": 5}


def test_failed_reads_are_left_out() -> None:
    """What a failed read had already got is not counted as asked, nor does it unbalance anything."""
    recorder = balanced()
    recorder.log(kind=Kind.HIT, read_id=1, user_bytes=7)
    recorder.log(kind=Kind.READ, read_id=1, outcome=Outcome.ERROR)
    assert audit(recorder.table()).asked == 100


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"kind": Kind.HIT, "read_id": 0, "user_bytes": 1}, "not the sum"),
        ({"kind": Kind.HIT, "read_id": 9, "user_bytes": 1}, "never ended"),
        ({"kind": Kind.READ, "read_id": 0}, "ended twice"),
        ({"kind": Kind.REQUEST, "fetch_id": 9, "length": 1}, "no causes"),
        ({"kind": Kind.FETCH, "cause": Cause.DEMAND, "fetch_id": 9, "length": 1}, "without a request"),
        ({"kind": Kind.FETCH, "fetch_id": 0, "length": 0}, "no cause"),
    ],
)
def test_cooked_books(row: dict[str, int], complaint: str) -> None:
    """Each row that should not be there is found, by name."""
    recorder = balanced()
    recorder.log(**row)
    with pytest.raises(IntegrityError, match=complaint):
        audit(recorder.table())


def test_nothing_happened() -> None:
    """An empty run balances."""
    assert audit(Recorder().table()).received == 0


def test_stream_is_readable_after_a_crash(tmp_path: Path) -> None:
    """Whatever was flushed is there, wherever the file breaks off behind it."""
    path = tmp_path / "events.arrows"
    recorder = Recorder(path, {"nydus.image": "cafe"})
    for row in range(10_000):
        recorder.log(kind=Kind.HIT, read_id=row, user_bytes=1)
    recorder.flush()
    size = path.stat().st_size
    recorder.log(kind=Kind.HIT, read_id=-2)
    recorder.flush()
    path.write_bytes(path.read_bytes()[: size + 100])
    table = read_events(path)
    assert table["read_id"].to_pylist() == list(range(10_000))
    assert table.schema.metadata[b"nydus.image"] == b"cafe"
    assert table.schema.equals(EVENTS)


def test_not_events(tmp_path: Path) -> None:
    """A file that is no stream of events is refused by path."""
    path = tmp_path / "x"
    path.write_bytes(b"not arrow at all")
    with pytest.raises(TraceError, match=str(path)):
        read_events(path)
    with pytest.raises(TraceError):
        read_events(tmp_path / "missing")
