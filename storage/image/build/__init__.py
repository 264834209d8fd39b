"""Building images: from a directory, a tar, or again from an image."""

from storage.image.build._build import BuildResult, StreamedTree, build
from storage.image.build._external import ExternalBuilt, build_external
from storage.image.build._image_tree import image_tree
from storage.image.build._layer import CONVERSIONS, build_layer, build_stargz_toc, guess_conversion
from storage.image.build._node import Node, directory_tree, walk
from storage.image.build._open_tar import open_tar, plain_stream
from storage.image.build._tar_headers import tar_entries
from storage.image.build._tar_stream import TarStream
from storage.image.build._tar_tree import TarTree, tar_content

__all__ = [
    "CONVERSIONS",
    "BuildResult",
    "ExternalBuilt",
    "Node",
    "StreamedTree",
    "TarStream",
    "TarTree",
    "build",
    "build_external",
    "build_layer",
    "build_stargz_toc",
    "directory_tree",
    "guess_conversion",
    "image_tree",
    "open_tar",
    "plain_stream",
    "tar_content",
    "tar_entries",
    "walk",
]
