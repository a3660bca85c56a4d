"""The composition root of functions in an edge worker: workerd's supervisor, the way to it, and the way back."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lru import LRU

from asset_server.message import Response
from control_plane.key_proofs import VARIABLES_KEY, settle_key
from control_plane.secret_files import SecretUnusable
from functions.bundle import BundleDamaged, BundleMissing, BundleStore
from functions.errors import WorkerdUnusable
from functions.event_sink import Ending, EventSink
from functions.installation import Workerd, examine
from functions.key_values import KeyValueStore
from functions.response_cache import ResponseCache
from functions.supervisor import Supervisor, SupervisorLimits
from functions.variable_seal import SealBroken, VariableSeal
from functions.worker_code import worker_code
from functions.workerd_config import render_config
from functions.workerd_process import RunFolder
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.workerd_choice import chosen_workerd
from router import error_pages
from router.edge import Edge
from router.event_log import event_log
from router.function_cache import FunctionCache
from router.function_door import CodeUnavailable, FunctionDoor
from router.function_kv import FunctionKeyValues
from router.function_listener import listening
from router.function_request import FunctionRequest
from router.function_stage import FunctionStage
from router.kv.errors import StoreError
from router.kv.store import Store
from router.metrics.function_meter import FunctionMeter
from router.metrics.slot import Cells
from router.pipeline import Pipeline

FOLDER_PREFIX: Final = "onehop-functions-"
SETTINGS_REMEMBERED_MAX: Final = 4_096
PASSABLE: Final = 0o711
PRIVATE: Final = 0o700
READABLE: Final = 0o644


class StoredFunctions:
    """What functions are made of, out of a data folder."""

    def __init__(self, bundles: BundleStore, seal: VariableSeal, workerd: Workerd, events: EventSink) -> None:
        self._bundles = bundles
        self._seal = seal
        self._workerd = workerd
        self._events = events
        self._opens_to_assets: LRU[str, bool] = LRU(SETTINGS_REMEMBERED_MAX)

    def code(self, pipeline: Pipeline) -> bytes:
        """Raises CodeUnavailable."""
        assert pipeline.function is not None, "the dispatcher asks for pipelines with a function"
        try:
            stored = self._bundles.read(pipeline.function)
            return worker_code(
                stored,
                lambda sealed, name: self._seal.open(sealed, site_no=pipeline.site_no, name=name),
                today=datetime.now(UTC).date(),
                newest=self._workerd.newest,
            )
        except (BundleMissing, BundleDamaged, SealBroken) as error:
            event_log().error("function.damaged", bundle=pipeline.function, what=str(error))
            raise CodeUnavailable(str(error)) from None

    def opens_to_assets(self, bundle: str) -> bool:
        """Whether its site wants assets where the function can't be run."""
        known: bool | None = self._opens_to_assets.get(bundle)
        if known is None:
            try:
                known = self._bundles.read(bundle).settings.get("fail_open") is True
            except (BundleMissing, BundleDamaged):
                known = False
            self._opens_to_assets[bundle] = known
        return known

    def note_events(self, pipeline: Pipeline, events: bytes) -> None:
        self._events.note(pipeline.function or "", events)

    def note_ending(self, request: FunctionRequest, ending: Ending) -> None:
        self._events.note_ending(request.bundle, ending, url=request.url, method=request.method)


class EdgeFunctions:
    """Everything that runs functions beside one edge worker. Built before the loop, started in it."""

    def __init__(self, edge: Edge, source: StoredFunctions, supervisor: Supervisor, folder: RunFolder,
                 keys: KeyValueStore, events: EventSink, meter: FunctionMeter,
                 *, dc: str, starts_at_once: bool) -> None:  # fmt: skip
        self._supervisor = supervisor
        self._folder = folder
        self._events = events
        self._starts_at_once = starts_at_once
        self._door = FunctionDoor(edge, source, FunctionKeyValues(keys), FunctionCache(ResponseCache(time.time)), meter)
        self._stage = FunctionStage(
            supervisor,
            opens_to_assets=source.opens_to_assets,
            watched_until_ms=events.watched_until_ms,
            note_ending=source.note_ending,
            cf={"colo": dc.upper(), "httpProtocol": "HTTP/1.1", "tlsVersion": "", "tlsCipher": ""},
            meter=meter,
            now_ns=time.monotonic_ns,
        )
        self._open = AsyncExitStack()
        self._is_unusable = False

    async def start(self) -> None:
        """Never fails: an edge that can't run functions serves assets."""
        try:
            await self._start()
        except OSError as error:
            event_log().error("functions.unusable", reason=str(error))
            self._is_unusable = True

    async def _start(self) -> None:
        await self._open.enter_async_context(
            listening(self._folder.edge_socket, self._door, lambda pid: pid in self._supervisor.pids)
        )
        await self._open.enter_async_context(self._events.writing())
        self._open.push_async_callback(self._supervisor.close)
        if self._starts_at_once:
            await self._supervisor.start()

    async def stop(self) -> None:
        await self._open.aclose()
        self._folder.remove()  # here too: a process that is killed at its deadline ends no block

    async def answer(
        self,
        request: FunctionRequest,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        from_assets: Callable[[], Response],
    ) -> int | Response:
        if self._is_unusable:
            return error_pages.functions_absent()
        return await self._stage.answer(request, receive, send, from_assets)


@contextmanager
def opened_functions(
    config: Config, folder: DataFolder, store: Store, edge: Edge, cells: Cells
) -> Iterator[EdgeFunctions | None]:
    """None where they can't be run: without a usable workerd, a folder for its sockets, or the store's key."""
    workerd = find_workerd(config)
    if workerd is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            run = stack.enter_context(run_folder())
            seal = VariableSeal(settle_key(store, folder.secrets / VARIABLES_KEY))
        except (OSError, SecretUnusable, StoreError) as error:
            event_log().error("functions.unusable", reason=str(error))
            yield None
            return
        keys = stack.enter_context(KeyValueStore.opened(folder.key_values))
        events = stack.enter_context(EventSink.opened(folder.events))
        bundles = BundleStore(folder.bundles)
        meter = FunctionMeter(cells)
        supervisor = Supervisor(
            workerd.program,
            run,
            limits=SupervisorLimits(resident_mib=config.functions_memory_mib),
            now_s=time.monotonic,
            tell=lambda event, fields: event_log().warning(event, **fields),
            meter=meter,
        )
        yield EdgeFunctions(
            edge, StoredFunctions(bundles, seal, workerd, events), supervisor, run, keys, events, meter,
            dc=config.dc, starts_at_once=next(bundles.ids(), None) is not None,
        )  # fmt: skip


def find_workerd(config: Config) -> Workerd | None:
    program = chosen_workerd(config)
    if program is None:
        return None
    try:
        return examine(program)
    except WorkerdUnusable as error:
        event_log().error("workerd.unusable", reason=str(error))
        return None


@contextmanager
def run_folder() -> Iterator[RunFolder]:
    """Sockets and configuration of this process, away from the data: its path may be longer than a socket's may be,
    and workerd's user mustn't need to pass through it."""
    remove_abandoned_folders()
    run = RunFolder(Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")))
    try:
        run.private.mkdir(mode=PRIVATE)
        run.config.write_text(render_config(str(run.edge_socket)), "utf-8")
        run.config.chmod(READABLE)
        run.root.chmod(PASSABLE if os.geteuid() == 0 else PRIVATE)
        yield run
    finally:
        run.remove()


def remove_abandoned_folders() -> None:
    """What workers that were killed left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0])
            if folder.lstat().st_uid == os.geteuid() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder)
