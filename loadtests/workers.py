"""Which worker has taken a connection, from the kernel's own tables; and connections that cover every worker.

The workers share one listening socket, and whichever wakes first takes a connection: eight of them may all be one
worker's, and then say nothing of the others. Linux only.
"""

import http.client
from collections import Counter
from pathlib import Path
from typing import Final

from loadtests.server import Server

TRIES_MAX: Final = 2_000
WARM_UP_HOST: Final = "nobody.invalid"
TCP: Final = Path("/proc/net/tcp")


def spread_connections(server: Server, *, workers_count: int, each_count: int) -> list[http.client.HTTPConnection]:
    """As many kept-alive connections to each worker. Those that would be too many for one are closed again."""
    kept: list[http.client.HTTPConnection] = []
    surplus: list[http.client.HTTPConnection] = []
    of_worker: Counter[int] = Counter()
    for _ in range(TRIES_MAX):
        connection = http.client.HTTPConnection("127.0.0.1", server.edge_port, timeout=30)
        connection.request("GET", "/", headers={"Host": WARM_UP_HOST})
        connection.getresponse().read()  # now a worker has taken it
        pid = worker_of(server, connection)
        if of_worker[pid] < each_count:
            of_worker[pid] += 1
            kept.append(connection)
        else:
            surplus.append(connection)
        if len(of_worker) == workers_count and min(of_worker.values()) == each_count:
            break
    else:
        raise SystemExit(f"after {TRIES_MAX} connections the workers had {dict(of_worker)}, not {each_count} each")
    for connection in surplus:
        connection.close()
    return kept


def worker_of(server: Server, connection: http.client.HTTPConnection) -> int:
    """The process that holds the other end."""
    inode = inode_of(server.edge_port, connection.sock.getsockname()[1])
    for pid in server.workers_pids():
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(entry.readlink()) == f"socket:[{inode}]":
                    return pid
            except FileNotFoundError:
                continue  # closed since the folder was read
    raise SystemExit(f"no worker holds the connection from port {connection.sock.getsockname()[1]}")


def inode_of(server_port: int, client_port: int) -> int:
    """Of the server's socket of a connection over loopback (proc_pid_net(5), "tcp")."""
    for line in TCP.read_text().splitlines()[1:]:
        fields = line.split()
        if [int(each.rpartition(":")[2], 16) for each in fields[1:3]] == [server_port, client_port]:
            return int(fields[9])
    raise SystemExit(f"the kernel knows no connection from port {client_port} to port {server_port}")
