"""Which format a trace has, and the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from storage.errors import ConfigError, TraceError
from workbench.simulate import ObjectTrace
from workbench.trace.formats import _csv, _oracle, _parquet, _txt, _vscsi

__all__ = ["FORMATS", "detect", "object_trace"]

FORMATS: dict[str, Callable[[Path], Iterator[tuple[Any, Any]]]] = {
    "parquet": _parquet.read,
    "oracleGeneral": _oracle.read,
    "csv": _csv.read,
    "twitter": _csv.read_twitter,
    "txt": _txt.read,
    "vscsi": _vscsi.read,
}


def detect(path: Path) -> str:
    """The format that a file's name speaks of.

    Raises
    ------
    ConfigError
        If it speaks of none.
    """
    name = path.name.lower().removesuffix(".zst")
    for known in FORMATS:
        if name.endswith((f".{known.lower()}", f".{known.lower()}.bin")):
            return known
    raise ConfigError(f"{path.name} does not say which format it has; there are {', '.join(FORMATS)}", field="format")


def object_trace(path: str | Path, kind: str | None = None, held: bool = True) -> ObjectTrace:
    """Read a trace of requests for objects.

    Parameters
    ----------
    path
        A file; unpacked on the way if its name ends in .zst (oracleGeneral, csv, twitter, txt, vscsi).
    kind
        One of `FORMATS`; by default what the name says.
    held
        Whether to keep the requests in memory, 4 bytes each; otherwise the file is read again for each pass.

    Raises
    ------
    ConfigError
        If there is no such format.
    TraceError
        If the file does not have it.
    """
    path = Path(path)
    kind = kind or detect(path)
    if kind not in FORMATS:
        raise ConfigError(f"no format is called {kind!r}; there are {', '.join(FORMATS)}", field="format")
    if not path.is_file():
        raise TraceError("there is no such file", path=path)
    read = FORMATS[kind]
    return ObjectTrace(lambda: read(path), held)
