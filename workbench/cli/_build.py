"""The verb `build`: whole processes are measured, so it loads no more than building needs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from storage.image.build import CONVERSIONS, guess_conversion
from workbench.cli._arguments import json_option
from workbench.cli._asked import Asked, built, built_beside, built_on
from workbench.cli._main import example, group
from workbench.cli._types import SIZE

__all__: list[str] = []


@group.command(
    "build",
    **example(
        "workbench build ./rootfs -o image",
        "workbench build . -o image --compressor lz4_block --batch-size 64KiB",
        "workbench build layer.tar.gz -o image --type targz-ref",
        "workbench build layer.esgz -o image --type estargz-ref --chunk-size 4MiB",
        "workbench build stargz.index.json -o image --type estargztoc-ref --blob-id 3f5a... --blob-data-size 10MB",
        "workbench build oci-layout -o image --platform linux/arm64",
        "workbench build . -o image --fs-version 5 --prefetch /app --prefetch-policy fs",
        "find /app -type f | workbench build . -o image --prefetch - --prefetch-policy blob",
        "workbench build ./next -o next --chunk-dict image/bootstrap",
        "workbench build model -o image --attributes .nydusattributes",
        "workbench build layer2.tar -o both --parent-bootstrap image/bootstrap",
    ),
)
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for bootstrap and blobs.")
@click.option("--type", "conversion", type=click.Choice(CONVERSIONS), help="What SRC is, and becomes; else guessed.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of an OCI layout that holds several.")
@click.option("--blob-id", metavar="SHA256", help="Of estargztoc-ref: the layer that SRC is the table of.")
@click.option("--blob-data-size", "blob_size", type=SIZE, help="Of estargztoc-ref: bytes of that layer.")
@click.option("--compressor", default="zstd", show_default=True, help="none, lz4_block, gzip or zstd.")
@click.option("--digester", default="blake3", show_default=True, help="blake3 or sha256.")
@click.option("--chunk-size", type=SIZE, default="1MiB", show_default=True, help="A power of two from 4KiB to 16MiB.")
@click.option("--fs-version", "version", type=click.Choice(["5", "6"]), default="6", show_default=True, help="Of RAFS.")
@click.option("--inline", is_flag=True, help="Put the bootstrap at the end of the blob.")
@click.option("--toc", is_flag=True, help="v6: end the blob with digests of its chunks and a table of contents.")
@click.option("--aligned-chunk", is_flag=True, help="v5: align chunks to 4 KiB, as v6 does.")
@click.option("--batch-size", type=SIZE, default=0, help="v6: compress files below half of it together, up to it.")
@click.option("--encrypt", is_flag=True, help="v6: encrypt the blob; the key is in the bootstrap.")
@click.option("--chunk-dict", type=click.Path(path_type=Path), help="A bootstrap whose chunks are not written.")
@click.option("--parent-bootstrap", type=click.Path(path_type=Path), help="The image that SRC is laid over as a layer.")
@click.option(
    "--whiteout-spec",
    type=click.Choice(["oci", "overlayfs", "none"]),
    help="How SRC, where it is laid over something, says what it hides; oci by default.",
)
@click.option(
    "--attributes", type=click.Path(path_type=Path), help="v6: which files are in blobs elsewhere, and where."
)
@click.option("--prefetch", multiple=True, metavar="PATH", help="A path to be read ahead, or - for a list on stdin.")
@click.option(
    "--prefetch-policy",
    type=click.Choice(["fs", "blob", "none"]),
    default="none",
    show_default=True,
    help="Who is told of them: their chunks come first in any case but none.",
)
@click.option("--leave-out", multiple=True, metavar="NAME", help="A name in SRC itself not to take; may be repeated.")
@json_option
def build_command(
    source: Path,
    out: Path,
    conversion: str | None,
    platform: str | None,
    blob_id: str | None,
    blob_size: int | None,
    version: str,
    parent_bootstrap: Path | None,
    whiteout_spec: str | None,
    attributes: Path | None,
    prefetch: tuple[str, ...],
    leave_out: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Build a RAFS image of a directory, a tar, or an image of layers, as nydus-image would."""
    start = time.monotonic()
    paths = [path for given in prefetch for path in (sys.stdin.read().splitlines() if given == "-" else [given])]
    options |= {"version": int(version), "prefetch": paths, "progress": True}
    asked = Asked(
        conversion or guess_conversion(source), platform, whiteout_spec, leave_out, blob_id, blob_size, parent_bootstrap
    )
    asked.check()
    if attributes is not None:
        made = built_beside(source, out, asked, attributes, options)
    elif asked.parent is not None:
        made = built_on(source, out, asked, asked.parent, options)
    else:
        made = built(source, out, asked, options)
    if as_json:
        print(json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in vars(made).items()}))
        return
    seconds = time.monotonic() - start
    print(
        f"{made.bootstrap}: {made.files:,} files in {made.chunks:,} chunks and {made.duplicates:,} duplicates, "
        f"{made.plain_bytes / 1e6:,.1f} MB as {made.blob_bytes / 1e6:,.1f} MB, in {seconds:.1f} s"
    )
