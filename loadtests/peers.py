"""Onehop's edge beside nginx, h2o and Caddy: requests per second of one core, and what a request costs.

Every server gets the same folder, one worker on one core, and wrk on another. They take turns within each round, so
that a machine that slows down slows all of them. A ratio is Onehop's requests per second over the peer's in the same
round; on a machine that others share, the processor time of a request is the steadier figure, and is there too.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.peers` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from random import Random
from typing import Any, Final

from loadtests.peer_servers import KINDS, Peer, peers_running
from loadtests.report import Measured, bars, conclude, parse_options
from loadtests.server import serving, temporary_data
from loadtests.sites import text_of
from loadtests.wrk import require_wrk, run_wrk

HOST: Final = "site.pages.localhost"
ONEHOP: Final = "onehop"
AGAINST: Final = "nginx-cache"
SERVER_CPU, CLIENT_CPU = 0, 1
SECONDS: Final = 1  # of one run: rather many that alternate than few that are long
ROUNDS: Final = 5
QUICK_PEERS: Final = frozenset({"nginx-cache", "h2o"})
BROWSER: Final = {
    "sec-ch-ua": '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8",
    "Cookie": "_ga=GA1.1.123456789.1700000000; session=0123456789abcdef0123456789abcdef; theme=dark",
    "Cache-Control": "max-age=0",
    "DNT": "1",
}
"""Without Accept-Encoding: of these peers none compresses as well beforehand, so that it would compare other bytes."""
EVER_CHANGING: Final = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["Cookie"] = "_ga=GA1.1." .. number .. ".1700000000; session=0123456789abcdef; theme=dark"
  return wrk.format("GET", wrk.path .. "?v=" .. number)
end
"""


@dataclass(frozen=True, slots=True)
class Work:
    """`revalidates`: with the server's own ETag in If-None-Match. `coding`: what the answer's content must be in; who
    doesn't send that is left out. `quick`: also done with --quick."""

    name: str
    target: str
    fields: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    status: int = 200
    revalidates: bool = False
    coding: str = ""
    quick: bool = False


WORKS: Final = (
    Work("4 KiB, bare", "/", quick=True),
    Work("4 KiB, browser", "/", BROWSER, quick=True),
    Work("4 KiB, ever-changing", "/", BROWSER, EVER_CHANGING, quick=True),
    Work("4 KiB, br", "/", {"Accept-Encoding": "br"}, coding="br"),
    Work("4 KiB, gzip", "/", {"Accept-Encoding": "gzip"}, coding="gzip"),
    Work("304", "/", status=304, revalidates=True, quick=True),
    Work("404", "/nothing/here", status=404),
    Work("redirect", "/old", status=301),
    Work("64 KiB", "/64k.bin"),
    Work("1 MiB", "/1m.bin"),
    Work("10 MiB", "/10m.bin"),
    Work("a connection each", "/", {"Connection": "close"}),
)


@dataclass(frozen=True, slots=True)
class Run:
    requests_per_s: float
    requests_count: int
    cpu_s: float


def cpu_us(runs: Sequence[Run]) -> float:
    """Of one request, over all runs: the kernel counts processor time in hundredths of a second."""
    return sum(run.cpu_s for run in runs) / sum(run.requests_count for run in runs) * 1e6


def make_folder(site: Path) -> None:
    dice = Random(8)
    site.mkdir()
    (site / "index.html").write_bytes(b"<!doctype html>" + text_of(dice, 4096 - 15))
    (site / "404.html").write_bytes(text_of(dice, 600))
    for name, kib in (("64k.bin", 64), ("1m.bin", 1024), ("10m.bin", 10 * 1024)):
        (site / name).write_bytes(dice.randbytes(kib * 1024))
    (site / "_redirects").write_text("/old /new 301\n")


def write_compressed(site: Path, onehop: Peer) -> None:
    """Onehop's own forms of the page beside it, so that all send the same bytes."""
    for suffix, coding in ((".br", "br"), (".gz", "gzip")):
        connection = HTTPConnection("127.0.0.1", onehop.port, timeout=30)
        connection.request("GET", "/", headers={"Host": HOST, "Accept-Encoding": coding})
        (site / f"index.html{suffix}").write_bytes(connection.getresponse().read())
        connection.close()


def check_alike(peers: Sequence[Peer], work: Work) -> dict[str, str]:
    """The ETag of each that can do the work, once all of them were seen to give the same status and, with a 200, the
    same bytes; these are held against the first's."""
    etags, bodies = {}, set()
    for peer in peers:
        connection = HTTPConnection("127.0.0.1", peer.port, timeout=30)
        connection.request("GET", work.target, headers={"Host": HOST, **work.fields})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if work.coding and (answer.headers.get("Content-Encoding") != work.coding or len(bodies - {body})):
            continue
        etags[peer.name] = answer.headers.get("ETag", "")
        if not work.revalidates and answer.status != work.status:
            raise SystemExit(f"{peer.name} answers {answer.status} to {work.target}, not {work.status}")
        if answer.status == 200:
            bodies.add(body)
    if len(bodies) > 1:
        raise SystemExit(f"the servers give different bytes for {work.target}")
    return etags


