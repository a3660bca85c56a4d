"""A store of a million deployments beside one of ten: seeding, start, memory, bytes a route, resolving, checking.

What must not grow with the number of deployments is measured on both stores in turn. Goals: start to first answer at
most 300 ms, at most 150 MiB a worker, at most 80 bytes of key and value a route, seeding at least 50,000 a second.
"""

import http.client
import subprocess
import time
from pathlib import Path
from typing import Final

from loadtests.report import Measured, bars, conclude, parse_options
from loadtests.server import ONEHOP, Server, serving, temporary_data

SITES: Final = 1_000
START_GOAL_S: Final = 0.3


def onehop(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([*ONEHOP, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def first_answer_s(server: Server, host: str) -> float:
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.edge_port, timeout=30)
    connection.request("GET", "/", headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise SystemExit(f"{host} answered {status}")
    return time.perf_counter() - started


def private_mib(pid: int) -> float:
    """What the process holds beside the page cache: memory that no file backs, in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:] if line.endswith("kB")}
    return kib["Anonymous"] / 1024


def route_bytes(data: Path) -> float:
    """Key and value of a route, from the store's own pages: bytes of all of them by their count."""
    from router.kv.schema import Database
    from router.kv.store import open_store

    with open_store(data / "kv") as store, store.read() as snapshot:
        sizes = [len(key) + len(value) for key, value in snapshot.scan(Database.ROUTES)]
    return sum(sizes) / len(sizes)


def main() -> None:
    options = parse_options(__doc__)
    deployments = 100_000 if options.quick else 1_000_000
    rounds = 3 if options.quick else 7
    starts: dict[int, list[float]] = {10: [], deployments: []}
    answers: dict[int, list[float]] = {10: [], deployments: []}
    memory: list[float] = []
    with temporary_data() as small, temporary_data() as large:
        onehop("seed", "--sites", "2", "--deployments", "10", "--data", str(small))
        seed_s = onehop("seed", "--sites", str(SITES), "--deployments", str(deployments), "--data", str(large))
        for _ in range(rounds):
            for count, data in ((10, small), (deployments, large)):
                with serving(data) as server:
                    starts[count].append(server.start_s)
                    answers[count].append(first_answer_s(server, "seed-2.pages.localhost"))
                    if count == deployments:
                        memory.append(max(private_mib(pid) for pid in server.workers_pids()))
        check_s = onehop("check", "--data", str(large))
        bytes_a_route = route_bytes(large)
    figures = {
        "start_s": Measured(tuple(starts[deployments]), "s"),
        "start_at_ten_s": Measured(tuple(starts[10]), "s"),
        "first_answer_s": Measured(tuple(answers[deployments]), "s"),
        "first_answer_at_ten_s": Measured(tuple(answers[10]), "s"),
        "memory_mib": Measured(tuple(memory), "MiB"),
    }
    extra = {
        "deployments": deployments,
        "seed_per_s": round(deployments / seed_s),
        "route_bytes": round(bytes_a_route, 1),
        "check_s": round(check_s, 2),
    }
    sentence = (
        f"{deployments:,} deployments: seeded at {extra['seed_per_s']:,}/s, start {figures['start_s']} (ten: "
        f"{figures['start_at_ten_s']}), first answer {figures['first_answer_s']}, "
        f"{figures['memory_mib']} in the largest process, {bytes_a_route:.1f} bytes a route, checked in {check_s:.1f} s"
    )
    conclude(
        "scale",
        options,
        figures,
        extra=extra,
        sentence=sentence,
        draw=lambda path: bars(
            path,
            "From the command to everything answering",
            ["ten deployments", f"{deployments:,}"],
            [figures["start_at_ten_s"], figures["start_s"]],
            goal=START_GOAL_S,
        ),
    )


if __name__ == "__main__":
    main()
