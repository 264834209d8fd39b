"""Where the reference's images are, and which there are. Without them these tests skip."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a `variant` once for each image there is; `v6_variant` for each RAFS v6 one."""
    for fixture in ("variant", "v6_variant"):
        if fixture in metafunc.fixturenames:
            chosen = [v for v in variants() if fixture == "variant" or "v5" not in v.name]
            skipped = pytest.param(None, marks=pytest.mark.skip(f"no reference images in {REFS}"), id="none")
            metafunc.parametrize(fixture, [pytest.param(v, id=v.name) for v in chosen] or [skipped])


@pytest.fixture(autouse=True)
def claimed(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Have what the test claims of a reference image in the table."""
    mark = request.node.get_closest_marker("claim")
    if mark is None:
        return
    told = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    variants = mark.kwargs.get("variant"), *(told.get(name) for name in ("variant", "v6_variant", "name", "merged"))
    variant = next((variant for variant in variants if variant is not None), None)
    if variant is not None:
        record_property("claim", (getattr(variant, "name", variant), *mark.args))


@pytest.fixture(scope="session")
def refs() -> Path:
    """The folder of reference images."""
    if not REFS.is_dir():
        pytest.skip(f"no reference images in {REFS}: set NYDUS_REFS")
    return REFS


@pytest.fixture(scope="session")
def variants_by_name() -> dict[str, Variant]:
    """All reference images."""
    return {variant.name: variant for variant in variants()}
