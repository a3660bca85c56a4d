"""A hundred changes of the policy, and some deploys, under load on two workers: nothing fails, nothing is stale.

Load comes over real connections, from as many clients as a trusted proxy says.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from time import monotonic
from typing import Final

from router.kv.schema import SITE_NO, Database
from router.kv.store import open_store
from router.policy import Policy, Scheme, Split
from router.policy_record import change_policy
from tests.conftest import LiveServer, Serve
from tests.plain_deploy import create_site, plain_deploy

SITE: Final = "flipped"
HOST: Final = f"{SITE}.pages.localhost"
FLIPS_COUNT: Final = 100
REQUESTS_A_FLIP: Final = 120
DEPLOY_EVERY_FLIPS: Final = 20
CLIENTS_COUNT: Final = 30_000
CLIENTS_ASKED_AGAIN: Final = 3_000
CONNECTIONS_COUNT: Final = 4
LIVE_WITHIN_S: Final = 0.05
JOIN_TIMEOUT_S: Final = 60
PINS: Final = [Scheme.HASHED, Scheme.LEGACY, Scheme.LEGACY_COMPILED]


@dataclass(frozen=True, slots=True)
class Served:
    """One answer: when it was asked for and when it was there, the arm it names, the version it shows."""

    client: str
    begun_s: float
    ended_s: float
    status: int
    arm: str
    version: int


@dataclass
class KeptConnection:
    """One client of keep-alive requests, as a proxy has it."""

    port: int
    open_socket: socket.socket | None = None

    def ask(self, client: str) -> Served:
        begun_s = monotonic()
        if self.open_socket is None:
            self.open_socket = socket.create_connection(("127.0.0.1", self.port), timeout=JOIN_TIMEOUT_S)
        self.open_socket.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {client}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        while len(body) < int(fields[b"content-length"]):
            body += self._receive()
        if fields.get(b"connection") == b"close":
            self.close()
        arm = fields[b"server-timing"].partition(b'desc="')[2].rstrip(b'"').decode()
        version = int(body.removeprefix(b"version "))
        return Served(client, begun_s, monotonic(), int(lines[0].split()[1]), arm, version)

    def _receive(self) -> bytes:
        assert self.open_socket is not None
        part = self.open_socket.recv(65536)
        assert part, "closed in the middle of an answer"
        return part

    def close(self) -> None:
        if self.open_socket is not None:
            self.open_socket.close()
            self.open_socket = None


@dataclass
class Load:
    """Connections that ask one after the other, until they are stopped or run out of clients."""

    port: int
    clients: Iterator[str]
    served: list[Served] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_over: bool = False

    def run(self) -> None:
        connection = KeptConnection(self.port)
        try:
            while not self.is_over:
                with self.changed:
                    client = next(self.clients, None)
                if client is None:
                    break
                answer = connection.ask(client)
                with self.changed:
                    self.served.append(answer)
                    self.changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # told by the test
            self.failures.append(error)
            with self.changed:
                self.changed.notify_all()
        finally:
            connection.close()

    def wait_for_more(self, requests_count: int) -> None:
        with self.changed:
            wanted = len(self.served) + requests_count
            assert self.changed.wait_for(lambda: len(self.served) >= wanted or self.failures, timeout=JOIN_TIMEOUT_S)


@contextmanager
def loaded(port: int, clients: Iterator[str], *, to_the_end: bool = False) -> Iterator[Load]:
    load = Load(port, clients)
    threads = [threading.Thread(target=load.run) for _ in range(CONNECTIONS_COUNT)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.is_over = not to_the_end
        for thread in threads:
            thread.join(timeout=JOIN_TIMEOUT_S)
    assert load.failures == []


def set_policy(server: LiveServer, change: Callable[[Policy], Policy]) -> float:
    """As `onehop policy set` does, without the time that a command takes to start. When it was in force."""
    with open_store(server.data / "kv") as store, store.write() as transaction:
        change_policy(transaction, change, who="test", when="now", why="", what="flip")
    return monotonic()


def site_no_of(server: LiveServer) -> int:
    with open_store(server.data / "kv") as store, store.read() as snapshot:
        key = snapshot.get(Database.SITE_NAMES, SITE.encode())
        assert key is not None
        return int(SITE_NO.unpack(key)[0])


def tell(figures: str) -> None:
    """Seen with `pytest -s` or after a failure: how much load it was is the machine's affair."""
    sys.stdout.write(figures + "\n")


