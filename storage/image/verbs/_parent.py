"""Building a layer on a parent: what the parent has is neither written again nor lost.

Source: nydus ``builder/src/core/bootstrap.rs`` (``--parent-bootstrap``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.errors import ConfigError
from storage.image._locate import locate
from storage.image.build import BuildResult, Node, StreamedTree, build
from storage.image.verbs._merge import Merged, merge

__all__ = ["build_on"]


def build_on(
    source: str | Path | Node | StreamedTree,
    parent: str | Path,
    out: str | Path,
    *,
    whiteouts: str = "oci",
    prefetch: Sequence[str] = (),
    **options: Any,
) -> tuple[BuildResult, Merged]:
    """Build a tree as a layer over a parent: ``out/bootstrap`` shows both, ``out/blobs`` has the layer's chunks.

    Parameters
    ----------
    source
        See `storage.image.build.build`; with whiteouts, to hide what the parent has.
    parent
        The parent's bootstrap; see `storage.image.locate`.
    out
        A folder.
    whiteouts
        See `overlay`.
    prefetch
        Paths of the prefetch table of both.
    **options
        Of `storage.image.build.build`.

    Returns
    -------
    tuple
        What was built for the layer, and the image of both. The parent's blobs stay where they are.

    Raises
    ------
    FormatError, ConfigError
        See `build` and `merge`.
    """
    lower = locate(parent).path
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            built = build(source, folder, chunk_dict=lower, **options)
            both = Path(folder) / "merged"
            merged = merge(
                [built.bootstrap], both, parent=lower, chunk_dict=lower, whiteouts=whiteouts, prefetch=prefetch
            )
            (Path(out) / "blobs").mkdir(exist_ok=True)
            blob = None
            if built.blob is not None:
                blob = Path(out) / "blobs" / built.blob.name
                os.replace(built.blob, blob)  # noqa: PTH105
            bootstrap = Path(out) / "bootstrap"
            os.replace(merged.bootstrap, bootstrap)  # noqa: PTH105
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return replace(built, bootstrap=bootstrap, blob=blob), replace(merged, bootstrap=bootstrap)
