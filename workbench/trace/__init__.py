"""Workloads: what programs read, recorded, kept, and shipped."""

from workbench.trace._dataset import Dataset, dataset
from workbench.trace._finder import ImageFinder
from workbench.trace._layout import read_layout, write_layout
from workbench.trace._reader import RecordingReader
from workbench.trace._record import PROGRAMS, Recording, library_folder, record
from workbench.trace._schema import READS, check_image, read_reads, write_table

__all__ = [
    "PROGRAMS",
    "READS",
    "Dataset",
    "ImageFinder",
    "Recording",
    "RecordingReader",
    "check_image",
    "dataset",
    "library_folder",
    "read_layout",
    "read_reads",
    "record",
    "write_layout",
    "write_table",
]
