"""Object traces as others write them: one small file each, read in batches."""

from workbench.trace.formats._open import FORMATS, detect, object_trace
from workbench.trace.formats._write import write_oracle_general

__all__ = ["FORMATS", "detect", "object_trace", "write_oracle_general"]
