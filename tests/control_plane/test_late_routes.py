"""Routes that are loaded when they are first asked for are like the others: once loaded, and before."""

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Route

from control_plane.late_routes import LateRoutes


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


class Late:
    """An app with one route at once, `/early`, and one late, `/late/x`; counts how often it was loaded."""

    def __init__(self) -> None:
        self.loaded_count = 0
        routes = [Route("/early", answer, methods=["GET"]), LateRoutes(self.load, lambda _path: Match.PARTIAL)]
        self.app = Starlette(routes=routes)

    def load(self) -> list[BaseRoute]:
        self.loaded_count += 1
        return [Route("/late/{what}", answer, methods=["GET"])]

    async def ask(self, *requests: tuple[str, str]) -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://a.example") as client:
            answers = await asyncio.gather(*(client.request(method, path) for method, path in requests))
        return [each.status_code for each in answers]


async def test_nothing_is_loaded_for_what_needs_nothing() -> None:
    late = Late()
    assert await late.ask(("GET", "/early"), ("POST", "/early")) == [200, 405]
    assert late.loaded_count == 0


async def test_many_first_requests_load_once() -> None:
    late = Late()
    assert await late.ask(*[("GET", "/late/x")] * 20) == [200] * 20
    assert late.loaded_count == 1


async def test_methods_and_paths_that_nobody_has_are_refused_as_ever() -> None:
    assert await Late().ask(("POST", "/late/x"), ("GET", "/nothing")) == [405, 404]
