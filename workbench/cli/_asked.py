"""From what `build` is asked for to the function that does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import ConfigError
from storage.image.build import (
    BuildResult,
    Node,
    StreamedTree,
    TarTree,
    build,
    build_external,
    build_layer,
    directory_tree,
    open_tar,
)

__all__ = ["Asked", "built", "built_beside", "built_on"]

_OF_REFERENCES = ("chunk_size", "version", "inline", "toc", "progress")
_OF_REFERENCES_WHATEVER = ("compressor", "digester", "prefetch_policy")  # given by the layer, as their defaults are


class Asked(NamedTuple):
    """What a source is, and how its layers are to be taken."""

    conversion: str
    platform: str | None
    whiteouts: str
    leave_out: tuple[str, ...]


def built(source: Path, out: Path, asked: Asked, options: dict[str, Any]) -> BuildResult:
    """Build an image of a source alone."""
    if asked.conversion in _STORED_ANEW:
        with _tree(source, asked) as tree:
            return build(tree, out, **options)
    for key, value in options.items():
        if key not in (*_OF_REFERENCES, *_OF_REFERENCES_WHATEVER) and value not in (False, 0, None, []):
            raise ConfigError(f"is no option of {asked.conversion}", field=key)
    return build_layer(source, out, conversion=asked.conversion, **{key: options[key] for key in _OF_REFERENCES})


def built_beside(source: Path, out: Path, asked: Asked, attributes: Path, options: dict[str, Any]) -> BuildResult:
    """Build a directory some of whose files are in blobs of others."""
    if asked.conversion != "directory":
        raise ConfigError("external files are those of a directory", field="attributes")
    made = build_external(directory_tree(source, asked.leave_out), out, attributes, **options)
    print(f"{made.bootstrap}: external files in {len(made.blobs)} blobs", file=sys.stderr)
    return made.built


def built_on(source: Path, out: Path, asked: Asked, parent: Path, options: dict[str, Any]) -> BuildResult:
    """Build a source as a layer over another image."""
    if asked.conversion not in _STORED_ANEW:
        raise ConfigError(f"{asked.conversion} keeps the layer as it is: build it alone, and merge it", field="type")
    if options.pop("chunk_dict") is not None:
        raise ConfigError("the parent is the chunk dict already", field="chunk_dict")
    if options["inline"]:
        raise ConfigError("the bootstrap of both is in no one's blob", field="inline")
    if options.pop("prefetch_policy") != "fs":
        options["prefetch"] = ()
    from storage.image.verbs import build_on

    with _tree(source, asked) as tree:
        return build_on(tree, parent, out, whiteouts=asked.whiteouts, **options)[0]


_STORED_ANEW = ("directory", "tar-rafs", "targz-rafs", "estargz-rafs", "oci", "docker")


@contextmanager
def _tree(source: Path, asked: Asked) -> Iterator[Node | StreamedTree]:
    if asked.conversion == "directory":
        yield directory_tree(source, asked.leave_out)
    elif asked.conversion in ("oci", "docker"):
        from storage.image.verbs import LayeredTree, docker_layers, oci_layers  # late: a directory needs none of it

        layers = oci_layers(source, asked.platform) if asked.conversion == "oci" else docker_layers(source)
        yield LayeredTree(layers, asked.whiteouts)
    else:
        with open_tar(source) as stream:
            yield TarTree(stream)