def load(peer: Peer, work: Work, scripts: Path, fields: Mapping[str, str]) -> Run:
    script = None
    if work.script:
        script = scripts / "script.lua"
        script.write_text(work.script)
    before_s = peer.cpu_s()
    url = f"http://127.0.0.1:{peer.port}{work.target}"
    run = run_wrk(url, cpu=CLIENT_CPU, seconds=SECONDS, fields={"Host": HOST, **fields}, script=script)
    cpu_s = peer.cpu_s() - before_s
    if run.bad_count != (run.requests_count if work.status >= 400 else 0):
        raise SystemExit(f"{peer.name}: {run.bad_count} of {run.requests_count} to {work.name} weren't {work.status}")
    return Run(run.requests_per_s, run.requests_count, cpu_s)


def measure(
    peers: Sequence[Peer], works: Sequence[Work], rounds: int, scripts: Path
) -> dict[str, dict[str, list[Run]]]:
    """By work and server, a run a round."""
    runs: dict[str, dict[str, list[Run]]] = {}
    fields = {}
    for work in works:
        etags = check_alike(peers, work)
        runs[work.name] = {name: [] for name in etags}
        for peer in peers:
            if peer.name not in etags:
                continue
            condition = {"If-None-Match": etags[peer.name]} if work.revalidates else {}
            fields[work.name, peer.name] = {**work.fields, **condition}
    for turn in range(rounds):
        for work in works:
            for peer in peers if turn % 2 == 0 else reversed(peers):
                if peer.name in runs[work.name]:
                    runs[work.name][peer.name].append(load(peer, work, scripts, fields[work.name, peer.name]))
    return runs


def ratios(runs: Mapping[str, list[Run]], peer: str) -> tuple[float, ...]:
    pairs = zip(runs[ONEHOP], runs[peer], strict=True)
    return tuple(mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs)


def label_of(work: Work) -> str:
    """In lines short enough to stand under a bar."""
    return re.sub(r", | (?=each)|(?<=ever-)", "\n", work.name.removeprefix("a "))


def main() -> None:
    options = parse_options(__doc__)
    require_wrk()
    works = [work for work in WORKS if work.quick or not options.quick]
    names = QUICK_PEERS if options.quick else frozenset(kind.name for kind in KINDS)
    rounds = 2 if options.quick else ROUNDS
    own_cpus = os.sched_getaffinity(0)
    with ExitStack() as running:
        made = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="onehop-peers-")))
        site = made / "site"
        make_folder(site)
        data = running.enter_context(temporary_data())
        os.sched_setaffinity(0, {SERVER_CPU})
        server = running.enter_context(serving(data))
        peers = [Peer(ONEHOP, server.edge_port, server.workers_pids()[-1])]
        peers += running.enter_context(peers_running(site, made, names))
        os.sched_setaffinity(0, own_cpus)
        server.onehop("deploy", str(site), "--project", "site", "--branch", "main", "--json")
        write_compressed(site, peers[0])
        runs = measure(peers, works, rounds, made)
        memory = {peer.name: round(peer.own_memory_bytes() / 2**20, 1) for peer in peers}
    tell(options, works, [peer.name for peer in peers[1:]], runs, memory)


def tell(
    options: Any,
    works: Sequence[Work],
    others: Sequence[str],
    runs: Mapping[str, Mapping[str, list[Run]]],
    memory: Mapping[str, float],
) -> None:
    figures = {
        f"{work.name}, vs {other}": Measured(ratios(runs[work.name], other), "×")
        for work in works
        for other in others
        if other in runs[work.name]
    }
    cheaper = {
        f"{work.name}, vs {other}": round(cpu_us(runs[work.name][other]) / cpu_us(runs[work.name][ONEHOP]), 3)
        for work in works
        for other in others
        if other in runs[work.name]
    }
    per_server = {
        work.name: {
            name: {
                "requests_per_s": round(Measured(tuple(run.requests_per_s for run in each), "/s").median),
                "cpu_us": round(cpu_us(each), 2),
            }
            for name, each in runs[work.name].items()
        }
        for work in works
    }
    missing = sorted({kind.name for kind in KINDS} - set(others)) if not options.quick else []
    compared = [work for work in works if AGAINST in runs[work.name]]
    parts = [f"{work.name} {figures[f'{work.name}, vs {AGAINST}'].median:.2f} ×" for work in compared]
    conclude(
        "peers",
        options,
        figures,
        extra={"by_cpu_time": cheaper, "servers": per_server, "own_memory_mib": memory, "not_installed": missing},
        sentence=f"requests per second of a core over nginx's with open_file_cache: {'; '.join(parts)}",
        draw=lambda path: bars(
            path,
            "Requests per second of a core, Onehop over nginx with open_file_cache",
            [label_of(work) for work in compared],
            [figures[f"{work.name}, vs {AGAINST}"] for work in compared],
            goal=1.0,
        ),
    )


if __name__ == "__main__":
    main()
