"""The layers of an OCI layout or a docker archive, laid over one another: one tree, to be built as one image.

Layers are read twice, once for the tree and once for the content of what is left of each, so
that nothing has to be kept in memory or on disk.

Source: OCI image-spec ``layer.md``; moby ``image/tarexport``.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from storage.errors import FormatError, UnsupportedError
from storage.image.build import Node, TarStream, TarTree, open_tar, plain_stream, tar_content, tar_entries, walk
from storage.image.verbs._oci_layout import Descriptor, manifests, read_json, verified
from storage.image.verbs._overlay import overlay

__all__ = ["NYDUS_FEATURE", "Layer", "LayeredTree", "docker_image", "docker_layers", "is_nydus", "oci_layers"]

NYDUS_FEATURE = "nydus.remoteimage.v1"
_MAX_LAYERS = 1000
_MAX_JSON = 8 << 20
Layer = Callable[[], AbstractContextManager[TarStream]]


class LayeredTree:
    """The tree that shows when layers are laid over one another.

    Parameters
    ----------
    layers
        From the lowest to the highest; each is opened twice.
    whiteouts
        See `overlay`.

    Attributes
    ----------
    root
        The merged tree.

    Raises
    ------
    FormatError
        If a layer is broken; names its path.
    """

    def __init__(self, layers: Sequence[Layer], whiteouts: str = "oci") -> None:
        if len(layers) > _MAX_LAYERS:
            raise FormatError(f"an image of {len(layers)} layers is none", field="layers")
        self._layers = layers
        self._places: list[dict[int, Node]] = []
        self.root = Node(name=b"", path="/", mode=0o40755)
        for number, layer in enumerate(layers):
            self.root = overlay(self.root, self._read(number, layer), whiteouts)

    def _read(self, number: int, layer: Layer) -> Node:
        with layer() as stream:
            tree = TarTree(stream)
            self._places.append({entry.offset: node for node, entry in tree.files()})
        for node in walk(tree.root):
            if node.identity is not None:
                node.identity = (number, node.identity)
        return tree.root

    def nodes(self) -> Iterator[Node]:
        """Files with content that are left, in the order of the layers."""
        # Names of one file share the list of its chunks, whichever of them is left.
        left = {id(node.chunks) for node in walk(self.root) if node.is_reg and node.size}
        for layer, places in zip(self._layers, self._places, strict=True):
            with layer() as stream:
                for entry in tar_entries(stream):
                    node = places.get(entry.offset)
                    if node is not None and entry.size and id(node.chunks) in left:
                        node.open = partial(tar_content, stream, entry)
                        yield node


def oci_layers(layout: str | Path, platform: str | None = None) -> list[Layer]:
    """Layers of an image of an OCI layout, the lowest first; each is checked against its digest.

    Parameters
    ----------
    platform
        ``os/architecture`` or ``os/architecture/variant``; needed where there is more than one image.

    Raises
    ------
    FormatError, IntegrityError
        If the layout is broken, has no such image, or several.
    """
    layout = Path(layout)
    manifest = read_json(layout, _chosen(layout, manifests(layout), platform))
    found: list[Layer] = []
    for descriptor in _listed(layout, manifest, "layers"):
        kind = descriptor.get("mediaType") if isinstance(descriptor, dict) else None
        if not isinstance(kind, str) or "tar" not in kind or "encrypted" in kind:
            raise UnsupportedError(f"layers of type {str(kind)[:80]} are refused", path=layout, field="mediaType")
        found.append(partial(open_tar, verified(layout, descriptor)))
    return found


def _chosen(layout: Path, found: list[Descriptor], platform: str | None) -> Descriptor:
    named = [(_platform(descriptor), descriptor) for descriptor in found if not is_nydus(descriptor)]
    images = [(name, descriptor) for name, descriptor in named if not name.startswith("unknown/")]
    fitting = [descriptor for name, descriptor in images if platform is None or f"{name}/".startswith(f"{platform}/")]
    if platform is not None and len(images) == 1 and images[0][0] == "":
        return images[0][1]  # nobody says what it is for
    if len(fitting) != 1:
        names = ", ".join(sorted(name or "?" for name, _ in images))
        raise FormatError(f"has {len(fitting)} images for {platform or 'any platform'}: {names}", path=layout)
    return fitting[0]


def is_nydus(descriptor: Descriptor) -> bool:
    """Whether an index's entry is a nydus image, which has no layers of files."""
    platform = descriptor.get("platform")
    features = platform.get("os.features") if isinstance(platform, dict) else None
    return isinstance(features, list) and NYDUS_FEATURE in features


