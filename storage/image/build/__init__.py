"""Building images: from a directory, a tar, or again from an image."""

from storage.image.build._build import BuildResult, build
from storage.image.build._image_tree import image_tree
from storage.image.build._node import Node, directory_tree
from storage.image.build._open_tar import open_tar
from storage.image.build._tar_tree import TarTree

__all__ = ["BuildResult", "Node", "TarTree", "build", "directory_tree", "image_tree", "open_tar"]
