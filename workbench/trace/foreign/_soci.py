"""A prefetch artifact of SOCI: spans of a layer, most urgent first.

Source: github awslabs/soci-snapshotter, ``soci/prefetch.go``: ``{"version", "prefetch_spans": [{"start_span",
"end_span", "priority"}]}``, both ends of a span included.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.errors import TraceError
from storage.plan import Layout

__all__ = ["read_soci", "write_soci"]

_VERSION = "1.0"


def read_soci(path: str | Path, layout: Layout, span_size: int = 4 << 20, blob: int = 0) -> list[int]:
    """Chunk rows that lie in the artifact's spans, for `workbench.policy.prefetch.rows`.

    Raises
    ------
    TraceError
        If it is no prefetch artifact.
    """
    try:
        spans = json.loads(Path(path).read_text())["prefetch_spans"]
        spans = sorted(spans, key=lambda span: span.get("priority", 0))
        ranges = [(int(span["start_span"]), int(span["end_span"])) for span in spans]
    except OSError as error:
        raise TraceError(f"the artifact cannot be read: {error.strerror}", path=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraceError("is no prefetch artifact of SOCI", path=path) from error
    number = np.where(layout.blob == blob, layout.offset // span_size, -1)
    found: dict[int, None] = {}
    for first, last in ranges:
        found.update(dict.fromkeys(np.flatnonzero((number >= first) & (number <= last)).tolist()))
    return list(found)


def write_soci(rows: Sequence[int], path: str | Path, layout: Layout, span_size: int = 4 << 20, blob: int = 0) -> None:
    """Write the spans of one blob that chunk rows lie in, in their order."""
    spans = dict.fromkeys(int(layout.offset[row] // span_size) for row in rows if layout.blob[row] == blob)
    entries = [{"start_span": span, "end_span": span, "priority": priority} for priority, span in enumerate(spans)]
    Path(path).write_text(json.dumps({"version": _VERSION, "prefetch_spans": entries}, indent=2))
