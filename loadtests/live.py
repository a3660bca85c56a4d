"""From asking for a deploy, a rollback or a deletion to the last worker that shows it.

Eight connections, four of each worker, ask for two files in turn without a pause while the API is called from another
thread. The time counts from before that call, so that the request and its commit are in it. Also counted: answers that
are neither the old state nor the new one whole, and connections that saw either file of the old state again after one
of the new. Goal: at most 50 ms after the commit in 99 of 100, and none of those.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.live` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from asset_server.asset_keys import asset_key
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from loadtests.workers import spread_connections

WORKERS: Final = 2
CONNECTIONS_EACH: Final = 4
GOAL_S: Final = 0.05
AFTERWARDS_S: Final = 0.03
WAIT_S_MAX: Final = 5.0
SITE: Final = "live"
DOMAIN: Final = "pages.localhost"
PROJECT: Final = f"/client/v4/accounts/onehop/pages/projects/{SITE}"
FILES: Final = {
    name: {"/index.html": f"{name} ".encode() * 500, "/app.js": f"// {name} ".encode() * 300} for name in ("one", "two")
}
TARGETS: Final = {"/": "/index.html", "/app.js": "/app.js"}
"""What is asked for, and the file that it is."""
BOUNDARY: Final = "----loadtest"


def call(server: Server, method: str, path: str, form: dict[str, str] | None = None) -> Any:
    """The `result` of an API call."""
    lines = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in (form or {}).items()
    ]
    body = ("".join(lines) + f"--{BOUNDARY}--\r\n").encode() if form else b""
    connection = http.client.HTTPConnection("127.0.0.1", server.api_port, timeout=30)
    headers = {"Authorization": f"Bearer {server.environ['ONEHOP_API_TOKEN']}"}
    if form:
        headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    connection.request(method, path, body=body, headers=headers)
    document = json.loads(connection.getresponse().read())
    connection.close()
    if not document["success"]:
        raise SystemExit(f"{method} {path}: {document['errors']}")
    return document["result"]


def deploy(server: Server, page: str) -> str:
    """A deployment of files whose bytes are there already; its id."""
    manifest = json.dumps({path: asset_key(body, path.rpartition(".")[2]) for path, body in FILES[page].items()})
    return str(call(server, "POST", f"{PROJECT}/deployments", {"manifest": manifest, "branch": "main"})["id"])


@dataclass
class Watch:
    """What the connections saw over all rounds."""

    server: Server
    mixtures: int = 0
    went_back: int = 0
    delays: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connections = spread_connections(self.server, workers_count=WORKERS, each_count=CONNECTIONS_EACH)
        self._caller = ThreadPoolExecutor(1)

    def ask(self, connection: http.client.HTTPConnection, host: str, target: str) -> tuple[int, bytes]:
        connection.request("GET", target, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def until_everywhere(
        self,
        what: str,
        host: str,
        *,
        old: str | None,
        new: str | None,
        act: Callable[[], Any],
    ) -> Any:
        """Runs `act` and notes how long until every connection got both files of `new`. None: nothing is there."""
        seen_new: list[set[str]] = [set() for _ in self._connections]
        started = time.perf_counter()
        acting = self._caller.submit(act)
        live_s: float | None = None
        while live_s is None or time.perf_counter() < started + live_s + AFTERWARDS_S:
            for index, connection in enumerate(self._connections):
                for target, path in TARGETS.items():
                    answer = self.ask(connection, host, target)
                    if is_of(new, path, answer):
                        seen_new[index].add(path)
                    elif is_of(old, path, answer):
                        self.went_back += bool(seen_new[index])
                    else:
                        self.mixtures += 1
            if acting.done() and acting.exception() is not None:
                acting.result()
            if live_s is None and time.perf_counter() - started > WAIT_S_MAX:
                raise SystemExit(f"{what} was not live on every worker after {WAIT_S_MAX} s")
            if live_s is None and all(len(seen) == len(TARGETS) for seen in seen_new):
                live_s = time.perf_counter() - started
                self.delays.setdefault(what, []).append(live_s)
        return acting.result()


def is_of(state: str | None, path: str, answer: tuple[int, bytes]) -> bool:
    """Whether an answer is that state's file, to the last byte."""
    return answer[0] == 404 if state is None else answer == (200, FILES[state][path])


def watch_changes(server: Server, rounds: int) -> Watch:
    """In each round a deploy, a rollback and a deletion, seen by all of the server's WORKERS."""
    host = f"{SITE}.{DOMAIN}"
    with tempfile.TemporaryDirectory() as made:
        for files in FILES.values():
            for path, content in files.items():
                (Path(made) / path[1:]).write_bytes(content)
            server.onehop("deploy", made, "--project", SITE, "--branch", "main", "--json")
        standing = call(server, "GET", f"{PROJECT}/deployments")[0]["id"]
        watch = Watch(server)
        for _ in range(rounds):
            made_id = watch.until_everywhere("deploy", host, old="two", new="one", act=partial(deploy, server, "one"))
            rollback = f"{PROJECT}/deployments/{standing}/rollback"
            watch.until_everywhere("rollback", host, old="one", new="two", act=partial(call, server, "POST", rollback))
            own = f"{made_id[:8]}.{host}"
            deletion = f"{PROJECT}/deployments/{made_id}?force=true"
            watch.until_everywhere("delete", own, old="one", new=None, act=partial(call, server, "DELETE", deletion))
    return watch


def p99_of(seconds: Sequence[float]) -> float:
    return sorted(seconds)[round(len(seconds) * 0.99) - 1]


def main() -> None:
    options = parse_options(__doc__)
    with temporary_data() as data, serving(data, workers=WORKERS) as server:
        watch = watch_changes(server, 15 if options.quick else 150)
    figures = {f"{what}_s": Measured(tuple(delays), "s") for what, delays in watch.delays.items()}
    p99 = {f"{what}_p99_s": p99_of(delays) for what, delays in watch.delays.items()}
    parts = [f"{what} {figures[f'{what}_s']}, p99 {p99[f'{what}_p99_s']:.3f} s" for what in watch.delays]
    sentence = (
        f"asked to live on all of {WORKERS} workers: {'; '.join(parts)}; "
        f"{watch.mixtures} mixtures, {watch.went_back} answers that went back"
    )
    conclude(
        "live",
        options,
        figures,
        goals={
            **{name: Goal(p99_s, at_most=GOAL_S) for name, p99_s in p99.items()},
            "mixtures": Goal(watch.mixtures, at_most=0, must_hold=True),
            "went_back": Goal(watch.went_back, at_most=0, must_hold=True),
        },
        extra={**p99, "mixtures": watch.mixtures, "went_back": watch.went_back, "workers": WORKERS},
        sentence=sentence,
        draw=lambda path: bars(
            path, "From asking to live on every worker", list(watch.delays), list(figures.values()), goal=GOAL_S
        ),
    )


if __name__ == "__main__":
    main()
