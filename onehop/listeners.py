"""The two sockets that `onehop serve` listens at: bound here, or handed over by a service manager.

Bound once, by the parent, and inherited by every worker: one queue of connections for all of them.
"""

import errno
import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

from onehop.config import variable_name
from onehop.errors import CommandFailed
from onehop.worker_server import BACKLOG

EDGE: Final = "edge"
API: Final = "api"
NAMES: Final = (EDGE, API)
LISTEN_FDS_START: Final = 3
"""sd_listen_fds(3): the first descriptor that is handed over."""
UNNAMED: Final = ("", "unknown")
NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class PortTaken(CommandFailed):
    """An address can't be listened at."""


class SocketsRefused(CommandFailed):
    """What the service manager handed over can't be listened at."""


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


def take_inherited(environ: MutableMapping[str, str]) -> Mapping[str, socket.socket]:
    """The sockets that a service manager opened for this process, by EDGE and API; none where there is no manager.

    Takes the variables out of `environ`: they are for this process alone. Raises SocketsRefused.
    """
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    given = environ.pop("LISTEN_FDNAMES", "")
    for name, value in ("LISTEN_PID", pid), ("LISTEN_FDS", count):
        if value and NUMBER.fullmatch(value) is None:
            raise SocketsRefused(f"{name} is {value[:40]!r}, not a number; it is for a service manager to set, "
                                 "unset it elsewhere")  # fmt: skip
    if not count or not pid or int(pid) != os.getpid():
        return {}
    names = given.split(":") if given else [""] * int(count)
    if int(count) > len(NAMES) or len(names) != int(count):
        raise SocketsRefused(f"the service manager handed over {count} sockets named {given!r}; at most one edge and "
                             "one api are of use (FileDescriptorName= in their .socket units)")  # fmt: skip
    taken: dict[str, socket.socket] = {}
    for index, told in enumerate(names):
        name = NAMES[index] if told in UNNAMED else told
        if name not in NAMES or name in taken:
            raise SocketsRefused(f"the service manager handed over a socket named {told!r}; set FileDescriptorName= "
                                 "of one .socket unit to edge, of the other to api")  # fmt: skip
        taken[name] = listening_socket(LISTEN_FDS_START + index, name)
    return taken


def listening_socket(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise SocketsRefused(f"what was handed over as {name} (descriptor {descriptor}): {error.strerror}") from None
    is_listening = listener.family in (socket.AF_INET, socket.AF_INET6) and listener.type == socket.SOCK_STREAM
    if not is_listening or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SocketsRefused(f"the socket handed over as {name} isn't one that TCP connections come in at; "
                             "its unit needs ListenStream= with a port, and Accept=no")  # fmt: skip
    return listener
