"""Times as OSS writes and reads them, without the modules of Python that do it for every calendar and every locale.

Those take several milliseconds and 1 MB of each mount: email.utils is asked only about what OSS does not write.
"""

from __future__ import annotations

import math
import re
import time
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBER_OF = {name: number for number, name in enumerate(_MONTHS, 1)}
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_BEFORE = [sum(_LENGTHS[:month]) for month in range(12)]  # days of a year before its months
_HTTP = re.compile(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([1-9][0-9]{{3}}) "
    r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]) GMT"
)


def days(year: int, month: int, day: int) -> int:
    """Days from 1970 to a date of the Gregorian calendar. Raises ValueError for one that it does not have."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= year <= 9999 or not 1 <= month <= 12 or not 1 <= day <= _LENGTHS[month - 1] + (leap and month == 2):
        raise ValueError(f"{year}-{month}-{day} is no date")
    past = year - 1
    before = past * 365 + past // 4 - past // 100 + past // 400
    return before + _BEFORE[month - 1] + (leap and month > 2) + day - 719163


def of_http(text: str) -> int:
    """Seconds since the epoch of `Sat, 31 Jan 2026 12:34:56 GMT`. Raises ValueError, TypeError, OverflowError."""
    match = _HTTP.fullmatch(text)
    if match is None:
        from email.utils import parsedate_to_datetime

        return int(parsedate_to_datetime(text).timestamp())
    day, month, year, hour, minute, second = match.groups()
    return 86400 * days(int(year), _NUMBER_OF[month], int(day)) + 3600 * int(hour) + 60 * int(minute) + int(second)


def of_iso(text: str) -> int:
    """Seconds since the epoch of `2026-01-31T12:34:56.000Z`. Raises ValueError."""
    return _day(text[:10]) + 3600 * int(text[11:13]) + 60 * int(text[14:16]) + int(text[17:19])


@lru_cache(maxsize=256)  # of a listing
def _day(text: str) -> int:
    return 86400 * days(int(text[:4]), int(text[5:7]), int(text[8:10]))


def of_compact(text: str) -> int:
    """Seconds since the epoch of `20260131T123456Z`. Raises ValueError."""
    day = days(int(text[:4]), int(text[4:6]), int(text[6:8]))
    return 86400 * day + 3600 * int(text[9:11]) + 60 * int(text[11:13]) + int(text[13:15])


def to_http(seconds: float) -> str:
    """`Sat, 31 Jan 2026 12:34:56 GMT`, whatever the locale."""
    return _to_http(math.floor(seconds))


@lru_cache(maxsize=2)  # of thousands of requests in each second
def _to_http(second: int) -> str:
    at = time.gmtime(second)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def to_compact(seconds: float) -> str:
    """`20260131T123456Z`."""
    return _to_compact(math.floor(seconds))


@lru_cache(maxsize=2)
def _to_compact(second: int) -> str:
    at = time.gmtime(second)
    return f"{at.tm_year:04}{at.tm_mon:02}{at.tm_mday:02}T{at.tm_hour:02}{at.tm_min:02}{at.tm_sec:02}Z"
