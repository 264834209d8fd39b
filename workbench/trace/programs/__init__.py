"""Real programs, run to be recorded."""
