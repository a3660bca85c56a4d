"""`onehop serve`: binds the sockets, proves the data folder, says what each worker does, and where everything is."""

import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Final

from onehop.access_log_parts import AccessLogUnusable, prove_access_log
from onehop.config import Config, ConfigRefused
from onehop.data_folder import DataFolder
from onehop.listeners import API, EDGE, listen, take_inherited
from onehop.log_setup import configure_logs
from onehop.prepared_folder import prepare
from onehop.processes import Role
from onehop.reload import settle
from onehop.service_manager import ServiceManager
from onehop.supervisor import Plan, ReloadRefused, Supervisor
from router.event_log import event_log
from router.http1.limits import HttpLimits

CONNECTIONS_MIN: Final = 16
OPEN_FILES_SPARE: Final = 256
"""Descriptors that connections leave to the store, the blobs and the loop."""
CONTROL_PLANE: Final = "control plane"


def run_serve(
    config: Config,
    *,
    read_again: Callable[[], Config],
    as_json: bool = False,
) -> int:
    """Serves until told to stop; returns the exit code. `read_again` reads the configuration for a reload."""
    configure_logs(config.log_format)
    connections_count_max = max(CONNECTIONS_MIN, raise_open_files_limit() - OPEN_FILES_SPARE)
    prove_access_log(config)
    manager, inherited = ServiceManager.of(os.environ), take_inherited(os.environ)
    edge_socket = inherited.get(EDGE) or listen(config.host, config.port, "--port")
    api_socket = inherited.get(API) or listen(config.api_host, config.api_port, "--api-port")
    workers = Workers(config, prepare(config), edge_socket, api_socket, connections_count_max)

    def replan() -> Plan:
        return workers.replan(read_again)

    def stop_listening() -> None:
        edge_socket.close()
        api_socket.close()

    manager.serving = f"serving at port {workers.edge_port}, API at port {workers.api_port}"
    return Supervisor(
        workers.plan(),
        on_ready=lambda: workers.tell(as_json=as_json),
        replan=replan,
        on_stop=stop_listening,
        manager=manager,
        meanwhile=load_the_edges,
    ).run()


def load_the_edges() -> None:
    """What a start takes is mostly imports. The control plane brings in its own while, on another processor, this
    process brings in the edges', which they and their heirs share; one after the other would take 100 ms more."""
    import_module("onehop.edge_process")


@dataclass(slots=True)
class Workers:
    """What runs in which process, under the configuration as it is now."""

    config: Config
    folder: DataFolder
    edge_socket: socket.socket
    api_socket: socket.socket
    connections_count_max: int
    edge_port: int = field(init=False)
    api_port: int = field(init=False)

    def __post_init__(self) -> None:
        self.edge_port, self.api_port = self.edge_socket.getsockname()[1], self.api_socket.getsockname()[1]

    def plan(self) -> Plan:
        # The roles keep this configuration, and so do processes that replace theirs, until the next reload.
        config = self.config
        edges = [
            Role(name, partial(self._run_edge, config, name))
            for name in (f"edge {number}" for number in range(1, config.workers + 1))
        ]
        # One control plane at a time has the folder's lock.
        control_plane = Role(CONTROL_PLANE, partial(self._run_control_plane, config), overlaps=False)
        return Plan([control_plane, *edges], config.drain_s)

    def replan(self, read_again: Callable[[], Config]) -> Plan:
        """Raises ReloadRefused."""
        try:
            config, kept = settle(self.config, read_again())
            prove_access_log(config)
        except (ConfigRefused, AccessLogUnusable) as refused:
            raise ReloadRefused(str(refused)) from None
        self.config = config
        configure_logs(config.log_format)
        if kept:
            event_log().warning("reload.kept", settings=kept, reason="only a restart changes them")
        return self.plan()

    def _run_edge(self, config: Config, role: str, ready: Callable[[], object]) -> None:
        self.api_socket.close()
        from onehop.edge_process import run_edge

        run_edge(config, self.folder, self.edge_socket, role, ready, connections_count_max=self.connections_count_max)

    def _run_control_plane(self, config: Config, ready: Callable[[], object]) -> None:
        self.edge_socket.close()
        from onehop.control_plane_process import run_control_plane

        run_control_plane(
            config, self.folder, self.api_socket, CONTROL_PLANE, ready,
            edge_port=self.edge_port, connections_count_max=self.connections_count_max,
        )  # fmt: skip

    def tell(self, *, as_json: bool) -> None:
        """Where everything is, on stdout: for people, or one JSON object for programs."""
        config = self.config
        if as_json:
            told = {
                "edge_port": self.edge_port,
                "api_port": self.api_port,
                "pages_domain": config.pages_domain,
                "workers": config.workers,
                "data": str(self.folder.root.resolve()),
            }
            sys.stdout.write(json.dumps(told) + "\n")
        else:
            api_host = f"[{config.api_host}]" if ":" in config.api_host else config.api_host
            workers = "1 worker" if config.workers == 1 else f"{config.workers} workers"
            sys.stdout.write(
                f"sites   {config.url_scheme}://SITE.{config.pages_domain}:{self.edge_port}  ({workers})\n"
                f"API     http://{api_host}:{self.api_port}/client/v4\n"
                f"token   in {self.folder.admin_token}\n"
            )
        sys.stdout.flush()


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
