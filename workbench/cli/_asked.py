"""From what `build` is asked for to the function that does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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
    build_stargz_toc,
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
    whiteouts: str | None
    leave_out: tuple[str, ...]
    blob_id: str | None
    blob_size: int | None
    parent: Path | None

    def check(self) -> None:
        """Raise `ConfigError` if something is asked for that has no effect on such a source."""
        layered = self.conversion in _LAYERED or self.parent is not None
        of = {
            "platform": (self.platform, self.conversion == "oci", "is of an OCI layout"),
            "whiteout_spec": (self.whiteouts, layered, "is of what is laid over a parent or other layers"),
            "leave_out": (self.leave_out, self.conversion == "directory", "is of a directory"),
            "blob_id": (self.blob_id, self.conversion == _TOC_ALONE, f"is of {_TOC_ALONE}"),
            "blob_data_size": (self.blob_size, self.conversion == _TOC_ALONE, f"is of {_TOC_ALONE}"),
        }
        for field, (given, fits, complaint) in of.items():
            if given and not fits:
                raise ConfigError(complaint, field=field)


def built(source: Path, out: Path, asked: Asked, options: dict[str, Any]) -> BuildResult:
    """Build an image of a source alone."""
    if asked.conversion in _STORED_ANEW:
        with _tree(source, asked) as tree:
            return build(tree, out, **options)
    if asked.conversion == _TOC_ALONE:
        return _built_toc(source, out, asked, options)
    _check_options(asked.conversion, options, _OF_REFERENCES)
    return build_layer(source, out, conversion=asked.conversion, **{key: options[key] for key in _OF_REFERENCES})


def _built_toc(source: Path, out: Path, asked: Asked, options: dict[str, Any]) -> BuildResult:
    """Build an image of a table of contents, whose layer stays where it is."""
    _check_options(asked.conversion, options, ("chunk_size", "version", "progress"))
    if options["version"] != 6:
        raise ConfigError("blobs that are gzip layers are for RAFS v6", field="version")
    return build_stargz_toc(
        source, out, blob_id=asked.blob_id or "", blob_size=asked.blob_size or 0, chunk_size=options["chunk_size"]
    )


def _check_options(conversion: str, options: dict[str, Any], taken: Sequence[str]) -> None:
    for key, value in options.items():
        if key not in (*taken, *_OF_REFERENCES_WHATEVER) and value not in (False, 0, None, []):
            raise ConfigError(f"is no option of {conversion}", field=key)


def built_beside(source: Path, out: Path, asked: Asked, attributes: Path, options: dict[str, Any]) -> BuildResult:
    """Build a directory some of whose files are in blobs of others."""
    if asked.conversion != "directory":
        raise ConfigError("external files are those of a directory", field="attributes")
    if asked.parent is not None:
        raise ConfigError("external files are built alone, and then merged with a parent", field="parent_bootstrap")
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
        return build_on(tree, parent, out, whiteouts=asked.whiteouts or "oci", **options)[0]


_LAYERED = ("oci", "docker")
_STORED_ANEW = ("directory", "tar-rafs", "targz-rafs", "estargz-rafs", *_LAYERED)
_TOC_ALONE = "estargztoc-ref"


@contextmanager
def _tree(source: Path, asked: Asked) -> Iterator[Node | StreamedTree]:
    if asked.conversion == "directory":
        yield directory_tree(source, asked.leave_out)
    elif asked.conversion in _LAYERED:
        from storage.image.verbs import LayeredTree, docker_layers, oci_layers  # late: a directory needs none of it

        layers = oci_layers(source, asked.platform) if asked.conversion == "oci" else docker_layers(source)
        yield LayeredTree(layers, asked.whiteouts or "oci")
    else:
        with open_tar(source) as stream:
            yield TarTree(stream)
