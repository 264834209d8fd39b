"""What nearly every verb takes, apart from what loads a store: building an image needs none."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["image_argument", "json_option"]

image_argument = click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
