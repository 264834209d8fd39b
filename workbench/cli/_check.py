"""Verbs that look whether an image is right, and deep into it: check, inspect."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console, JustifyMethod

from storage.image import Image, open_image
from storage.image.verbs import check, inspect_blobs, inspect_chunk, inspect_file, inspect_prefetch
from workbench.cli._arguments import image_argument, json_option
from workbench.cli._figures import plain_table
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option, stored_blobs
from workbench.cli._types import SIZE

__all__: list[str] = []


@group.command("check", **example("workbench check image", "workbench check --deep --json image | jq .problems"))
@image_argument
@click.option("--deep", is_flag=True, help="Fetch, decompress and verify every chunk, too.")
@json_option
@blobs_option
def check_command(image: Path, deep: bool, as_json: bool, blobs: Blobs) -> int:
    """Check an image: every pointer, size, name and link count; exits with 1 if something is wrong."""
    report = check(image, stored_blobs(image, blobs) if deep else blobs, deep=deep, progress=True)
    if as_json:
        print(json.dumps(report.to_dict()))
        return 0 if report.ok else 1
    for problem in report.problems:
        print(f"{problem.kind}: {problem.what} ({problem.where})")
    verdict = f"{len(report.problems):,} problems" if report.problems else "nothing is wrong"
    verified = f", {report.verified:,} of them verified" if deep else ""
    print(f"{image}: {verdict} in {report.files:,} files and {report.chunks:,} chunks{verified}")
    return 0 if report.ok else 1


@group.command(
    "inspect",
    **example(
        "workbench inspect image",
        "workbench inspect image prefetch",
        "workbench inspect image file /json/__init__.py",
        "workbench inspect image chunk --blob 0 --offset 1MiB",
    ),
)
@image_argument
@click.argument("topic", type=click.Choice(["blobs", "prefetch", "file", "chunk"]), default="blobs")
@click.argument("path", required=False)
@click.option("--blob", default=0, show_default=True, help="Of chunk: index in the blob table.")
@click.option("--offset", type=SIZE, default=0, show_default=True, help="Of chunk: compressed offset in the blob.")
@json_option
@blobs_option
def inspect_command(
    image: Path, topic: str, path: str | None, blob: int, offset: int, as_json: bool, blobs: Blobs
) -> None:
    """Look into an image: its blobs, its prefetch table, the chunks of a file, the users of a chunk."""
    if topic == "file" and path is None:
        raise click.UsageError("which file? say its PATH")
    rows = _rows(open_image(image, blobs), topic, path or "/", blob, offset)
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        print("there is none")
        return
    table = plain_table()
    for name, value in rows[0].items():
        justify: JustifyMethod = "right" if isinstance(value, int) else "left"
        table.add_column(name.replace("_", "\n"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    Console(highlight=False).print(table)


def _rows(image: Image, topic: str, path: str, blob: int, offset: int) -> list[dict[str, object]]:
    if topic == "prefetch":
        return inspect_prefetch(image)
    if topic == "file":
        return inspect_file(image, path)
    if topic == "chunk":
        return [inspect_chunk(image, blob, offset)]
    return inspect_blobs(image)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, str) and len(value) == 64:
        return value[:12]  # enough of an id to tell two apart; --json has all of it
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
