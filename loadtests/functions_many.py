"""Two hundred sites with functions on one machine, asked as sites are: a few of them mostly, most of them seldom.

Zipf's law chooses the next site; sixteen connections ask, spread over two edge workers. Counted: answers that weren't
200, and the most memory that any workerd process had. Goals: none, and no more than the bound past which a process is
killed, which is half as much again as what the server is started with.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.functions_many` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import http.client
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from loadtests.functions import DOMAIN, cold_worker
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from loadtests.workerd import Asker, find_workerd, percentile, workerd_pids

SITES: Final = 200
CONNECTIONS: Final = 16
WORKERS: Final = 2
MEMORY_MIB: Final = 768
SEED: Final = 20
BOUNDARY: Final = "----onehop-loadtest"
PROJECTS: Final = "/client/v4/accounts/onehop/pages/projects"
LOOK_EVERY_S: Final = 0.2


@dataclass
class Seen:
    """Over all connections; times in ms."""

    times: list[float] = field(default_factory=list)
    failed: int = 0
    largest_mib: float = 0.0


def deploy_worker(server: Server, site: str, worker: str) -> str:
    """Its host. Over the API, since two hundred starts of a command would take longer than the load."""
    post(server, PROJECTS, json.dumps({"name": site, "production_branch": "main"}).encode(), "application/json")
    parts = {"manifest": "{}", "branch": "main", "_worker.js": worker}
    form = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n'
        for name, content in parts.items()
    )
    body = (form + f"--{BOUNDARY}--\r\n").encode()
    post(server, f"{PROJECTS}/{site}/deployments", body, f"multipart/form-data; boundary={BOUNDARY}")
    return f"{site}.{DOMAIN}"


def post(server: Server, path: str, body: bytes, content_type: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.api_port, timeout=60)
    token = server.environ["ONEHOP_API_TOKEN"]
    connection.request("POST", path, body, {"Authorization": f"Bearer {token}", "Content-Type": content_type})
    document = json.loads(connection.getresponse().read())
    connection.close()
    if not document["success"]:
        raise SystemExit(f"{path}: {document['errors']}")


def ask_on(server: Server, hosts: list[str], seen: Seen, until_s: float, seed: int) -> None:
    draw = random.Random(seed)
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(hosts))))
    while time.monotonic() < until_s:
        host = draw.choices(hosts, cum_weights=weights)[0]
        asker = Asker(server.edge_port, host)
        try:
            seen.times.extend(asker.ask("/api/x") for _ in range(5))
        except (SystemExit, OSError):
            seen.failed += 1
        finally:
            asker.close()


def watch_memory(server: Server, seen: Seen, done: threading.Event) -> None:
    while not done.wait(LOOK_EVERY_S):
        for pid in workerd_pids(server):
            seen.largest_mib = max(seen.largest_mib, resident_mib(pid))


def resident_mib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1024**2
    except (OSError, IndexError):
        return 0.0


def main() -> None:
    options = parse_options(__doc__)
    sites, load_s = (SITES, 15.0) if options.quick else (SITES, 60.0)
    serve_options = ("--workerd", str(find_workerd()), "--functions-memory-mib", str(MEMORY_MIB))
    with temporary_data() as data, ExitStack() as stack:
        # Deployed without workerd, which would try each function first: not what is measured.
        with serving(data) as server:
            hosts = [deploy_worker(server, f"s{number}", cold_worker(number)) for number in range(sites)]
        server = stack.enter_context(serving(data, workers=WORKERS, options=serve_options))
        seen, done = Seen(), threading.Event()
        watching = threading.Thread(target=watch_memory, args=(server, seen, done))
        watching.start()
        until_s = time.monotonic() + load_s
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for number in range(CONNECTIONS):
                pool.submit(ask_on, server, hosts, seen, until_s, SEED + number)
        done.set()
        watching.join()
    median, tail = Measured((percentile(seen.times, 0.5),), "ms"), Measured((percentile(seen.times, 0.99),), "ms")
    sentence = (
        f"{sites} sites under Zipf, {CONNECTIONS} connections: {len(seen.times):,} answers, {seen.failed} failed, "
        f"{median.median:.2f} ms at the median, {tail.median:.1f} ms at p99; "
        f"the largest workerd {seen.largest_mib:.0f} MiB"
    )
    conclude(
        "functions_many",
        options,
        {"p50_ms": median, "p99_ms": tail},
        extra={"sites": sites, "answers": len(seen.times), "failed": seen.failed, "largest_mib": seen.largest_mib},
        goals={
            "failed": Goal(seen.failed, at_most=0, must_hold=True),
            "largest_mib": Goal(seen.largest_mib, at_most=MEMORY_MIB * 1.5, must_hold=True),
        },
        sentence=sentence,
        draw=lambda path: bars(path, "200 sites with functions", ["median", "p99"], [median, tail]),
    )


if __name__ == "__main__":
    main()
