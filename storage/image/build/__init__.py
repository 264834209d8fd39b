"""Building images: from a directory, or again from an image."""

from storage.image.build._build import BuildResult, build
from storage.image.build._image_tree import image_tree
from storage.image.build._node import Node, directory_tree

__all__ = ["BuildResult", "Node", "build", "directory_tree", "image_tree"]
