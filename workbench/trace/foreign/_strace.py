"""strace's output: ``strace -f -ttt -T -y -e trace=openat,read,pread64,lseek``. What is mapped it does not see."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from workbench.trace.foreign._reads import Row, lines_of, table_of

__all__ = ["read_strace"]

_LINE = re.compile(
    r"(?:\[pid\s+)?(?P<pid>\d+)?\]?\s*(?P<s>\d+)\.(?P<us>\d{6})\s+"
    r"(?P<call>read|pread64|lseek|openat|open|close)\((?P<args>.*)\)\s+=\s+(?P<result>-?\d+)"
    r"(?:<(?P<opened>[^>]*)>)?.*?(?:<(?P<spent>\d+\.\d+)>)?$"
)
_FILE = re.compile(r"(?P<fd>\d+)<(?P<path>/[^>]*)>")


def read_strace(text: str | Path, root: str = "/", program: str = "strace") -> pa.Table:
    """Reads of regular files below `root`, by which the image's root is known to the program.

    A ``read`` begins where the file's last one of this descriptor ended, or where ``lseek`` went.

    Raises
    ------
    TraceError
        If there is no read of a file in it.
    """
    rows, at = list[Row](), dict[tuple[str, str], int]()
    base = root.rstrip("/")
    for line in lines_of(text):
        found = _LINE.match(line)
        if found is None or int(found["result"]) < 0:
            continue
        pid, result = found["pid"] or "0", int(found["result"])
        if found["call"] in ("open", "openat"):
            at[pid, str(result)] = 0
            continue
        file = _FILE.match(found["args"])
        if file is None:
            continue
        key = pid, file["fd"]
        offset = _offset(found["call"], found["args"], at.get(key, 0))
        if found["call"] == "lseek":
            at[key] = result
        elif found["call"] == "read":
            at[key] = offset + result
        if found["call"] in ("read", "pread64") and result and file["path"].startswith(base + "/"):
            t = int(found["s"]) * 1_000_000_000 + int(found["us"]) * 1_000
            spent = round(float(found["spent"] or 0) * 1e9)
            rows.append(Row(t, spent, int(pid), file["path"][len(base) :], offset, result))
    return table_of(rows, program, text)


def _offset(call: str, args: str, at: int) -> int:
    return int(args.rsplit(",", 1)[1]) if call == "pread64" else at