def _platform(descriptor: Descriptor) -> str:
    told = descriptor.get("platform")
    if not isinstance(told, dict):
        return ""
    return "/".join(str(told[key]) for key in ("os", "architecture", "variant") if told.get(key))


class DockerImage(NamedTuple):
    """The image in an archive: SHA-256 of its config, the config, its tag or "", its layers and their sizes."""

    digest: str
    config: dict[str, Any]
    tag: str
    layers: list[Layer]
    sizes: list[int]


def docker_layers(archive: str | Path) -> list[Layer]:
    """Layers of the image in what ``docker save`` writes, the lowest first.

    Raises
    ------
    FormatError
        If it is none, or holds several images.
    """
    archive = Path(archive)
    members, links = _members(archive)
    return _layers_of(archive, _docker_manifest(archive, members), members, links)[0]


def docker_image(archive: Path) -> DockerImage:
    """The image in what ``docker save`` writes, with its config.

    Raises
    ------
    FormatError
        If it is none, or holds several images.
    """
    members, links = _members(archive)
    manifest = _docker_manifest(archive, members)
    name = manifest.get("Config")
    place = members.get(name) if isinstance(name, str) else None
    if place is None:
        raise FormatError(f"the config {str(name)[:100]!r} is not in the archive", path=archive)
    raw = _content(archive, *place)
    config = _parsed(archive, raw)
    if not isinstance(config, dict):
        raise FormatError("the config is not a JSON object", path=archive)
    tags = manifest.get("RepoTags")
    tag = tags[0].rpartition(":")[2] if isinstance(tags, list) and tags and isinstance(tags[0], str) else ""
    layers, sizes = _layers_of(archive, manifest, members, links)
    return DockerImage(f"sha256:{hashlib.sha256(raw).hexdigest()}", config, tag, layers, sizes)


def _docker_manifest(archive: Path, members: dict[str, tuple[int, int]]) -> dict[str, Any]:
    if "manifest.json" not in members:
        raise FormatError("is not a docker archive: it has no manifest.json", path=archive)
    manifest = _parsed(archive, _content(archive, *members["manifest.json"]))
    if not isinstance(manifest, list) or len(manifest) != 1 or not isinstance(manifest[0], dict):
        raise FormatError("a docker archive with one image is wanted", path=archive, field="manifest.json")
    return manifest[0]


def _layers_of(
    archive: Path, manifest: dict[str, Any], members: dict[str, tuple[int, int]], links: dict[str, str]
) -> tuple[list[Layer], list[int]]:
    found, sizes = list[Layer](), list[int]()
    for name in _listed(archive, manifest, "Layers"):
        place = members.get(links.get(name, name) if isinstance(name, str) else "")
        if place is None:
            raise FormatError(f"the layer {str(name)[:100]!r} is not in the archive", path=archive)
        found.append(partial(_slice, archive, *place))
        sizes.append(place[1])
    return found, sizes


def _members(archive: Path) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Where files of a plain tar lie; and where its symbolic links lead, since layers may be such."""
    files: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    try:
        with archive.open("rb") as file:
            for entry in tar_entries(TarStream(file, str(archive))):
                name = entry.path[1:]
                if entry.target:
                    target = entry.target.decode("utf-8", "backslashreplace")
                    links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
                elif entry.hardlink is None:
                    files[name] = (entry.offset, entry.size)
    except OSError as error:
        raise FormatError(f"the archive cannot be read: {error.strerror}", path=archive) from error
    return files, links


@contextmanager
def _slice(archive: Path, offset: int, size: int) -> Iterator[TarStream]:
    with archive.open("rb") as file:
        file.seek(offset)
        yield TarStream(plain_stream(_Slice(file, size), str(archive)), str(archive))


class _Slice:
    """A part of a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def peek(self, size: int) -> bytes:
        """What `read` would begin with."""
        data = self._file.read(min(size, self._left))
        self._file.seek(-len(data), 1)
        return data


def _content(archive: Path, offset: int, size: int) -> bytes:
    if size > _MAX_JSON:
        raise FormatError(f"{size} bytes are too many for a manifest", path=archive)
    with archive.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _parsed(archive: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is not JSON: {error}", path=archive) from error


def _listed(path: Path, owner: object, name: str) -> list[Any]:
    value = owner.get(name) if isinstance(owner, dict) else None
    if not isinstance(value, list):
        raise FormatError(f"has no {name}", path=path, field=name)
    return value
