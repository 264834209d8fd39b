"""Verbs that make one image of others: merge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from storage.image.verbs import merge
from workbench.cli._main import example, group
from workbench.cli._options import json_option

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
