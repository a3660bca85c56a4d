"""A store of a million deployments beside one of ten: seeding, start, memory, bytes a route, resolving, checking.

What must not grow with the number of deployments is measured on both stores in turn; memory fresh from the start, and
again after tens of thousands of hosts were asked for, when the caches are full. A start is over when a site's page and
the API's list of sites have both been answered, one after the other. Goals: start at most 300 ms, at most 150 MiB a
worker, at most 80 bytes of key and value a route, seeding at least 50,000 a second.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.scale` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import http.client
import subprocess
import time
from itertools import islice
from typing import Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import ONEHOP, Server, serving, temporary_data
from onehop.api_client import ACCOUNT, PAGES_API
from onehop.seed import name_of
from router.kv.schema import Database
from router.kv.store import open_store
from router.records import Deployment, decode_record

SITES: Final = 1_000
SITE: Final = "seed-2"
SITE_HOST: Final = f"{SITE}.pages.localhost"
START_GOAL_S: Final = 0.3
MEMORY_GOAL_MIB: Final = 150
ROUTE_GOAL_BYTES: Final = 80
SEED_GOAL_PER_S: Final = 50_000


def onehop(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([*ONEHOP, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def ask_s(port: int, path: str, headers: dict[str, str]) -> float:
    """How long one request on a new connection takes."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} {headers} answered {answer.status}")
    return time.perf_counter() - started


def first_answer_s(server: Server) -> float:
    return ask_s(server.edge_port, "/", {"Host": SITE_HOST})


def first_api_answers_s(server: Server) -> tuple[float, float]:
    """A list of sites; then one of deployments, whose code the control plane loads at its first request."""
    token = {"Authorization": f"Bearer {server.environ['ONEHOP_API_TOKEN']}"}
    projects = f"{PAGES_API}/accounts/{ACCOUNT}/pages/projects"
    return (
        ask_s(server.api_port, projects, token),
        ask_s(server.api_port, f"{projects}/{SITE}/deployments", token),
    )


def some_hosts(data: Path, count: int) -> list[str]:
    """The first deployments' own hosts, whatever their sites."""
    with open_store(data / "kv") as store, store.read() as snapshot:
        rows = islice(snapshot.scan(Database.DEPLOYMENTS), count)
        found = [decode_record(Deployment, value) for _, value in rows]
    return [f"{each.short_id}.{name_of(each.site_no)}.pages.localhost" for each in found]


def ask_each(server: Server, hosts: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.edge_port, timeout=30)
    for host in hosts:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{host} answered {answer.status}")
    connection.close()


def private_mib(pid: int) -> float:
    """What the process holds beside the page cache: memory that no file backs, in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:] if line.endswith("kB")}
    return kib["Anonymous"] / 1024


def route_bytes(data: Path) -> float:
    """Key and value of a route, from the store's own pages: bytes of all of them by their count."""
    with open_store(data / "kv") as store, store.read() as snapshot:
        sizes = [len(key) + len(value) for key, value in snapshot.scan(Database.ROUTES)]
    return sum(sizes) / len(sizes)


def main() -> None:
    options = parse_options(__doc__)
    deployments = 100_000 if options.quick else 1_000_000
    rounds = 3 if options.quick else 7
    hosts_count = 20_000 if options.quick else 50_000
    starts: dict[int, list[float]] = {10: [], deployments: []}
    answers: dict[int, list[float]] = {10: [], deployments: []}
    late_answers: dict[int, list[float]] = {10: [], deployments: []}
    memory: list[float] = []
    with temporary_data() as small, temporary_data() as large:
        onehop("seed", "--sites", "2", "--deployments", "10", "--data", str(small))
        seed_s = onehop("seed", "--sites", str(SITES), "--deployments", str(deployments), "--data", str(large))
        for _ in range(rounds):
            for count, data in ((10, small), (deployments, large)):
                with serving(data) as server:
                    answers[count].append(first_answer_s(server))
                    api_s, late_s = first_api_answers_s(server)
                    starts[count].append(server.start_s + answers[count][-1] + api_s)
                    late_answers[count].append(late_s)
                    if count == deployments:
                        memory.append(max(private_mib(pid) for pid in server.workers_pids()))
        hosts = some_hosts(large, hosts_count)
        with serving(large) as server:
            ask_each(server, hosts)
            warm_mib = max(private_mib(pid) for pid in server.workers_pids())
        check_s = onehop("check", "--data", str(large))
        bytes_a_route = route_bytes(large)
    figures = {
        "start_s": Measured(tuple(starts[deployments]), "s"),
        "start_at_ten_s": Measured(tuple(starts[10]), "s"),
        "first_answer_s": Measured(tuple(answers[deployments]), "s"),
        "first_answer_at_ten_s": Measured(tuple(answers[10]), "s"),
        "first_deployments_list_s": Measured(tuple(late_answers[deployments]), "s"),
        "memory_mib": Measured(tuple(memory), "MiB"),
        "memory_after_hosts_mib": Measured((warm_mib,), "MiB"),
    }
    extra = {
        "deployments": deployments,
        "hosts_asked_for": hosts_count,
        "seed_per_s": round(deployments / seed_s),
        "route_bytes": round(bytes_a_route, 1),
        "check_s": round(check_s, 2),
    }
    sentence = (
        f"{deployments:,} deployments: seeded at {extra['seed_per_s']:,}/s, start {figures['start_s']} (ten: "
        f"{figures['start_at_ten_s']}), first answer {figures['first_answer_s']}, {figures['memory_mib']} in the "
        f"largest process, {warm_mib:.0f} MiB after {hosts_count:,} hosts, {bytes_a_route:.1f} bytes a route, "
        f"checked in {check_s:.1f} s"
    )
    conclude(
        "scale",
        options,
        figures,
        extra=extra,
        goals={
            "start_s": Goal(figures["start_s"].median, at_most=START_GOAL_S),
            "memory_mib": Goal(max(*memory, warm_mib), at_most=MEMORY_GOAL_MIB),
            "route_bytes": Goal(bytes_a_route, at_most=ROUTE_GOAL_BYTES),
            "seed_per_s": Goal(deployments / seed_s, at_least=SEED_GOAL_PER_S),
        },
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
