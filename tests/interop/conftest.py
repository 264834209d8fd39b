"""Tests over the reference's images. Without them they skip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.references import REFS, Variant, created, merged, variants

_CHOSEN: dict[str, Callable[[], list[Variant]]] = {
    "variant": variants,
    "v6_variant": lambda: [variant for variant in variants() if "v5" not in variant.name],
    "created": created,
    "merged": merged,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a `variant` once for each image there is; `v6_variant` for each RAFS v6 one, and so on."""
    for fixture, choose in _CHOSEN.items():
        if fixture in metafunc.fixturenames:
            chosen = choose()
            skipped = pytest.param(None, marks=pytest.mark.skip(f"no reference images in {REFS}"), id="none")
            metafunc.parametrize(fixture, [pytest.param(v, id=v.name) for v in chosen] or [skipped])


@pytest.fixture(autouse=True)
def needed(request: pytest.FixtureRequest) -> None:
    """Skip what is about an image or a record that this folder does not have: others are laid out alike."""
    mark = request.node.get_closest_marker("needs")
    told = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    names = [*(mark.args if mark else ()), *(told[name] for name in ("image", "name") if name in told)]
    missing = [name for name in names if REFS.is_dir() and not (REFS / name).exists()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {REFS}")


@pytest.fixture(autouse=True)
def claimed(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Have what the test claims of a reference image in the table."""
    mark = request.node.get_closest_marker("claim")
    if mark is None:
        return
    told = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    variants = mark.kwargs.get("variant"), *(told.get(name) for name in _CHOSEN)
    variant = next((variant for variant in variants if variant is not None), None)
    if variant is not None:
        for claim in mark.args:
            record_property("claim", (getattr(variant, "name", variant), claim))


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
