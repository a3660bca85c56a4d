"""`onehop serve`: binds the sockets, proves the data folder, forks the workers, and says where everything is."""

import asyncio
import errno
import json
import resource
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import uvicorn

from onehop.config import Config, url_of, variable_name
from onehop.data_folder import DataFolder, DataFolderRefused
from onehop.edge_parts import opened_edge, prepare
from onehop.errors import CommandFailed
from onehop.listener_limits import with_limits
from onehop.log_setup import configure_logs
from onehop.processes import EXIT_START_REFUSED, Role, Supervisor
from router.http1.limits import MIB, HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import held_slot
from router.protocol import strict_protocol

BACKLOG: Final = 4096
CONNECTIONS_MIN: Final = 16
OPEN_FILES_SPARE: Final = 256
"""Descriptors that connections leave to the store, the blobs and the loop."""
CONTROL_PLANE: Final = "control plane"
API_DRAINED_BYTES_MAX: Final = 8 * MIB
"""The API bounds each route's body itself; what it refuses early may still be on its way."""


class PortTaken(CommandFailed):
    """An address can't be listened at."""


class ReadyServer(uvicorn.Server):
    """uvicorn's server that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object], before_drain: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready
        self._before_drain = before_drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_drain()
        await super().shutdown(sockets)


def run_serve(config: Config, *, as_json: bool = False, on_ready: Callable[[int, int], None] | None = None) -> int:
    """Serves until told to stop; returns the exit code. `on_ready` gets the edges' and the API's port."""
    configure_logs(config.log_format)
    connections_count_max = max(CONNECTIONS_MIN, raise_open_files_limit() - OPEN_FILES_SPARE)
    edge_socket = listen(config.host, config.port, "--port")
    api_socket = listen(config.api_host, config.api_port, "--api-port")
    folder = prepare(config)
    edge_port, api_port = edge_socket.getsockname()[1], api_socket.getsockname()[1]

    def run_edge(role: str, ready: Callable[[], object]) -> None:
        api_socket.close()
        limits = with_limits(HttpLimits(connections_count_max=connections_count_max), config.limits)
        with held_slot(folder.metrics, role) as cells, opened_edge(config, folder, cells) as edge:
            http = strict_protocol(limits, ListenerMeter(cells, "edge"), edge.door)
            serve_app(edge.app, edge_socket, config, ready, http=http)

    def run_control_plane(role: str, ready: Callable[[], object]) -> None:
        # Imported here, after the fork: its 200 ms then pass beside the edges' start and not before it.
        from control_plane.secret_files import SecretUnusable
        from onehop.control_plane_parts import opened_control_plane

        try:
            with (
                held_slot(folder.metrics, role) as cells,
                opened_control_plane(config, folder, edge_port=edge_port) as served,
            ):
                edge_socket.close()
                folder.tell_api(url_of(config.api_host, api_port))
                limits = HttpLimits(
                    connections_count_max=connections_count_max, drained_bytes_max=API_DRAINED_BYTES_MAX
                )
                serve_app(
                    served.app, api_socket, config, ready, http=strict_protocol(limits, ListenerMeter(cells, "api")),
                    before_drain=served.before_drain,
                )  # fmt: skip
        except (DataFolderRefused, SecretUnusable) as error:
            sys.stderr.write(f"onehop: {error}\n")
            raise SystemExit(EXIT_START_REFUSED) from None

    def announce() -> None:
        tell(config, folder, edge_port, api_port, as_json=as_json)
        if on_ready is not None:
            on_ready(edge_port, api_port)

    names = [f"edge {number}" for number in range(1, config.workers + 1)]
    roles = [(CONTROL_PLANE, run_control_plane), *((name, run_edge) for name in names)]
    return Supervisor(
        [Role(name, partial(run, name)) for name, run in roles], drain_s=config.drain_s, on_ready=announce
    ).run()


def raise_open_files_limit() -> int:
    """As many descriptors as this process may have, and how many that is; at most as many connections as an edge
    takes, since more would only cost table space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HttpLimits().connections_count_max + OPEN_FILES_SPARE
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
        soft = reachable
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)


def serve_app(
    app: Any,
    listener: socket.socket,
    config: Config,
    ready: Callable[[], object],
    *,
    http: type[asyncio.Protocol],
    before_drain: Callable[[], object] = lambda: None,
) -> None:
    """One process's event loop, until SIGTERM has been honoured. The app is told of its start and end."""
    settings = uvicorn.Config(
        app,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(config.drain_s)),
    )
    server = ReadyServer(settings, ready, before_drain)
    with server.capture_signals():
        asyncio.Runner(loop_factory=settings.get_loop_factory()).run(server._serve([listener]))


def listen(host: str, port: int, option: str) -> socket.socket:
    """Raises PortTaken. Children inherit the socket."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            option = option.replace("port", "host")
        other = "if that is another 'onehop serve', stop it first, or " if error.errno == errno.EADDRINUSE else ""
        variable = variable_name(option.removeprefix("--").replace("-", "_"))
        raise PortTaken(
            f"can't listen at {host} port {port}: {error.strerror}; {other}choose another with {option} or {variable}"
        ) from None
    return listener


def tell(config: Config, folder: DataFolder, edge_port: int, api_port: int, *, as_json: bool) -> None:
    """Where everything is, on stdout: for people, or one JSON object for programs."""
    if as_json:
        told = {
            "edge_port": edge_port,
            "api_port": api_port,
            "pages_domain": config.pages_domain,
            "workers": config.workers,
            "data": str(folder.root.resolve()),
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        api_host = f"[{config.api_host}]" if ":" in config.api_host else config.api_host
        workers = "1 worker" if config.workers == 1 else f"{config.workers} workers"
        sys.stdout.write(
            f"sites   {config.url_scheme}://SITE.{config.pages_domain}:{edge_port}  ({workers})\n"
            f"API     http://{api_host}:{api_port}/client/v4\n"
            f"token   in {folder.admin_token}\n"
        )
    sys.stdout.flush()
