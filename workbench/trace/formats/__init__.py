"""Object traces as others write them: read and written in batches."""

from workbench.trace.formats._open import FORMATS, detect, object_trace
from workbench.trace.formats._write import WRITERS, write_oracle_general, write_trace

__all__ = ["FORMATS", "WRITERS", "detect", "object_trace", "write_oracle_general", "write_trace"]
