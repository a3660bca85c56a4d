"""The load of `loadtests.ttfb`: locust users that measure the time to the first byte of an answer.

A process of its own, pinned to a processor of its own. Each line on stdin is a job, each line on stdout what came of
it, as JSON. A user keeps one connection and asks again as soon as it has the whole answer; the time runs from before
the request is sent to when the first of the answer is here. Nothing is rounded, as locust's own statistics would.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, Final

import gevent
from locust import User, task
from locust.env import Environment

PORTS: Final = cycle(range(1, 65_536))
ANSWER_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Job:
    """Asks the hosts in turn, until `requests_max` are answered, or `seconds_max` have passed and `requests_min` are.

    `is_fresh`: each request spells its Host as none before did, by another port, so that no cached decision fits.
    """

    port: int
    hosts: list[str]
    users_count: int
    requests_min: int
    requests_max: int
    seconds_max: float
    is_fresh: bool
    times_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def requests(self) -> Iterator[bytes]:
        for number in count():
            host = self.hosts[number % len(self.hosts)]
            port = next(PORTS) if self.is_fresh else self.port
            yield (
                f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n"
                "User-Agent: loadtest\r\nAccept: text/html\r\nAccept-Encoding: gzip, br\r\n\r\n"
            ).encode("ascii")

    def run(self) -> dict[str, Any]:
        lines = self.requests()
        ends_s = time.perf_counter() + self.seconds_max

        class Visitor(User):
            def on_start(self) -> None:
                self.socket = socket.create_connection(("127.0.0.1", job.port))
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def on_stop(self) -> None:
                self.socket.close()

            @task
            def ask(self) -> None:
                asked = len(job.times_s) + len(job.failures)
                is_over = time.perf_counter() >= ends_s and asked >= job.requests_min
                if is_over or asked >= job.requests_max:
                    done.set()
                    gevent.sleep(3600)  # until the runner ends it
                took_s, status = exchange(self.socket, next(lines))
                self.environment.events.request.fire(
                    request_type="GET", name="/", response_time=took_s * 1000, response_length=0,
                    exception=None if status == b"200" else OSError(status.decode("latin-1")), context={},
                )  # fmt: skip

        job, done = self, gevent.event.Event()
        environment = Environment(user_classes=[Visitor], catch_exceptions=False)
        environment.events.request.add_listener(self._note)
        runner = environment.create_local_runner()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        runner.start(self.users_count, spawn_rate=self.users_count)
        done.wait()
        elapsed_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        runner.quit()
        return {"times_s": self.times_s, "failures": self.failures, "elapsed_s": elapsed_s, "cpu_s": cpu_s}

    def _note(self, response_time: float, exception: Exception | None, **_: object) -> None:
        if exception is None:
            self.times_s.append(response_time / 1000)
        else:
            self.failures.append(str(exception))


def exchange(connection: socket.socket, request: bytes) -> tuple[float, bytes]:
    """The time to the answer's first byte, and its status."""
    started_s = time.perf_counter()
    connection.sendall(request)
    data = connection.recv(ANSWER_BYTES)
    took_s = time.perf_counter() - started_s
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    missing = int(length or b"0") - len(body)
    while missing > 0:
        missing -= len(receive(connection))
    return took_s, head[9:12]


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(ANSWER_BYTES)
    if not data:
        raise SystemExit("the server closed a connection in the middle of an answer")
    return data


if __name__ == "__main__":
    # gevent's hub would wait for a pipe that it doesn't know of, so the lines are read from a plain file object.
    jobs = os.fdopen(os.dup(sys.stdin.fileno()))
    for line in jobs:
        print(json.dumps(Job(**json.loads(line)).run()), flush=True)
