"""30, 31: crowds that are slow on purpose, at a real server, while others ask on: these get every byte. What a crowd
costs them in time is loadtests.faults' to say."""

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from router.metrics.catalogue import CONNECTIONS_OPENED, REFUSALS
from router.metrics.reading import read_metrics
from tests.conftest import STOP_TIMEOUT_S, Serve
from tests.faults.steady_load import steady_load
from tests.faults.test_process_life import BODIES, HOST, deployed
from tests.real_parts import find_program

__all__ = ["deployed"]

MODES: Final = {
    "slow headers": ("-H", "-i", "1"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192"),
    "many ranges": ("-R", "-a", "5", "-b", "2000"),
    "slow reading": ("-X", "-k", "5", "-n", "1", "-w", "16", "-y", "64", "-z", "1"),
}
CONNECTIONS_EACH: Final = 100
ATTACK_S: Final = 3
READERS_COUNT: Final = 50
ROUNDS: Final = 30
ANSWERS_BETWEEN: Final = 20


def test_30_four_slow_attacks_at_once_spoil_nothing_for_others(deployed: Path, serve: Serve) -> None:
    slowhttptest = find_program("slowhttptest", debian_package="slowhttptest")
    server = serve("--drain", "1", "--limits", "head_s=2,window_s=2", data=deployed)
    before = read_metrics(deployed / "metrics")
    with steady_load(server.edge_port, HOST, BODIES) as load:
        attacks = {
            name: subprocess.Popen(
                [slowhttptest, *options, "-c", str(CONNECTIONS_EACH), "-r", str(CONNECTIONS_EACH), "-l", str(ATTACK_S),
                 "-u", f"http://127.0.0.1:{server.edge_port}/", "-v", "1"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for name, options in MODES.items()
        }  # fmt: skip
        for name, attack in attacks.items():
            out, _ = attack.communicate(timeout=STOP_TIMEOUT_S + ATTACK_S)
            assert attack.returncode == 0, f"{name}: {out}"
        load.wait_for(ANSWERS_BETWEEN)
    assert not load.failures
    assert load.refused_count == 0
    passed = read_metrics(deployed / "metrics").since(before)
    assert passed.count(CONNECTIONS_OPENED, listener="edge") > len(MODES) * CONNECTIONS_EACH
    assert passed.count(REFUSALS, listener="edge", reason="too slow") >= CONNECTIONS_EACH


def test_30_clients_that_take_a_byte_now_and_then_hold_nobody_up(deployed: Path, serve: Serve) -> None:
    server = serve("--drain", "1", data=deployed)
    request = f"GET /file-5.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.socket()) for _ in range(READERS_COUNT)]
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(STOP_TIMEOUT_S)
            reader.connect(("127.0.0.1", server.edge_port))
            reader.sendall(request * 20)
        taken = [b""] * READERS_COUNT
        with steady_load(server.edge_port, HOST, BODIES, clients_count=4) as load:
            for _ in range(ROUNDS):
                load.wait_for(ANSWERS_BETWEEN)
                taken = [before + reader.recv(1) for before, reader in zip(taken, readers, strict=True)]
    assert all(head.startswith(b"HTTP/1.1 200 OK\r\n") and len(head) == ROUNDS for head in taken)
    assert not load.failures
