"""Steps in decorator form: a graph of functions whose results feed each other, over the same `step.do`.

@step.do("fetch")
async def fetch(): ...

@step.do("report", depends=[fetch], concurrent=True)
async def report(fetched): ...

await report()      # runs `fetch` first, unless it has run, and passes its result
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Do = Callable[..., Awaitable[Any]]


class DecoratedStep(Generic[Result]):
    """Callable without arguments; within one lifetime it runs once, later calls give the same result or error."""

    def __init__(
        self, do: Do, name: str, function: Callable[..., Any], *, depends: Sequence["DecoratedStep[Any]"],
        concurrent: bool, config: Any,
    ) -> None:  # fmt: skip
        self._do = do
        self._name = name
        self._function = function
        self._depends = depends
        self._concurrent = concurrent
        self._config = config
        self._undo: Callable[..., Any] | None = None
        self._running: asyncio.Task[Result] | None = None

    def undo(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates the function that undoes this step; see `rollback` of `step.do`."""
        self._undo = function
        return function

    async def __call__(self) -> Result:
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
        return await asyncio.shield(self._running)

    async def _run(self) -> Result:
        if self._concurrent:
            results = await asyncio.gather(*(step() for step in self._depends))
        else:
            results = [await step() for step in self._depends]
        function = self._function
        undo = {"rollback": self._undo} if self._undo is not None else {}
        result: Result = await self._do(
            self._name, self._config, partial(function, *results) if results else function, **undo
        )
        return result
