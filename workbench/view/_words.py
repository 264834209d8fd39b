"""Numbers as people read them: bytes, times and ratios with three significant digits and a unit."""

from __future__ import annotations

__all__ = ["count", "duration", "percent", "share", "size", "times"]

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))
_TIMES = ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns"))


def size(n: float) -> str:
    """Bytes in decimal units: ``12.3 MB``."""
    return _scaled(n, _SIZES)


def duration(ns: float) -> str:
    """Nanoseconds in the unit that fits: ``20.4 ms``."""
    return _scaled(ns, _TIMES) if ns else "0 s"


def count(n: float) -> str:
    """A whole number with thousands set apart: ``12,345``."""
    return f"{n:,.0f}"


def percent(part: float, whole: float = 1.0) -> str:
    """A share in percent; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def times(ratio: float) -> str:
    """A factor, with a multiplication sign: 1.84 times."""
    return f"{_digits(ratio)}\N{MULTIPLICATION SIGN}"


def share(n: int) -> str:
    """A setting that is a power of two in bytes, in binary units: ``128 KiB``; 0 is ``0``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n and n % unit == 0:
            return f"{n // unit} {name}"
    return size(n) if n else "0"


def _scaled(value: float, scale: tuple[tuple[int, str], ...]) -> str:
    # 999.6 of a unit would print as 1000: it is 1.00 of the next one.
    unit, name = next((step for step in scale if abs(value) >= 0.9995 * step[0]), scale[-1])
    return f"{_digits(value / unit) if unit > 1 else f'{value:.0f}'} {name}"


def _digits(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 99.95 else f"{x:.1f}" if abs(x) >= 9.995 else f"{x:.2f}"
