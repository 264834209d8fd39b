"""Building images: from a directory, a tar, or again from an image."""

from storage.image.build._build import BuildResult, build
from storage.image.build._image_tree import image_tree
from storage.image.build._layer import CONVERSIONS, build_layer, guess_conversion
from storage.image.build._node import Node, directory_tree
from storage.image.build._open_tar import open_tar
from storage.image.build._tar_tree import TarTree

__all__ = [
    "CONVERSIONS",
    "BuildResult",
    "Node",
    "TarTree",
    "build",
    "build_layer",
    "directory_tree",
    "guess_conversion",
    "image_tree",
    "open_tar",
]
