"""Many replays at once: every combination of settings, traces and images, on all cores or on a cluster.

Each cell's row is written as soon as it is there, under a name made of all that decides it. So
a sweep that was killed goes on where it was, and one that is widened does only what is new.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from storage.backend import LINKS
from storage.errors import ConfigError
from storage.image import open_image
from workbench.replay._bound import lower_bound
from workbench.replay._identity import spelled
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._spread import spread
from workbench.replay._workload import ImageLike, Workload

__all__ = ["Sweep", "sweep"]

_AXES = tuple(name for name in Settings.__dataclass_fields__)


@dataclass(frozen=True)
class _Cell:
    """One replay: what it is called, and its settings."""

    name: str
    trace: str
    image: str
    labels: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    folder
        A Parquet data set, partitioned by trace and image, with a row for each cell.
    failed
        Cells that failed, with their errors; they are not in the folder and are tried again the next time.
    """

    folder: Path
    failed: pd.DataFrame

    def table(self) -> pa.Table:
        """All rows that the folder holds, those of earlier sweeps too."""
        partitions = ds.partitioning(pa.schema([("trace", pa.string()), ("image", pa.string())]), flavor="hive")
        return ds.dataset(self.folder, partitioning=partitions, exclude_invalid_files=True).to_table()

    def frame(self) -> pd.DataFrame:
        """The same, the soonest to the last read first."""
        return self.table().to_pandas().sort_values("time_to_last_read_ms", kind="stable").reset_index(drop=True)

    def _repr_html_(self) -> str:
        return self.frame().to_html() + (self.failed.to_html() if len(self.failed) else "")


def sweep(
    grid: Mapping[str, Sequence[Any] | Mapping[str, Any]],
    traces: Mapping[str, pa.Table],
    images: Mapping[str, str | Path | ImageLike],
    out: str | Path,
    settings: Settings | None = None,
    *,
    client: Any = None,
    workers: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Replay every combination.

    Parameters
    ----------
    grid
        Values, or values by label, for fields of `Settings`. A capacity that is a float is a share of
        what the trace touches; a link may be a name of `storage.backend.LINKS`. Without eviction there is no bound,
        so that is replayed for one capacity only.
    traces
        Tables of reads by name.
    images
        Images, or where they are, by name: layouts of the same tree.
    out
        Folder of the results, made if it is not there.
    settings
        What all cells share.
    client
        A Dask ``Client``; by default all of this machine's cores are used.
    workers
        Processes, where there is no client; 0 for none but this one.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    ConfigError
        If an axis is no setting. What a single cell raises is in `Sweep.failed`.
    TraceError, PathError
        If a trace does not fit an image.
    """
    from tqdm.auto import tqdm

    folder = Path(out)
    workloads = {
        (trace, image): Workload.from_reads(reads, open_image(at) if isinstance(at, (str, Path)) else at)
        for (trace, reads), (image, at) in product(traces.items(), images.items())
    }
    cells = {_place(folder, cell): cell for cell in _cells(grid, workloads, settings or Settings())}
    todo = {place: cell for place, cell in cells.items() if not place.exists()}
    failed = []
    rows = spread(_row, [(cell, (cell.trace, cell.image)) for cell in todo.values()], workloads, client, workers)
    bar = tqdm(rows, desc="sweep", unit="cell", total=len(todo), delay=2, disable=None if progress else True)
    for cell, row, error in bar:
        if error is None:
            _write(_place(folder, cell), row)
        else:
            failed.append({"trace": cell.trace, "image": cell.image, **cell.labels, "error": error})
    return Sweep(folder, pd.DataFrame(failed))


def _cells(
    grid: Mapping[str, Sequence[Any] | Mapping[str, Any]],
    workloads: Mapping[tuple[str, str], Workload],
    shared: Settings,
) -> Iterator[_Cell]:
    unknown = [axis for axis in grid if axis not in _AXES]
    if unknown:
        raise ConfigError(f"no setting is called {unknown[0]!r}; there are {', '.join(_AXES)}", field=unknown[0])
    axes = [_labelled(values) for values in grid.values()]
    first = next((axis[0][0] for name, axis in zip(grid, axes, strict=True) if name == "capacity" and axis), None)
    for (trace, image), chosen in product(workloads, product(*axes)):
        labels = {axis: name for axis, (name, _) in zip(grid, chosen, strict=True)}
        values = {axis: value for axis, (_, value) in zip(grid, chosen, strict=True)}
        cell = replace(shared, **_resolved(values, workloads[trace, image]))
        if cell.policy.name == "none" and labels.get("capacity") != first:
            continue
        yield _Cell(_name(cell, workloads[trace, image]), trace, image, labels, cell)


def _labelled(axis: Sequence[Any] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Values and what rows call them; of several that have one name, all but the first are numbered."""
    if isinstance(axis, Mapping):
        return list(axis.items())
    names = [_label(value) for value in axis]
    before = [names[:at].count(name) for at, name in enumerate(names)]
    return [(f"{name} ({n + 1})" if n else name, value) for name, n, value in zip(names, before, axis, strict=True)]


def _label(value: Any) -> str:
    return str(getattr(value, "name", value))


def _resolved(values: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    found = dict(values)
    if isinstance(found.get("capacity"), float):
        found["capacity"] = int(found["capacity"] * workload.touched_bytes)
    if isinstance(found.get("link"), str):
        if found["link"] not in LINKS:
            raise ConfigError(f"no link {found['link']!r}; there are {', '.join(LINKS)}", field="link")
        found["link"] = LINKS[found["link"]]
    return found


def _name(settings: Settings, workload: Workload) -> str:
    """A hash of all that decides the outcome."""
    text = {field: spelled(getattr(settings, field)) for field in _AXES}
    digest = hashlib.sha256(repr(text).encode())
    read = (
        workload.read_id,
        workload.think_ns,
        workload.due_ns,
        workload.first,
        workload.thread_first,
        workload.program_first,
    )
    for array in (*read, *workload.segments, *workload.layout):
        digest.update(array.tobytes())
    return digest.hexdigest()[:24]


def _place(folder: Path, cell: _Cell) -> Path:
    return folder / f"trace={cell.trace}" / f"image={cell.image}" / f"{cell.name}.parquet"


def _write(place: Path, row: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    pq.write_table(pa.Table.from_pylist([dict(row)]), partial)
    partial.replace(place)


def _row(cell: _Cell, workload: Workload) -> dict[str, Any]:
    result = replay(workload, None, cell.settings)
    totals, split = result.totals, result.split
    bound = int(lower_bound(workload, cell.settings).sum())
    numbers = {name: value for name, value in totals.items() if isinstance(value, (int, float))}
    causes = {f"{cause}_bytes": size for cause, size in totals["bytes_by_cause"].items()}
    parts = {f"{part}_ns": ns for part, ns in split.items()}
    return {
        **cell.labels,
        "capacity_bytes": -1 if cell.settings.capacity is None else cell.settings.capacity,
        "time_to_last_read_ms": totals["time_to_last_read_ns"] / 1e6,
        "above_bound": totals["time_to_last_read_ns"] / bound - 1 if bound else 0.0,
        **numbers,
        **causes,
        **parts,
    }
