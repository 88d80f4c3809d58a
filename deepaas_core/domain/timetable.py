"""When something is to be done that is done by the clock."""

from __future__ import annotations

from datetime import UTC, datetime


class Timetable:
    """The times that five fields of cron mean, in UTC.

    Args:
        fields: Minute, hour, day of the month, month, day of the week; as crontab has them (0 and 7 are Sunday).

    Raises:
        ValueError: They mean nothing.
    """

    def __init__(self, fields: str):
        from cronsim import CronSim, CronSimError  # only who has schedules needs it

        self._fields = fields
        expected = "Must be five fields of cron, e.g. `0 3 * * *` for every night at three"
        if len(fields.split()) != 5:
            raise ValueError(f"{expected}.")
        try:
            CronSim(fields, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"{expected}: {error}.") from None

    def next(self, after: datetime) -> datetime | None:
        """The first time after another one; None if there is none in the next fifty years."""
        from cronsim import CronSim

        return next(CronSim(self._fields, after.astimezone(UTC)), None)
