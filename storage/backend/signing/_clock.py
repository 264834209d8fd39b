"""The time that signatures bear: this machine's, corrected by what servers say if it is wrong."""

from __future__ import annotations

import email.utils
import logging
from datetime import UTC, datetime, timedelta

from storage.backend.http import Response

__all__ = ["Clock"]

_log = logging.getLogger("storage.backend")
_CODE = "RequestTimeTooSkewed"  # S3's and OSS's
_ALLOWED = timedelta(minutes=15)


class Clock:
    """A clock of one server."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """The server's time, as far as it is known."""
        return _utc_now() + self._offset

    def corrected(self, response: Response) -> bool:
        """Whether a refusal was for the time, which is known better now: sign again.

        Answers to HEAD do not say what they are for: then the times decide.
        """
        said = _date_of(response)
        if said is None or response.code not in ("", _CODE):
            return False
        apart = said - self.now()
        if abs(apart) <= (_ALLOWED if not response.code else timedelta(seconds=1)):
            return False
        late = apart.total_seconds()
        _log.warning("this machine's clock is %.0f s late: signatures bear the server's time", late)
        self._offset += apart
        return True


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _date_of(response: Response) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