def client_address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def deploy(server: LiveServer, version: int) -> float:
    plain_deploy(server, SITE, {"index.html": b"version %d" % version})
    return monotonic()


def test_a_hundred_flips_under_load_fail_no_request_and_serve_no_wrong_version(serve: Serve) -> None:
    server = serve("--workers", "2", "--trusted-proxies", "127.0.0.1")
    create_site(server, SITE)
    deploy(server, 0)
    site_no = site_no_of(server)
    set_policy(server, lambda policy: replace(policy, server_timing_everywhere=True))

    def pin_to(scheme: Scheme) -> float:
        return set_policy(server, lambda policy: replace(policy, pins={site_no: scheme}))

    live = [(0.0, 0)]  # (from when on at the latest, version)
    pinned: list[tuple[float, float, Scheme]] = []
    with loaded(server.edge_port, (client_address(each % 500) for each in count())) as load:
        for flip in range(FLIPS_COUNT):
            scheme = PINS[flip % len(PINS)]
            in_force_s = pin_to(scheme)
            if flip % DEPLOY_EVERY_FLIPS == DEPLOY_EVERY_FLIPS - 1:
                live.append((deploy(server, len(live)), len(live)))
            load.wait_for_more(REQUESTS_A_FLIP)
            pinned.append((in_force_s, monotonic(), scheme))
    served = load.served
    assert len(served) >= FLIPS_COUNT * REQUESTS_A_FLIP
    assert {answer.status for answer in served} == {200}
    seconds = served[-1].ended_s - served[0].begun_s
    tell(f"{len(served)} requests, {len(served) / seconds:.0f} a second, {FLIPS_COUNT} flips, {len(live) - 1} deploys")
    for answer in served:
        at_least = max(version for from_s, version in live if from_s + LIVE_WITHIN_S < answer.begun_s or version == 0)
        assert answer.version >= at_least, "an older version than was live"
    for in_force_s, until_s, scheme in pinned:
        arms = {
            answer.arm for answer in served
            if in_force_s + LIVE_WITHIN_S < answer.begun_s and answer.ended_s < until_s
        }  # fmt: skip
        assert arms <= {scheme.value}, "a flip that isn't in force after 50 ms"
    assert {answer.arm for answer in served} == {scheme.value for scheme in PINS}


def test_a_split_gives_each_arm_its_share_and_keeps_each_client_in_its_arm(serve: Serve) -> None:
    server = serve("--workers", "2", "--trusted-proxies", "127.0.0.1")
    create_site(server, SITE)
    deploy(server, 0)
    site_no, percent = site_no_of(server), 30.0

    def split(policy: Policy) -> Policy:
        return replace(policy, server_timing_everywhere=True, splits={site_no: Split(percent, Scheme.LEGACY_COMPILED)})

    set_policy(server, split)
    asked = [client_address(number) for number in (*range(CLIENTS_COUNT), *range(CLIENTS_ASKED_AGAIN))]
    with loaded(server.edge_port, iter(asked), to_the_end=True) as load:
        pass
    arm_of: dict[str, str] = {}
    for answer in load.served:
        assert answer.status == 200
        assert arm_of.setdefault(answer.client, answer.arm) == answer.arm, "a client has changed its arm"
    assert len(arm_of) == CLIENTS_COUNT
    hashed_percent = 100 * sum(arm == Scheme.HASHED for arm in arm_of.values()) / CLIENTS_COUNT
    seconds = load.served[-1].ended_s - load.served[0].begun_s
    tell(f"{hashed_percent:.2f} % hashed of {percent} % asked for, {len(load.served) / seconds:.0f} requests a second")
    assert abs(hashed_percent - percent) < 1
    assert set(arm_of.values()) == {Scheme.HASHED, Scheme.LEGACY_COMPILED}
