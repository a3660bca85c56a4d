"""An edge worker's process: what it serves, and at which socket."""

import socket
from collections.abc import Callable

from onehop.access_log_parts import access_log_of
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.edge_parts import opened_edge
from onehop.listener_limits import with_limits
from onehop.worker_server import Served, serve_app
from router.http1.limits import HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import held_slot
from router.ready_protocol import ready_protocol


def run_edge(
    config: Config,
    folder: DataFolder,
    listener: socket.socket,
    role: str,
    ready: Callable[[], object],
    *,
    connections_count_max: int,
) -> None:
    limits = with_limits(HttpLimits(connections_count_max=connections_count_max), config.limits)
    with (
        held_slot(folder.metrics, role) as cells,
        access_log_of(config, cells) as log,
        opened_edge(config, folder, cells) as edge,
    ):
        meter = ListenerMeter(cells, "edge")
        http = ready_protocol(limits, meter, edge.door, log)
        serve_app(Served(edge.app, http, meter, config.drain_s), listener, ready)
