"""Which page of a list a query string asks for."""

from collections.abc import Mapping
from typing import Final

from envelope.errors import ValueRefused

PER_PAGE_DEFAULT: Final = 25
PER_PAGE_MAX: Final = 100
PAGE_MAX: Final = 1_000_000


def parse_paging(query: Mapping[str, str], *, per_page_max: int = PER_PAGE_MAX) -> tuple[int, int]:
    """(page, items per page). Raises ValueRefused."""
    return (
        bounded_number("page", query.get("page"), default=1, maximum=PAGE_MAX),
        bounded_number("per_page", query.get("per_page"), default=PER_PAGE_DEFAULT, maximum=per_page_max),
    )


def bounded_number(name: str, text: str | None, *, default: int, maximum: int) -> int:
    """From 1; `default` where there is none. Raises ValueRefused."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= maximum):
        raise ValueRefused(f"{name} must be a whole number from 1 to {maximum}")
    return int(text)
