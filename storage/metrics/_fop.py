"""Operations on files."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Fop"]


class Fop(IntEnum):
    """Operations, by their places in nydusd's lists; upstream's `StatsFop`."""

    GETATTR = 0
    READLINK = 1
    OPEN = 2
    RELEASE = 3
    READ = 4
    STATFS = 5
    GETXATTR = 6
    LISTXATTR = 7
    OPENDIR = 8
    LOOKUP = 9
    READDIR = 10
    READDIRPLUS = 11
    ACCESS = 12
    FORGET = 13
    BATCH_FORGET = 14
