"""Times of the week, in the machine's own time zone: "Mon-Fri 08:00-17:30", "22:00-06:00"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXPECTED = 'times such as "22:00-06:00", "Mon-Fri 08:00-17:30" or "Sat,Sun 00:00-24:00"'
_DAY_MINUTES = 24 * 60
_ENTRY = re.compile(r"(?:(?P<days>[A-Za-z,-]+) +)?(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Span:
    """A time on some days.

    Attributes:
        days: on which it begins; 0 is Monday.
        begin, end: minutes of the day; one that ends earlier than it begins lasts into the next.
    """

    days: frozenset[int]
    begin: int
    end: int

    def covers(self, day: int, minute: int) -> bool:
        """Say whether a minute of a day of the week lies in it."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        began_yesterday = (day - 1) % 7 in self.days
        return (day in self.days and minute >= self.begin) or (
            began_yesterday and minute < self.end
        )


def parse(text: str) -> Span:
    """Return the span that a text means.

    Raises:
        ValueError: it means none; in words.
    """
    found = _ENTRY.fullmatch(text.strip())
    if not found:
        raise ValueError(f"got {text!r}, expected {EXPECTED}")
    begin, end = (int(found[at]) * 60 + int(found[at + 1]) for at in (2, 4))
    if int(found[3]) > 59 or int(found[5]) > 59 or begin >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError(f"got {text!r}, expected times from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"got {text!r}, which is no time at all; a whole day is 00:00-24:00")
    return Span(_days(found["days"] or "Mon-Sun", text), begin, end)


def covered(spans: Iterable[Span], moment: datetime) -> bool:
    """Say whether a moment (in the machine's time zone) lies in any of them."""
    day, minute = moment.weekday(), moment.hour * 60 + moment.minute
    return any(span.covers(day, minute) for span in spans)


def _days(text: str, whole: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            begin = DAYS.index(first.capitalize())
            end = DAYS.index(last.capitalize()) if dash else begin
        except ValueError:
            raise ValueError(f"got {whole!r}, expected days such as {', '.join(DAYS)}") from None
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)
