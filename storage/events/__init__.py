"""What happened, as rows: one Arrow schema, a recorder, and an audit that proves the ledgers."""

from storage.events._audit import Ledgers, audit
from storage.events._prefetched import Prefetched, prefetched
from storage.events._recorder import Recorder, read_events
from storage.events._schema import CAUSES, EVENTS, KINDS, OUTCOMES, Cause, Kind, Outcome

__all__ = [
    "CAUSES",
    "EVENTS",
    "KINDS",
    "OUTCOMES",
    "Cause",
    "Kind",
    "Ledgers",
    "Outcome",
    "Prefetched",
    "Recorder",
    "audit",
    "prefetched",
    "read_events",
]
