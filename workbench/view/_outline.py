"""What a summary says, in words; the terminal and HTML only dress it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from workbench.view._words import count, duration, percent, size, times

if TYPE_CHECKING:
    from workbench.view._summary import Summary

__all__ = ["ASKED", "PART_WORDS", "Bar", "Section", "bars_of", "facts", "headline", "sections"]

PART_WORDS: Final = {
    "rtt": "round trips",
    "bandwidth": "transfer",
    "waiting": "waiting in flight",
    "decode": "decode and serve",
    "think": "the program itself",
}
ASKED: Final = {
    "hit": ("ready in cache", "hit"),
    "wait": ("already in flight", "waiting"),
    "fetch": ("fetched for it", "demand"),
}


class Bar(NamedTuple):
    """One bar: how long compared with the longest, what it says, the name of its colour."""

    word: str
    value: int
    text: str
    colour: str


class Section(NamedTuple):
    """Bars that sum to a whole."""

    title: str
    bars: tuple[Bar, ...]


def headline(summary: Summary) -> list[tuple[str, str]]:
    """The three figures that matter, each with what it is."""
    return [
        (duration(summary.time_to_last_read_ns), "to the last read"),
        (percent(summary.hit_ratio), "hit ratio"),
        (size(summary.bytes_received), "received"),
    ]


def sections(summary: Summary) -> list[Section]:
    """Where the time went, and both ledgers."""
    asked = tuple(Bar(ASKED[how][0], n, size(n), ASKED[how][1]) for how, n in summary.asked.items())
    received = bars_of({cause: n for cause, n in summary.received.items() if n})
    time = tuple(Bar(PART_WORDS[part], ns, duration(ns), part) for part, ns in summary.split.items())
    return [
        Section("Where the time went", time),
        Section(f"Bytes asked, {size(summary.bytes_asked)}", asked),
        Section(f"Bytes received, {size(summary.bytes_received)}, by cause", received),
    ]


def bars_of(received: Mapping[str, int]) -> tuple[Bar, ...]:
    """Bytes by cause as bars."""
    return tuple(Bar(cause, n, size(n), cause) for cause, n in received.items())


def facts(summary: Summary) -> list[tuple[str, str]]:
    """The rest: a figure, and what there is to say about it."""
    latency = f"half within {duration(summary.p50_ns)}, 99 % within {duration(summary.p99_ns)}"
    chunks = f"for {count(summary.chunks_fetched)} chunks, {size(summary.bytes_decoded)} uncompressed"
    found = [
        (f"{count(summary.reads)} reads", latency),
        (f"{count(summary.requests)} requests", chunks),
        (f"{times(summary.read_amplification)} amplified", "bytes fetched, uncompressed, for each byte asked"),
    ]
    if summary.evictions:
        found.append((f"{count(summary.evictions)} evictions", f"{size(summary.bytes_evicted)} given up"))
    return found
