"""Routes whose code is loaded when one of them is first asked for.

What a start takes is mostly imports. What most starts' first seconds don't ask for comes in here: the first request
waits for it, in a thread, while others are answered.
"""

import asyncio
from collections.abc import Callable, Sequence

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound, Router
from starlette.types import Receive, Scope, Send


class LateRoutes(BaseRoute):
    """One route that stands for all of `load`'s, which is called once, at most. `matches_as`: how far it speaks for a
    path. FULL is for paths that no other route has; PARTIAL for what the routes before it leave, so that a method that
    one of them refuses is refused by it."""

    def __init__(self, load: Callable[[], Sequence[BaseRoute]], matches_as: Callable[[str], Match]) -> None:
        self._load = load
        self._matches_as = matches_as
        self._loading = asyncio.Lock()
        self._router: Router | None = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (self._matches_as(scope["path"]) if scope["type"] == "http" else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._router is None:
            async with self._loading:
                if self._router is None:
                    routes = await asyncio.to_thread(self._load)
                    self._router = Router(routes, redirect_slashes=False)
        await self._router(scope, receive, send)
