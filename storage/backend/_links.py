"""Links by name."""

from __future__ import annotations

from storage.backend._shaped import Link

__all__ = ["LINKS"]

_MS = 1_000_000

LINKS = {
    "lan": Link(rtt_ns=_MS // 2, bandwidth=125_000_000, connections=32, jitter_ns=_MS // 10),
    "registry-20ms": Link(),
    "5ms-200Mbit": Link(rtt_ns=5 * _MS),
    "s3": Link(rtt_ns=15 * _MS, bandwidth=1_250_000_000, connections=64, jitter_ns=20 * _MS),
    "wan": Link(rtt_ns=80 * _MS, bandwidth=12_500_000, jitter_ns=10 * _MS),
    "4g": Link(rtt_ns=50 * _MS, bandwidth=3_750_000, jitter_ns=40 * _MS),
}
"""Links by name."""
