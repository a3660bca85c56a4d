"""What systemd hands over and is told, through real sockets and real inherited descriptors."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from onehop.config import load_config
from onehop.listeners import LISTEN_FDS_START, NAMES, SocketsRefused, take_inherited
from onehop.service_manager import ServiceManager
from tests.conftest import STOP_TIMEOUT_S, exchange

UNITS: Final = Path(__file__).parents[2] / "docs" / "systemd"
ABSENT: Final = {"Host": "absent.pages.localhost"}
START: Final = f"""
import os, sys
environ = {{**os.environ, "LISTEN_PID": str(os.getpid())}}
for target, source in enumerate(map(int, filter(None, sys.argv[1].split(","))), {LISTEN_FDS_START}):
    os.dup2(source, target, inheritable=True)
os.execve(sys.executable, [sys.executable, "-m", "onehop", *sys.argv[2:]], environ)
"""


def command(folder: Path, sockets: list[socket.socket], *options: str) -> list[str]:
    """Hands the sockets over as a service manager does: from descriptor 3 on, told to just that process."""
    for each in sockets:
        os.set_inheritable(each.fileno(), True)
    descriptors = ",".join(str(each.fileno()) for each in sockets)
    return [sys.executable, "-c", START, descriptors, "serve", "--data", str(folder / "data"), "--json", "--workers",
            "1", *options]  # fmt: skip


@contextmanager
def activated(
    folder: Path, sockets: list[socket.socket], environ: Mapping[str, str], *options: str
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, int]]]:
    process = subprocess.Popen(
        command(folder, sockets, *options),
        stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}, close_fds=False,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_TIMEOUT_S) == 0


def high(listener: socket.socket) -> socket.socket:
    """Away from the descriptors that sockets are handed over at."""
    with listener:
        return socket.socket(fileno=fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 60))


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """The edges' and the API's."""
    with ExitStack() as stack:
        yield [stack.enter_context(high(socket.create_server(("127.0.0.1", 0), backlog=64))) for _ in NAMES]


def test_both_sockets_by_name_and_a_client_from_before_the_start(tmp_path: Path, sockets: list[socket.socket]) -> None:
    edge, api = sockets
    early = socket.create_connection(edge.getsockname())
    early.sendall(b"GET / HTTP/1.1\r\nHost: absent.pages.localhost\r\n\r\n")
    environ = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "api:edge"}
    with early, activated(tmp_path, [api, edge], environ) as (process, told):
        assert (told["edge_port"], told["api_port"]) == (edge.getsockname()[1], api.getsockname()[1])
        assert early.recv(13) == b"HTTP/1.1 404 "
        assert exchange(told["api_port"], "GET", "/healthz", {"Host": "127.0.0.1"}).status == 200
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children


def test_connections_wait_while_the_server_is_restarted(tmp_path: Path, sockets: list[socket.socket]) -> None:
    edge, _api = sockets
    environ = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "edge"}
    with activated(tmp_path, [edge], environ, "--api-port", "0") as (_, told):
        assert exchange(told["edge_port"], "GET", "/", ABSENT).status == 404
    with socket.create_connection(edge.getsockname(), timeout=STOP_TIMEOUT_S) as between:
        between.sendall(b"GET / HTTP/1.1\r\nHost: absent.pages.localhost\r\n\r\n")
        with activated(tmp_path, [edge], environ, "--api-port", "0"):
            assert between.recv(13) == b"HTTP/1.1 404 "


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "edge:edge"}, "named 'edge'"),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "edge:ftp"}, "FileDescriptorName="),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "edge"}, "at most one edge and one api"),
        ({"LISTEN_FDS": "9"}, "at most one edge and one api"),
    ],
)
def test_sockets_of_no_use_are_refused_in_one_line(
    tmp_path: Path, sockets: list[socket.socket], environ: dict[str, str], said: str
) -> None:
    assert said in refused(tmp_path, sockets, environ)


def test_what_is_no_listening_tcp_socket_is_refused(tmp_path: Path) -> None:
    with high(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as other:
        assert "isn't one that TCP connections come in at" in refused(tmp_path, [other], {"LISTEN_FDS": "1"})


def refused(folder: Path, sockets: list[socket.socket], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command(folder, sockets), env={**os.environ, **environ}, close_fds=False,
        capture_output=True, text=True, timeout=STOP_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_variables_of_another_process_are_ignored(tmp_path: Path) -> None:
    environ = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1", "NOTIFY_SOCKET": "nonsense"}
    process = subprocess.Popen(
        [sys.executable, "-m", "onehop", "serve", "--data", str(tmp_path / "data"), "--port", "0", "--api-port", "0",
         "--json"],
        env=environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        assert json.loads(process.stdout.readline())["edge_port"] > 0
        process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_it_tells_its_whole_life(tmp_path: Path, kind: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = str(tmp_path / "notify") if kind == "path" else f"@onehop-test-{os.getpid()}"
        manager.bind("\0" + name[1:] if name.startswith("@") else name)
        manager.settimeout(STOP_TIMEOUT_S)

        def told() -> dict[str, str]:
            """The next message that isn't the watchdog's."""
            while (message := manager.recv(4096).decode()) == "WATCHDOG=1":
                pass
            return dict(line.split("=", 1) for line in message.split("\n"))

        file = tmp_path / "onehop.toml"
        file.write_text("drain_s = 1\n")
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000"}
        options = ("--port", "0", "--api-port", "0", "--config", str(file))
        before_us = time.monotonic_ns() // 1000
        with activated(tmp_path, [], environ, *options) as (process, ports):
            assert told() == {
                "READY": "1",
                "STATUS": f"serving at port {ports['edge_port']}, API at port {ports['api_port']}",
            }
            process.send_signal(signal.SIGHUP)
            reloading = told()
            assert reloading["RELOADING"] == "1"
            assert before_us < int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert told()["READY"] == "1"
            file.write_text("nonsense")
            process.send_signal(signal.SIGHUP)
            assert told()["RELOADING"] == "1"
            refusal = told()
            assert refusal["READY"] == "1"
            assert "isn't TOML" in refusal["STATUS"]
            while manager.recv(4096) != b"WATCHDOG=1":
                pass
        assert told()["STOPPING"] == "1"


def test_a_manager_that_is_gone_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "absent")}
    manager = ServiceManager.of(environ)
    manager.ready()
    assert environ == {}


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({}, None),
    ],
)
def test_it_pings_twice_as_often_as_it_must(environ: dict[str, str], every_s: float | None) -> None:
    assert ServiceManager.of({"NOTIFY_SOCKET": "/absent", **environ}).ping_every_s == every_s


def test_the_units_in_the_docs_name_the_sockets_and_hand_over_what_is_understood() -> None:
    for name in NAMES:
        unit = RawConfigParser()
        unit.read(UNITS / f"onehop-{name}.socket")
        assert unit["Socket"]["FileDescriptorName"] == name
        assert unit["Socket"]["Service"] == "onehop.service"
    service = RawConfigParser()
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read(UNITS / "onehop.service")
    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["ExecReload"].endswith("-HUP $MAINPID")
    assert float(service["Service"]["TimeoutStopSec"]) > load_config({}, {}).drain_s


@pytest.mark.parametrize("value", ["x", "-1", "1.5", " 1", "\u0661", "9" * 5000])
@pytest.mark.parametrize("name", ["LISTEN_FDS", "LISTEN_PID"])
def test_what_is_no_number_of_sockets_or_of_a_process_is_refused_in_one_line(name: str, value: str) -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), name: value}
    with pytest.raises(SocketsRefused) as refused:
        take_inherited(environ)
    assert str(refused.value).startswith(f"{name} is ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "environ", [{"LISTEN_FDS": "1"}, {"LISTEN_PID": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {}]
)
def test_sockets_of_another_process_or_of_none_are_left_alone(environ: dict[str, str]) -> None:
    assert take_inherited(environ) == {}
    assert environ == {}
