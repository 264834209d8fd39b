"""Workloads: what programs read, recorded, kept, and shipped."""

from workbench.trace._finder import ImageFinder
from workbench.trace._reader import RecordingReader
from workbench.trace._record import PROGRAMS, Recording, library_folder, record
from workbench.trace._schema import READS, check_image, read_reads, write_table

__all__ = [
    "PROGRAMS",
    "READS",
    "ImageFinder",
    "Recording",
    "RecordingReader",
    "check_image",
    "library_folder",
    "read_reads",
    "record",
    "write_table",
]
