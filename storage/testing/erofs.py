"""The kernel's EROFS driver as a witness: mounts of files, without loop devices."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CannotMountError", "mounted"]

_MS_RDONLY = 1
_MNT_DETACH = 2
_LACKING = (errno.ENODEV, errno.EPERM, errno.ENOTBLK, errno.ENOSYS)


class CannotMountError(Exception):
    """This machine cannot: no root, no EROFS, or a kernel before 6.12."""


@contextmanager
def mounted(image: Path, place: Path, devices: Sequence[Path] = ()) -> Iterator[Path]:
    """`image` mounted on the folder `place`, its blobs from `devices`.

    It takes mount(2) itself: mount(8) insists on loop devices.

    Raises
    ------
    CannotMountError
        If the machine cannot mount such files.
    OSError
        If the kernel refuses this one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    options = ",".join(f"device={device}" for device in devices).encode()
    if libc.mount(os.fsencode(image), os.fsencode(place), b"erofs", _MS_RDONLY, options) != 0:
        number = ctypes.get_errno()
        if number in _LACKING:
            raise CannotMountError(f"the kernel cannot mount EROFS files: {os.strerror(number)}")
        raise OSError(number, os.strerror(number), str(image))
    try:
        yield place
    finally:
        libc.umount2(os.fsencode(place), _MNT_DETACH)
