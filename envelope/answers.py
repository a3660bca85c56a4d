"""The envelope. Clients branch on `success` alone, and print the messages of `errors`; a body that isn't this JSON
means nothing to them. So every answer of an API is an envelope, whatever went wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from starlette.responses import Response

from envelope.errors import ApiError

JSON_HEADERS: Final = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",  # a commit message may hold anything; no browser is to guess at it
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `total_count` is of the whole list; `more` is told beside it, and as `messages` (code and
    text) what a reader of the list ought to know."""

    items: Sequence[object]
    page: int
    per_page: int
    total_count: int
    more: Mapping[str, object] = field(default_factory=dict)
    messages: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a list that is read on from where it ends. `cursor` None: this was its end."""

    items: Sequence[object]
    per_page: int
    cursor: str | None


def render_success(result: object) -> Response:
    """A handler that answers with more or less than a result has made its own answer."""
    if isinstance(result, Response):
        return result
    document: dict[str, object] = {"success": True, "errors": [], "messages": [], "result": result}
    if isinstance(result, Page | Part):
        document["result"] = result.items
        document["result_info"] = page_info(result) if isinstance(result, Page) else part_info(result)
    if isinstance(result, Page):
        document["messages"] = [{"code": code, "message": text} for code, text in result.messages]
    return render_body(document)


def render_body(document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), headers=JSON_HEADERS)


def page_info(page: Page) -> dict[str, object]:
    return {
        "page": page.page,
        "per_page": page.per_page,
        "count": len(page.items),
        "total_count": page.total_count,
        "total_pages": -(-page.total_count // page.per_page),
        **page.more,
    }


def part_info(part: Part) -> dict[str, object]:
    more = {"cursor": part.cursor} if part.cursor is not None else {}
    return {"per_page": part.per_page, "count": len(part.items), **more}


def render_error(error: ApiError) -> Response:
    document = {
        "success": False,
        "errors": [{"code": error.code, "message": error.message}],
        "messages": [],
        "result": None,
    }
    return Response(orjson.dumps(document), status_code=error.status, headers={**JSON_HEADERS, **error.headers})
