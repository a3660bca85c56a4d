"""From a rollback's request to the last worker that shows it, while every worker is asked all the time.

Eight connections, spread over the workers, ask for one page every two milliseconds; a rollback flips the site between
two deployments. The time counts from before the API is called, so the commit itself is in it. Also counted: answers
that are neither the old page nor the new one whole, and pages that went back. Goal: at most 50 ms, and none of those.
"""

import http.client
import json
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import Final

from loadtests.report import Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data

CONNECTIONS: Final = 8
WORKERS: Final = 2
PAUSE_S: Final = 0.002
GOAL_S: Final = 0.05
HOST: Final = "live.pages.localhost"
PAGES: Final = {"one": b"one " * 500, "two": b"two " * 500}


class Watcher(Thread):
    """One connection that keeps asking, and notes when each page was first and last seen."""

    def __init__(self, port: int, stop: Event) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._stop_asked = stop
        self.seen: list[tuple[float, str]] = []
        self.mixtures = 0

    def run(self) -> None:
        shown = ""
        while not self._stop_asked.is_set():
            self._connection.request("GET", "/", headers={"Host": HOST})
            body = self._connection.getresponse().read()
            page = next((name for name, content in PAGES.items() if body == content), None)
            if page is None:
                self.mixtures += 1
            elif page != shown:
                shown = page
                self.seen.append((time.perf_counter(), page))
            time.sleep(PAUSE_S)  # without it the client itself would be what takes long


def deploy(server: Server, folder: Path, page: str) -> str:
    (folder / "index.html").write_bytes(PAGES[page])
    return str(json.loads(server.onehop("deploy", str(folder), "--project", "live", "--json"))["id"])


def roll_back(server: Server, deployment: str) -> None:
    account = "6f6e65686f7000000000000000000000"
    connection = http.client.HTTPConnection("127.0.0.1", server.api_port, timeout=30)
    path = f"/client/v4/accounts/{account}/pages/projects/live/deployments/{deployment}/rollback"
    connection.request("POST", path, headers={"Authorization": f"Bearer {server.environ['ONEHOP_API_TOKEN']}"})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise SystemExit(f"rollback answered {status}")


def main() -> None:
    options = parse_options(__doc__)
    flips = 20 if options.quick else 200
    delays: list[float] = []
    with temporary_data() as data, tempfile.TemporaryDirectory() as made, serving(data, workers=WORKERS) as server:
        ids = {page: deploy(server, Path(made), page) for page in PAGES}
        stop = Event()
        watchers = [Watcher(server.edge_port, stop) for _ in range(CONNECTIONS)]
        for watcher in watchers:
            watcher.start()
        time.sleep(0.5)
        for number in range(flips):
            page = ("one", "two")[number % 2]
            asked_s = time.perf_counter()
            roll_back(server, ids[page])
            time.sleep(0.3)
            delays.append(max(watcher.seen[-1][0] for watcher in watchers) - asked_s)
        stop.set()
        for watcher in watchers:
            watcher.join(10)
    went_back = sum(max(0, len(watcher.seen) - flips - 1) for watcher in watchers)
    mixtures = sum(watcher.mixtures for watcher in watchers)
    ordered = sorted(delays)
    figures = {
        "live_s": Measured(tuple(delays), "s"),
        "live_p99_s": Measured((ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))],), "s"),
    }
    sentence = (
        f"rollback asked to live on all of {WORKERS} workers: {figures['live_s']}, "
        f"p99 {figures['live_p99_s'].median:.4g} s; "
        f"{mixtures} mixtures, {went_back} pages that went back"
    )
    conclude(
        "live",
        options,
        figures,
        extra={"mixtures": mixtures, "went_back": went_back, "workers": WORKERS},
        sentence=sentence,
        draw=lambda path: bars(path, "From asking to live everywhere", ["rollback"], [figures["live_s"]], goal=GOAL_S),
    )


if __name__ == "__main__":
    main()
