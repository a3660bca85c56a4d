"""The control plane's process: what it serves, and at which socket."""

import socket
import sys
from collections.abc import Callable
from typing import Final

from control_plane.secret_files import SecretUnusable
from onehop.config import Config, url_of
from onehop.control_plane_parts import opened_control_plane
from onehop.data_folder import DataFolder, DataFolderRefused
from onehop.processes import EXIT_START_REFUSED
from onehop.worker_server import Served, serve_app
from router.http1.limits import MIB, HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import held_slot
from router.protocol import strict_protocol

DRAINED_BYTES_MAX: Final = 8 * MIB
"""The API bounds each route's body itself; what it refuses early may still be on its way."""


def run_control_plane(
    config: Config,
    folder: DataFolder,
    listener: socket.socket,
    role: str,
    ready: Callable[[], object],
    *,
    edge_port: int,
    connections_count_max: int,
) -> None:
    limits = HttpLimits(connections_count_max=connections_count_max, drained_bytes_max=DRAINED_BYTES_MAX)
    try:
        with (
            held_slot(folder.metrics, role) as cells,
            opened_control_plane(config, folder, edge_port=edge_port) as served,
        ):
            folder.tell_api(url_of(config.api_host, listener.getsockname()[1]))
            meter = ListenerMeter(cells, "api")
            app = Served(served.app, strict_protocol(limits, meter), meter, config.drain_s, served.before_drain)
            serve_app(app, listener, ready)
    except (DataFolderRefused, SecretUnusable) as error:
        sys.stderr.write(f"onehop: {error}\n")
        raise SystemExit(EXIT_START_REFUSED) from None
