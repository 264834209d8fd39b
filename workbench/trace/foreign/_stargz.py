"""A record of ctr-remote, which `--record-in` takes: one JSON object a line, ``{"path": ..., "layerIndex": ...}``.

Source: github containerd/stargz-snapshotter, ``recorder/recorder.go``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from storage.errors import TraceError
from workbench.trace.foreign._reads import lines_of

__all__ = ["read_stargz", "write_stargz"]


def read_stargz(path: str | Path) -> list[str]:
    """Paths from the root, in the order in which they were opened, each once.

    Raises
    ------
    TraceError
        If a line is no entry.
    """
    found: dict[str, None] = {}
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            try:
                found["/" + json.loads(line)["path"].lstrip("/")] = None
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TraceError("is no record of stargz", path=path, field=number) from error
    return list(found)


def write_stargz(paths: Sequence[str], path: str | Path, layer: int = 0) -> None:
    """Write paths as a record, all of one layer."""
    lines = (json.dumps({"path": name.lstrip("/"), "layerIndex": layer}) for name in paths)
    Path(path).write_text("".join(f"{line}\n" for line in lines))
