"""Cron texts: `minute hour day month weekday`, in UTC, and when they come due. Pure.

field   := "*" | part ("," part)*        part := (number | name) ["-" (number | name)] ["/" number]
"*" may have a step too: "*/15". Sunday is 0 or 7, or SUN; months JAN to DEC.
Where both day and weekday are restricted, either suffices (crontab(5)).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from workflows.errors import WorkflowError

MINUTE_MS: Final = 60_000
LOOK_BACK_DAYS: Final = 366 * 8  # 29 February may be eight years off (1896 to 1904, 2096 to 2104)
MONTH_NAMES: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
MONTHS: Final = {name: number for number, name in enumerate(MONTH_NAMES.split(" "), 1)}
WEEKDAYS: Final = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}
VALUE: Final = r"\d{1,4}|[A-Za-z]{3}"
PART: Final = re.compile(rf"(?P<first>\*|{VALUE})(-(?P<last>{VALUE}))?(/(?P<step>\d{{1,4}}))?", re.ASCII)
DAYS_MAX: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


@dataclass(frozen=True, slots=True)
class Cron:
    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day_suffices: bool

    @classmethod
    def parse(cls, text: object) -> "Cron":
        """Raises WorkflowError `schedule.invalid`."""
        if not isinstance(text, str) or len(fields := text.split()) != len(FIELDS):
            raise WorkflowError("schedule.invalid", f"{text!r} is no cron text: minute hour day month weekday")
        sets = [_field(text, written, *bounds) for written, bounds in zip(fields, FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in sets[4])
        either = not fields[2].startswith("*") and not fields[4].startswith("*")
        if not either and not any(min(sets[2]) <= DAYS_MAX.get(month, 31) for month in sets[3]):
            raise WorkflowError("schedule.invalid", f"{text!r} never comes: its months have no such day")
        return cls(" ".join(fields), sets[0], sets[1], sets[2], sets[3], weekdays, either)

    def latest_ms(self, now_ms: int, after_ms: int) -> int | None:
        """The last tick within (after_ms, now_ms]; None where there was none."""
        now = datetime.fromtimestamp(now_ms // MINUTE_MS * 60, UTC)
        for back in range(LOOK_BACK_DAYS):
            day = (now - timedelta(days=back)).replace(hour=0, minute=0)
            if int(day.timestamp() * 1000) + 86_400_000 <= after_ms:
                return None
            if not self._on(day):
                continue
            for hour in sorted(self.hours, reverse=True):
                for minute in sorted(self.minutes, reverse=True):
                    tick = day.replace(hour=hour, minute=minute)
                    if tick <= now:
                        ms = int(tick.timestamp() * 1000)
                        return ms if ms > after_ms else None
        return None

    def _on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either_day_suffices else by_day and by_weekday


def _field(text: str, written: str, name: str, least: int, most: int) -> frozenset[int]:
    names = MONTHS if name == "month" else WEEKDAYS if name == "weekday" else {}
    values: set[int] = set()
    for part in written.split(","):
        match = PART.fullmatch(part)
        try:
            if match is None:
                raise ValueError
            first = least if match["first"] == "*" else _number(match["first"], names)
            is_open = match["first"] == "*" or (match["step"] and not match["last"])
            last = most if is_open else _number(match["last"] or match["first"], names)
            step = int(match["step"] or 1)
            if not least <= first <= last <= most or step < 1 or (match["first"] == "*" and match["last"]):
                raise ValueError
        except ValueError:
            raise WorkflowError("schedule.invalid", f"{text!r}: {part!r} is no {name} ({least}-{most})") from None
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _number(written: str, names: dict[str, int]) -> int:
    return names[written.upper()] if written.upper() in names else int(written)


def parse_schedules(written: object) -> tuple[Cron, ...]:
    """One cron text, or a list of some. Raises WorkflowError `schedule.invalid`."""
    if written is None:
        return ()
    texts = [written] if isinstance(written, str) else written
    if not isinstance(texts, (list, tuple)) or not texts:
        raise WorkflowError("schedule.invalid", "schedules is a cron text, or a list of at least one")
    return tuple(Cron.parse(text) for text in texts)
