"""RAFS v5: one inode table, with names, attributes and chunks behind each inode, and digests up the tree."""

from storage.image.v5._amplify import Amplifier
from storage.image.v5._chunks import chunk_table
from storage.image.v5._parse import Parsed, parse
from storage.image.v5._super import SuperBlock, is_v5
from storage.image.v5._xattrs import read_xattrs

__all__ = ["Amplifier", "Parsed", "SuperBlock", "chunk_table", "is_v5", "parse", "read_xattrs"]
