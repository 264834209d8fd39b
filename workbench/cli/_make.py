"""Verbs that make images of other images: convert, merge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from storage.image.verbs import convert, merge
from workbench.cli._arguments import json_option
from workbench.cli._main import example, group
from workbench.cli._types import SIZE

__all__: list[str] = []


@group.command(
    "merge",
    **example(
        "workbench merge layer1.boot layer2.boot -o merged.boot",
        "workbench merge blobs/5d0e08… blobs/321d57… -o merged.boot --prefetch /",
        "workbench merge layer2.boot layer3.boot -o upper.boot --keep-whiteouts",
    ),
)
@click.argument("layers", metavar="LAYER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The bootstrap to write.")
@click.option("--parent", type=click.Path(path_type=Path), help="A bootstrap that lies below all layers.")
@click.option("--chunk-dict", type=click.Path(path_type=Path), help="The bootstrap that layers were built against.")
@click.option("--whiteouts", type=click.Choice(["oci", "overlayfs", "none"]), default="oci", show_default=True)
@click.option("--keep-whiteouts", is_flag=True, help="Keep them, since there will be layers below.")
@click.option("--prefetch", multiple=True, metavar="PATH", help="To be read ahead; may be repeated.")
@json_option
def merge_command(
    layers: tuple[Path, ...],
    out: Path,
    parent: Path | None,
    chunk_dict: Path | None,
    whiteouts: str,
    keep_whiteouts: bool,
    prefetch: tuple[str, ...],
    as_json: bool,
) -> None:
    """Merge the bootstraps of layers, the lowest first; no blob is read."""
    made = merge(
        layers,
        out,
        parent=parent,
        chunk_dict=chunk_dict,
        whiteouts=whiteouts,
        keep_whiteouts=keep_whiteouts,
        prefetch=prefetch,
    )
    if as_json:
        print(json.dumps({"bootstrap": str(made.bootstrap), "blobs": made.blobs, "files": made.files}))
        return
    print(f"{made.bootstrap}: {made.files:,} files in {len(made.blobs)} blobs")


@group.command(
    "convert",
    **example(
        "skopeo copy docker://debian:12 oci:debian && workbench convert debian -o debian-nydus",
        "workbench convert debian -o debian-nydus --compressor lz4_block --prefetch /usr/bin --json",
        "skopeo copy oci:debian-nydus docker://registry.example/debian:nydus",
        "docker save app:1 -o app.tar && workbench convert app.tar -o app-nydus",
        "workbench convert debian -o debian-ref --oci-ref && skopeo copy --all oci:debian-ref docker://...",
    ),
)
@click.argument("source", metavar="LAYOUT|ARCHIVE", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the new OCI layout.")
@click.option("--compressor", default="zstd", show_default=True, help="none, lz4_block, gzip or zstd.")
@click.option("--digester", default="blake3", show_default=True, help="blake3 or sha256.")
@click.option("--chunk-size", type=SIZE, default="1MiB", show_default=True, help="A power of two from 4KiB to 16MiB.")
@click.option("--version", type=click.IntRange(5, 6), default=6, show_default=True, help="Of RAFS.")
@click.option("--oci-ref", is_flag=True, help="v6: keep gzip layers as the data, and add what reads them at random.")
@click.option("--prefetch", multiple=True, metavar="PATH", help="To be read ahead; may be repeated.")
@json_option
def convert_command(
    source: Path,
    out: Path,
    compressor: str,
    digester: str,
    chunk_size: int,
    version: int,
    oci_ref: bool,
    prefetch: tuple[str, ...],
    as_json: bool,
) -> None:
    """Convert the images of an OCI layout, or of what `docker save` writes, to nydus images in an OCI layout."""
    images = convert(
        source,
        out,
        compressor=compressor,
        digester=digester,
        chunk_size=chunk_size,
        version=version,
        oci_ref=oci_ref,
        prefetch=prefetch,
        progress=True,
    )
    for made in images:
        if as_json:
            print(json.dumps(vars(made)))
            continue
        print(
            f"{made.platform}: {made.source_bytes / 1e6:,.1f} MB of layers as {made.blob_bytes / 1e6:,.1f} MB in "
            f"{len(made.blobs)} blobs and a bootstrap of {made.bootstrap_bytes:,} bytes ({made.manifest})"
        )
