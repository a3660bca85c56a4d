"""What a caller wants to see of a list, parsed from the query string."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from envelope.errors import ValueRefused
from envelope.paging import PAGE_MAX, PER_PAGE_DEFAULT, PER_PAGE_MAX, bounded_number
from workflows.states import LIVE, Status
from workflows.store.cursor import Direction, InstanceFilter

SEARCH_CHARACTERS_MAX: Final = 271
EVENT_ID_DIGITS_MAX: Final = 18
STATUS_NAMES: Final = tuple(status.api_name for status in Status)
LIVE_STATUS_NAMES: Final = tuple(status.api_name for status in sorted(LIVE))
BUCKET_MINUTES: Final[Mapping[str, int]] = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "1d": 1440}
MINUTE_MS: Final = 60_000
METRICS_DEFAULT_MS: Final = 24 * 60 * MINUTE_MS
METRICS_BUCKETS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class InstanceQuery:
    """One stretch of a workflow's instances. `cursor` goes on where a list before it ended; or else `page` counts."""

    which: InstanceFilter
    per_page: int = PER_PAGE_DEFAULT
    cursor: str | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class MetricsQuery:
    """Epoch ms, start included, end not."""

    from_ms: int
    to_ms: int
    bucket_minutes: int
    by_step: bool


def parse_instance_query(query: Mapping[str, str]) -> InstanceQuery:
    """Raises ValueRefused."""
    search = query.get("search", "")
    if len(search) > SEARCH_CHARACTERS_MAX:
        raise ValueRefused(f"search must be at most {SEARCH_CHARACTERS_MAX} characters")
    if query.get("cursor") and query.get("page"):
        raise ValueRefused("cursor and page exclude each other")
    return InstanceQuery(
        which=InstanceFilter(
            status=parse_status(query.get("status"), STATUS_NAMES),
            from_ms=parse_time("date_start", query.get("date_start")),
            to_ms=parse_time("date_end", query.get("date_end")),
            search=search or None,
            direction=parse_order(query.get("direction") or query.get("order"), default="desc"),
        ),
        per_page=bounded_number("per_page", query.get("per_page"), default=PER_PAGE_DEFAULT, maximum=PER_PAGE_MAX),
        cursor=query.get("cursor") or None,
        page=bounded_number("page", query.get("page"), default=1, maximum=PAGE_MAX),
    )


def parse_status(text: str | None, accepted: Sequence[str]) -> Status | None:
    if not text:
        return None
    if text not in accepted:
        raise ValueRefused(f"status must be one of {', '.join(accepted)}")
    return Status.parse(text)


def parse_order(text: str | None, *, default: Direction) -> Direction:
    match text:
        case None | "":
            return default
        case "asc" | "desc":
            return text
        case _:
            raise ValueRefused("the order must be asc or desc")


def parse_metrics_query(query: Mapping[str, str], *, now: int) -> MetricsQuery:
    """`now` is epoch ms. Raises ValueRefused."""
    bucket = query.get("bucket") or "1h"
    minutes = parse_bucket(bucket)
    groups = {each for each in query.get("group_by", "event").split(",") if each}
    if not groups <= {"event", "step"}:
        raise ValueRefused("group_by must be event, or event,step")
    end, start = parse_time("to", query.get("to")), parse_time("from", query.get("from"))
    to_ms = end if end is not None else now + MINUTE_MS
    from_ms = start if start is not None else to_ms - METRICS_DEFAULT_MS
    if not 0 <= (to_ms - from_ms) // (minutes * MINUTE_MS) <= METRICS_BUCKETS_MAX:
        raise ValueRefused(f"from must be before to, and at most {METRICS_BUCKETS_MAX} buckets of {bucket}")
    return MetricsQuery(from_ms, to_ms, minutes, by_step="step" in groups)


def parse_bucket(text: str) -> int:
    """Minutes."""
    if text not in BUCKET_MINUTES:
        raise ValueRefused(f"bucket must be one of {', '.join(BUCKET_MINUTES)}")
    return BUCKET_MINUTES[text]


def parse_time(name: str, text: str | None) -> int | None:
    """Epoch ms of an ISO 8601 time with a zone."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            raise ValueError(text)
        return (parsed.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ValueRefused(f"{name} must be an ISO 8601 time with its zone, such as 2026-01-01T00:00:00Z") from None


def parse_event_id(text: str | None) -> int:
    """0 for none: before the first one. Raises ValueRefused."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= EVENT_ID_DIGITS_MAX):
        raise ValueRefused("after and Last-Event-ID must be the number of an event")
    return int(text)
