"""Where the reference's images are, and which there are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["REFS", "Variant", "created", "merged", "variants"]

REFS = Path(os.environ.get("NYDUS_REFS") or Path(__file__).parents[3] / "shared" / "refs" / "alpha")


class Variant(NamedTuple):
    """One reference image: its folder, and what its makers say of it."""

    name: str
    folder: Path
    ref: dict[str, Any]

    def tree(self) -> dict[bytes, dict[str, Any]]:
        """What the image must hold, by path."""
        name = self.ref.get("tree") or self.ref["merged_tree"]
        entries = json.loads((self.folder.parent / name).read_text())
        return {bytes.fromhex(entry["path_hex"]): entry for entry in entries}


def variants() -> list[Variant]:
    """All reference images, by name; not tarfs, whose blob is a tar that is kept elsewhere."""
    found = [path for path in REFS.glob("*/ref.json") if (path.parent / "blobs").is_dir()] if REFS.is_dir() else []
    return sorted(Variant(path.parent.name, path.parent, json.loads(path.read_text())) for path in found)


def created() -> list[Variant]:
    """Those that one ``nydus-image create`` made, with the options that it was given; tarfs, too."""
    found = [path for path in REFS.glob("*/ref.json") if "options" in json.loads(path.read_text())]
    return sorted(Variant(path.parent.name, path.parent, json.loads(path.read_text())) for path in found)


def merged() -> list[Variant]:
    """Those that one ``nydus-image merge`` made of layers."""
    return [variant for variant in variants() if variant.ref.get("commands", [[""]])[-1][1:2] == ["merge"]]
