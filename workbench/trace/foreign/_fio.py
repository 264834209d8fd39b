"""fio's iolog, versions 2 and 3 (HOWTO, "Trace file format"): what ``--write_iolog`` writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from storage.errors import TraceError
from workbench.trace.foreign._reads import Row, lines_of, table_of

__all__ = ["read_fio", "write_fio"]

_UNITS = {2: 1_000, 3: 1_000_000}
_HEADS = {f"fio version {version} iolog": version for version in _UNITS}


def read_fio(path: str | Path, program: str = "fio") -> pa.Table:
    """Reads of an iolog, in the schema `workbench.trace.READS`.

    Version 3 has a time, in milliseconds, before each action; version 2 has ``wait`` actions, in microseconds.

    Raises
    ------
    TraceError
        If it is no iolog, or a line of it is broken.
    """
    head, *lines = lines_of(path) or [""]
    if head not in _HEADS:
        raise TraceError(f"is no fio iolog: it begins with {head[:40]!r}", path=path)
    version, now, rows = _HEADS[head], 0, list[Row]()
    for number, line in enumerate(lines, 2):
        words = line.split()
        try:
            if version == 3:
                now = int(words.pop(0)) * _UNITS[3]
            if len(words) == 4 and words[1] == "wait":
                now += int(words[2]) * _UNITS[2]
            elif len(words) == 4 and words[1] == "read":
                rows.append(Row(now, 0, 0, words[0], int(words[2]), int(words[3])))
        except (ValueError, IndexError) as error:
            raise TraceError("a line of the iolog is broken", path=path, field=number) from error
    return table_of(rows, program, path)


def write_fio(reads: pa.Table, path: str | Path) -> None:
    """Write reads as an iolog of version 3, files opened first; names with spaces have no form in it.

    Raises
    ------
    TraceError
        If a path has a space in it.
    """
    table = reads.sort_by("t_ns")
    names = table["path"].cast(pa.string()).to_pylist()
    if any(name.split() != [name] for name in names):
        raise TraceError("a file name with a space has no form in an iolog", path=path)
    lines = ["fio version 3 iolog"]
    files = list(dict.fromkeys(names))
    lines += [f"0 {name} add" for name in files] + [f"0 {name} open" for name in files]
    columns = (table[name].to_pylist() for name in ("t_ns", "offset", "length"))
    rows = zip(names, *columns, strict=True)
    lines += [f"{t // _UNITS[3]} {name} read {offset} {length}" for name, t, offset, length in rows]
    Path(path).write_text("\n".join(lines) + "\n")
