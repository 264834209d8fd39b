"""Reads of files, and lists of them, as other tools write them: one small file for each format; and made-up traces."""

from workbench.trace.foreign._access_pattern import read_access_pattern
from workbench.trace.foreign._blktrace import read_blktrace
from workbench.trace.foreign._fanotify import read_fanotify, write_fanotify
from workbench.trace.foreign._fio import read_fio, write_fio
from workbench.trace.foreign._generate import loop, mixed, scan, zipf
from workbench.trace.foreign._soci import read_soci, write_soci
from workbench.trace.foreign._stargz import read_stargz, write_stargz
from workbench.trace.foreign._strace import read_strace

__all__ = [
    "loop",
    "mixed",
    "read_access_pattern",
    "read_blktrace",
    "read_fanotify",
    "read_fio",
    "read_soci",
    "read_stargz",
    "read_strace",
    "scan",
    "write_fanotify",
    "write_fio",
    "write_soci",
    "write_stargz",
    "zipf",
]
