"""Moments as the journal keeps them: milliseconds since 1970. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR: Final = 3_600_000
_MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """Return a moment as whole milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def moment(at: int) -> datetime:
    """Return the moment of milliseconds since 1970, in UTC."""
    return _EPOCH + at * _MILLISECOND
