"""`onehop serve`: binds the sockets, proves the data folder, forks the processes, and says where everything is."""

import errno
import json
import resource
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from onehop.app_server import BACKLOG
from onehop.config import Config, variable_name
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.log_setup import configure_logs
from onehop.prepared_folder import prepare
from onehop.processes import Role, Supervisor
from router.http1.limits import HttpLimits

CONNECTIONS_MIN: Final = 16
OPEN_FILES_SPARE: Final = 256
"""Descriptors that connections leave to the store, the blobs and the loop."""
CONTROL_PLANE: Final = "control plane"


class PortTaken(CommandFailed):
    """An address can't be listened at."""


def run_serve(config: Config, *, as_json: bool = False) -> int:
    """Serves until told to stop; returns the exit code."""
    configure_logs(config.log_format)
    connections_count_max = max(CONNECTIONS_MIN, raise_open_files_limit() - OPEN_FILES_SPARE)
    edge_socket = listen(config.host, config.port, "--port")
    api_socket = listen(config.api_host, config.api_port, "--api-port")
    folder = prepare(config)
    edge_port, api_port = edge_socket.getsockname()[1], api_socket.getsockname()[1]

    def control_plane(ready: Callable[[], object]) -> None:
        edge_socket.close()
        from onehop.control_plane_process import run_control_plane

        run_control_plane(
            config, folder, api_socket, CONTROL_PLANE, ready,
            edge_port=edge_port, connections_count_max=connections_count_max,
        )  # fmt: skip

    def edge(name: str, ready: Callable[[], object]) -> None:
        api_socket.close()
        run_edge(config, folder, edge_socket, name, ready, connections_count_max=connections_count_max)

    supervisor = Supervisor(
        drain_s=config.drain_s, on_ready=lambda: tell(config, folder, edge_port, api_port, as_json=as_json)
    )
    # What a start takes is mostly imports. The control plane brings in its own while, on another processor, this
    # process brings in the edges', which they and their replacements share; one after the other would take 100 ms more.
    supervisor.start(Role(CONTROL_PLANE, control_plane))
    from onehop.edge_process import run_edge

    for number in range(1, config.workers + 1):
        supervisor.start(Role(name := f"edge {number}", partial(edge, name)))
    return supervisor.run()


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
