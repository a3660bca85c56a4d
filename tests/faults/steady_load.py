"""Clients that ask without a pause over kept-alive connections, and look at every byte that they get.

Three outcomes are told apart: an answer, whole and right; a connection refused, or reset before anything was asked
on it, which is what a server that has stopped looks like, and with which the client ends; and everything else, which
is a failed request.
"""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

CLIENTS_COUNT: Final = 8
ANSWER_TIMEOUT_S: Final = 60.0


@dataclass
class Load:
    """What `bodies` says each target of `host` must be. `goodbyes` counts answers with Connection: close."""

    port: int
    host: str
    bodies: Mapping[str, bytes]
    answers_count: int = 0
    goodbyes_count: int = 0
    refused_count: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int) -> None:
        """Until so many more answers have come."""
        with self._lock:
            wanted = self.answers_count + count
            assert self._lock.wait_for(lambda: self.answers_count >= wanted, ANSWER_TIMEOUT_S), self

    def run(self, targets: Iterator[str]) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_TIMEOUT_S)
            try:
                connection.connect()
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed in the middle of the handshake
                self._note(refused_count=1)
                return
            try:
                self._ask_on(connection, targets)
            except (OSError, http.client.HTTPException) as failure:
                self._note(failure=f"{type(failure).__name__}: {failure}")
            finally:
                connection.close()

    def _ask_on(self, connection: http.client.HTTPConnection, targets: Iterator[str]) -> None:
        is_last = False
        while not is_last and not self._stop.is_set():
            target = next(targets)
            connection.request("GET", target, headers={"Host": self.host})
            response = connection.getresponse()
            body = response.read()
            is_last = response.getheader("connection") == "close"
            wrong = response.status != 200 or body != self.bodies[target]
            failure = f"{target}: {response.status}, {len(body)} bytes" if wrong else None
            self._note(answers_count=1, goodbyes_count=int(is_last), failure=failure)

    def _note(
        self, *, answers_count: int = 0, goodbyes_count: int = 0, refused_count: int = 0, failure: str | None = None
    ) -> None:
        with self._lock:
            self.answers_count += answers_count
            self.goodbyes_count += goodbyes_count
            self.refused_count += refused_count
            if failure is not None:
                self.failures[failure] += 1
            self._lock.notify_all()

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def steady_load(
    port: int, host: str, bodies: Mapping[str, bytes], *, clients_count: int = CLIENTS_COUNT
) -> Iterator[Load]:
    """The clients ask while the block runs, or until they are refused."""
    load = Load(port, host, bodies)
    targets = sorted(bodies)
    clients = [
        threading.Thread(target=load.run, args=(cycle(targets[number % len(targets) :] + targets),))
        for number in range(clients_count)
    ]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.stop()
        for client in clients:
            client.join()
