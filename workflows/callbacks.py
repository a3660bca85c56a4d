"""Calls an author's function, whatever it does: waits for it, gives it up after its time, survives its exits.

A coroutine function runs as a task of its own on the loop, so that it can be cancelled without its caller; any other
function runs on a thread, and what it returns is awaited if it can be. A thread can't be stopped: one that is given
up runs on unheard, its place among the threads is filled by a new one, up to a bound: past it attempts fail.

What forks leaves a child with a copy of the whole worker. It may do what it was forked for and end itself; where it
would go on as if it were the worker, it is ended.
"""

import asyncio
import contextvars
import inspect
import logging
import os
import queue
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from workflows.errors import WorkflowInternalError

Result = TypeVar("Result")
FORKED_EXIT_CODE: Final = 70  # EX_SOFTWARE

CROWDED_S: Final = 0.1

log = logging.getLogger("workflows")


class CallbackExit(Exception):
    """A callback raised SystemExit or KeyboardInterrupt: it may end itself, not the worker."""


@dataclass(frozen=True, slots=True)
class Returned(Generic[Result]):
    """What a callback gave, and the CPU time of the thread that ran it."""

    value: Result
    cpu_ms: int


def is_async(callback: Callable[..., Any]) -> bool:
    unwrapped = callback
    while isinstance(unwrapped, partial):
        unwrapped = unwrapped.func
    code = getattr(unwrapped, "__code__", None)
    if code is not None:
        return bool(code.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(unwrapped) or inspect.iscoroutinefunction(getattr(unwrapped, "__call__", None))  # noqa: B004


def takes_argument(callback: Callable[..., Any]) -> bool:
    """Whether it asks for one: a first positional parameter without a default, or one named `ctx`.

    A parameter with a default is the author's own, as in `lambda item=item: ...`.
    """
    function = getattr(callback, "__func__", callback)
    code = getattr(function, "__code__", None)
    if code is not None:  # a plain function or method, read in a tenth of the time that a signature takes
        first = 1 if function is not callback else 0
        if code.co_argcount <= first:
            return bool(code.co_flags & inspect.CO_VARARGS)
        defaults_count = len(function.__defaults__ or ())
        return bool(code.co_argcount - defaults_count > first or code.co_varnames[first] == "ctx")
    try:
        parameters = list(inspect.signature(callback).parameters.values())
    except (TypeError, ValueError):  # some built-ins have none
        return False
    if not parameters:
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    asks = parameters[0].kind in positional and parameters[0].default is inspect.Parameter.empty
    return asks or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL


class CallbackThreads:
    """Daemon threads for functions that are no coroutines; at most `count_max` that anyone still waits for, and
    `given_up_max` that nobody does."""

    def __init__(self, count_max: int, given_up_max: int) -> None:
        self._room = asyncio.Semaphore(count_max)
        self._given_up_count = 0
        self._given_up_max = given_up_max
        self._idle: list[queue.SimpleQueue[Callable[[], None] | None]] = []

    async def run(self, function: Callable[[], Result]) -> Returned[Result]:
        """On cancellation the thread is given up: it goes on, and its result goes nowhere. Raises WorkflowInternalError
        where too many were."""
        await self._pass_crowd()
        async with self._room:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Returned[Result]] = loop.create_future()
            inbox = self._idle.pop() if self._idle else self._start()
            context = contextvars.copy_context()
            pid = os.getpid()
            is_over, is_given_up = False, False

            def call() -> None:
                began = time.thread_time()
                value: Any = None
                error: BaseException | None = None
                try:
                    value = context.run(function)
                except BaseException as raised:  # noqa: BLE001 - carried over to the loop
                    error = raised
                if os.getpid() != pid:
                    os._exit(FORKED_EXIT_CODE)
                cpu_ms = round((time.thread_time() - began) * 1000)
                try:
                    loop.call_soon_threadsafe(tell, value, error, cpu_ms)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return

            def tell(value: Any, error: BaseException | None, cpu_ms: int) -> None:
                nonlocal is_over
                is_over = True
                self._given_up_count -= is_given_up
                self._idle.append(inbox)
                if future.done():
                    return
                if error is None:
                    future.set_result(Returned(value, cpu_ms))
                elif isinstance(error, (SystemExit, KeyboardInterrupt, StopIteration)):
                    future.set_exception(_exit_of(error))
                else:
                    future.set_exception(error)

            inbox.put(call)
            try:
                return await future
            except asyncio.CancelledError:
                is_given_up = not is_over
                self._note_given_up(is_given_up)
                raise

    async def _pass_crowd(self) -> None:
        """Waits a moment for one to return: refused at once, retries without delay would do nothing but write."""
        if self._given_up_count < self._given_up_max:
            return
        await asyncio.sleep(CROWDED_S)
        if self._given_up_count >= self._given_up_max:
            raise WorkflowInternalError(
                f"{self._given_up_count} callbacks of this worker go on after they were given up, limit "
                f"{self._given_up_max}: no other is begun on a thread. Find the one that doesn't return, and restart "
                "the worker"
            )

    def _note_given_up(self, count: int) -> None:
        self._given_up_count += count
        if count and self._given_up_count == self._given_up_max:
            log.error("callbacks.given_up count=%d: no other is begun on a thread", self._given_up_count)

    def _start(self) -> "queue.SimpleQueue[Callable[[], None] | None]":
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

        def serve() -> None:
            while (call := inbox.get()) is not None:
                call()

        threading.Thread(target=serve, name="workflows-callback", daemon=True).start()
        return inbox

    def close(self) -> None:
        """Ends the idle threads; those that were given up end with the process."""
        for inbox in self._idle:
            inbox.put(None)
        self._idle.clear()


async def call(callback: Callable[..., Any], arguments: tuple[Any, ...], threads: CallbackThreads) -> Returned[Any]:
    """Raises what it raised; CallbackExit for an exit. To be run as a task of its own."""
    try:
        if is_async(callback):
            began = time.thread_time()
            value = await in_this_process(callback(*arguments))
            return Returned(value, round((time.thread_time() - began) * 1000))
        returned = await threads.run(partial(callback, *arguments))
        if inspect.iscoroutine(returned.value):
            return Returned(await in_this_process(returned.value), returned.cpu_ms)
        if isinstance(returned.value, Awaitable):
            return Returned(await returned.value, returned.cpu_ms)
        return returned
    except (SystemExit, KeyboardInterrupt) as exit_:
        raise _exit_of(exit_) from exit_


@types.coroutine
def in_this_process(author: Coroutine[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """Awaits `author`. A child that it forks ends at its first standstill, before the event loop (a copy of ours, on
    our sockets) goes on in it, or at its end."""
    pid = os.getpid()
    go_on: Callable[[], Any] = partial(author.send, None)
    while True:
        try:
            awaited = go_on()
        except StopIteration as returned:
            result: Result = returned.value
            return result
        finally:
            if os.getpid() != pid:
                os._exit(FORKED_EXIT_CODE)
        try:
            go_on = partial(author.send, (yield awaited))
        except BaseException as thrown:  # noqa: BLE001 - whatever it is, it is the author's to see
            go_on = partial(author.throw, thrown)


def _exit_of(error: BaseException) -> CallbackExit:
    return CallbackExit(f"the callback raised {type(error).__name__}({error}); a worker does not exit by it")
