"""`onehop workflow worker`: runs the workflows of a Python module, until told to stop, and then lets them finish well.

Any number of workers may run beside each other, with one data folder on one machine; they share the instances.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import uvicorn
import uvloop

from onehop.errors import CommandFailed
from onehop.listeners import listen
from router.http1.limits import HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import unshared_cells
from router.protocol import strict_protocol
from workflows import Limits, Timing, Workflow, open_engine
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi
from workflows.rest.standalone import create_app
from workflows.workflow import name_of

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEBUG_VARIABLE = "ONEHOP_DEBUG"
LOCAL_DRAIN_S = 2
LEAVE_S = 5.0  # what the engine takes to end after its drain, at most, and some more


class ModuleRefused(CommandFailed):
    """The module can't be imported, or has no workflow; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`max_running`: instances that run at once, of each workflow, over all workers. `drain_s`: time to finish;
    `leave_s`: after that, for code that doesn't end when it is told to. `local_port`: where the API is open to this
    machine's programs; None: nowhere. `retry_jitter`: as in Timing."""

    store: Path
    max_running: int
    drain_s: float
    local_port: int | None = None
    leave_s: float = LEAVE_S
    retry_jitter: float = 0.0


def load_workflows(modules: Sequence[str]) -> list[type[Workflow]]:
    """Every workflow that the modules define, each once. Raises ModuleRefused."""
    found: dict[str, type[Workflow]] = {}
    for name in modules:
        module = load_module(name)
        defined = [each for each in vars(module).values() if is_workflow(each) and each.__module__ == module.__name__]
        if not defined:
            raise ModuleRefused(f"{name} defines no workflow; a workflow is a class that extends workflows.Workflow")
        for workflow in defined:
            known = found.setdefault(name_of(workflow), workflow)
            if known is not workflow:
                raise ModuleRefused(
                    f"two workflows are named {name_of(workflow)}: {known.__qualname__} of {known.__module__} and "
                    f"{workflow.__qualname__} of {workflow.__module__}; give one another 'name'"
                )
    return list(found.values())


def is_workflow(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Workflow) and value.run is not Workflow.run


def load_module(name: str) -> ModuleType:
    """By its dotted name, found from the folder that one is in as well, or by its file's path. Raises ModuleRefused."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # what `python -m` does too
    is_file = name.endswith(".py")
    if is_file and not Path(name).is_file():
        raise ModuleRefused(f"there is no file {name}")
    if not is_file and (name.startswith(".") or os.sep in name):
        raise ModuleRefused(f"{name} is neither a module's name, such as my_workflows, nor a file that ends in .py")
    try:
        return load_file(Path(name)) if is_file else importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = f"there is no module {error.name}"
        told = missing if error.name and name.startswith(error.name) else f"{name} needs a module {error.name}"
        raise ModuleRefused(f"{told}; name one that Python finds from here, or a file such as ./flows.py") from None
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ModuleRefused(
            f"{name} can't be imported: {type(error).__name__}: {error} ({place.filename}, line {place.lineno}); "
            f"{DEBUG_VARIABLE}=1 shows all of it"
        ) from None


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # whoever pickles, or asks for a class's module, finds it there
    spec.loader.exec_module(module)
    return module


def run_until_stopped(
    workflows: Sequence[type[Workflow]], options: WorkerOptions, *, on_ready: Callable[[], None]
) -> None:
    """Returns when it was told to stop (SIGTERM, Ctrl-C) and has drained; a second signal doesn't wait for that. Nor
    does the process wait for code that swallows its cancellation, or never gives its thread back: it ends some seconds
    after `drain_s`, whatever runs. Raises StoreError, also once the store was found damaged."""
    options.store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(workflows, options, on_ready))


async def work(workflows: Sequence[type[Workflow]], options: WorkerOptions, on_ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    ending = Ending(loop, stop, options.drain_s + options.leave_s)
    for number in STOP_SIGNALS:  # not by the loop, which code that holds its thread would keep from hearing of it
        signal.signal(number, ending.begin)
    limits = Limits(max_running=options.max_running, running_per_worker=options.max_running)
    timing = Timing(drain_ms=round(options.drain_s * 1000), retry_jitter=options.retry_jitter)
    async with (
        open_engine(options.store, workflows, limits=limits, timing=timing) as engine,
        AsyncExitStack() as stack,
    ):
        if options.local_port is not None:
            await stack.enter_async_context(local_session(options.store, options.local_port))
        on_ready()
        engine.worker.damage.add_done_callback(lambda _: stop.set())
        await stop.wait()
        if engine.worker.damage.done():
            ending.begin()
            raise engine.worker.damage.result()


@asynccontextmanager
async def local_session(store: Path, port: int) -> AsyncIterator[None]:
    """The API without tokens, on this machine's loopback address: for `wrangler workflows … --local`."""
    listener = listen("127.0.0.1", port, "--local-port")
    api = WorkflowsApi(Desk(store))
    meter = ListenerMeter(unshared_cells(), "api")  # nobody asks this process for its metrics
    server = LocalServer(
        uvicorn.Config(
            create_app(api), http=strict_protocol(HttpLimits(), meter), ws="none", lifespan="off", access_log=False,
            log_config=None, server_header=False, proxy_headers=False, timeout_graceful_shutdown=LOCAL_DRAIN_S,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        api.end_streams()
        server.should_exit = True
        await serving
        await api.close()


class LocalServer(uvicorn.Server):
    """Leaves signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Ending:
    """The process's end: asked for once it sets `stop`, and is over `leave_s` later at the latest; asked for twice it
    is over at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, leave_s: float) -> None:
        self._loop = loop
        self._stop = stop
        self._leave_s = leave_s
        self._has_begun = False

    def begin(self, *_: object) -> None:
        """A signal's handler too."""
        if self._has_begun:
            leave("leaving without waiting")
        self._has_begun = True
        late = threading.Timer(self._leave_s, leave, ["code of a workflow goes on after its end; leaving without it"])
        late.daemon = True
        late.start()
        self._loop.call_soon_threadsafe(self._stop.set)


def leave(why: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"onehop: {why}; what ran is taken up again after its lease\n")
    os._exit(1)
