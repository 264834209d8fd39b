"""References and manifests, pure: what they are taken for, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ConfigError, FormatError
from storage.oci import Reference, parse_reference
from storage.oci._manifest import bootstrap_layer, choose_manifest, descriptors_of, parse_manifest

DIGEST = "sha256:" + "a" * 64
HUB = "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("127.0.0.1:5000/app:v1", Reference("127.0.0.1:5000", "app", "v1")),
        ("localhost/app", Reference("localhost", "app", "latest")),
        ("registry.example.com/a/b/c:x", Reference("registry.example.com", "a/b/c", "x")),
        ("docker://r.io/a@" + DIGEST, Reference("r.io", "a", "latest", DIGEST)),
        ("r.io/a:t@" + DIGEST, Reference("r.io", "a", "t", DIGEST)),
        ("ubuntu", Reference(HUB, "library/ubuntu", "latest")),
        ("ubuntu:24.04", Reference(HUB, "library/ubuntu", "24.04")),
        ("someone/app", Reference(HUB, "someone/app", "latest")),
        ("docker.io/someone/app:1", Reference(HUB, "someone/app", "1")),
        ("[::1]:5000/app", Reference("[::1]:5000", "app", "latest")),
    ],
)
def test_references(text: str, reference: Reference) -> None:
    """As docker takes them."""
    assert parse_reference(text) == reference
    assert parse_reference(str(reference)).name == reference.name


@pytest.mark.parametrize(
    "text", ["", "r.io/", "r.io/UPPER", "r.io/a:", "r.io/a:b/c d", "r.io/a@sha256:x", "a b", "r.io/../x", "-.io/a"]
)
def test_no_references(text: str) -> None:
    """What is none is refused, with an example."""
    with pytest.raises(ConfigError, match="is not an image: say"):
        parse_reference(text)


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is a reference that can be said again, or our error."""
    try:
        reference = parse_reference(text)
    except ConfigError:
        return
    assert parse_reference(str(reference)).repo == reference.repo


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["manifests", "layers", "config", "digest", "size", "annotations", "platform"]), inner
        )
    ),
)


@given(JSON)
def test_any_manifest(value: object) -> None:
    """Any JSON is a manifest that can be walked, or a FormatError."""
    try:
        manifest = parse_manifest(json.dumps(value).encode(), "x")
        descriptors_of(manifest, "x")
    except FormatError:
        pass


def entry(digit: str, **more: object) -> dict[str, object]:
    """A descriptor."""
    return {"mediaType": "m", "digest": "sha256:" + digit * 64, "size": 1, **more}


def test_choice() -> None:
    """A nydus manifest comes before others, this machine's before others, an attestation never."""
    nydus = {"os.features": ["nydus.remoteimage.v1"]}
    index = {
        "manifests": [
            entry("0", platform={"architecture": "unknown", "os": "unknown"}),
            entry("1", platform={"architecture": "amd64", "os": "linux"}),
            entry("2", platform={"architecture": "arm64", "os": "linux", **nydus}),
            entry("3", platform={"architecture": "amd64", "os": "linux", **nydus}),
        ]
    }
    found = descriptors_of(index, "x")
    assert choose_manifest(found, "x", "amd64").digest[-1] == "3"
    assert choose_manifest(found, "x", "arm64").digest[-1] == "2"
    assert choose_manifest(found[:2], "x", "arm64").digest[-1] == "1"
    with pytest.raises(FormatError, match="the index is empty"):
        choose_manifest(found[:1], "x")


def test_bootstrap() -> None:
    """The bootstrap is the layer that says it is."""
    manifest = {"layers": [entry("1"), entry("2", annotations={"containerd.io/snapshot/nydus-bootstrap": "true"})]}
    assert bootstrap_layer(manifest, "x").digest[-1] == "2"
