"""The traces that are shipped with the project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import TraceError
from storage.image import Image
from workbench.trace._layout import read_layout
from workbench.trace._schema import read_reads

__all__ = ["Dataset", "dataset"]

_FOLDER = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Dataset:
    """A recorded run.

    Attributes
    ----------
    reads, events
        In the schemas `READS` and `EVENTS`.
    image
        The layout that it ran on, without its data.
    """

    reads: pa.Table
    events: pa.Table
    image: Image


def dataset(name: str = "first-light") -> Dataset:
    """A shipped data set by name; each is described by the README in its folder.

    Raises
    ------
    TraceError
        If there is none of that name.
    """
    folder = _FOLDER / name
    if not folder.is_dir():
        known = sorted(path.name for path in _FOLDER.iterdir() if path.is_dir()) if _FOLDER.is_dir() else []
        raise TraceError(f"no data set is called {name!r}; there are {', '.join(known) or 'none'}", path=folder)
    return Dataset(read_reads(folder / "reads.parquet"), pq.read_table(folder / "events.parquet"), read_layout(folder))
