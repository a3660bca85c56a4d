"""100,000 hosts with four files each, asked for by Zipf's law: Onehop beside nginx, with a map and with server blocks.

The hosts share a hundred different folders, so that a disk holds them; no server knows that two hosts have the same
bytes but by opening the same file. Each server is warmed up first, and they take turns. Goal: 1.5 × the faster nginx.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.hosts` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import os
import tempfile
from contextlib import ExitStack
from math import inf
from random import Random
from statistics import median
from typing import Final

from asset_server.asset_keys import asset_key
from asset_server.blobs import BlobStore, Upload
from asset_server.manifest import encode_manifest
from control_plane.activation import put_manifest
from loadtests.peer_servers import Kind, Peer, nginx_with, peer_running
from loadtests.peers import CLIENT_CPU, SERVER_CPU, Run, cpu_us
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.resolving import own_hosts
from loadtests.scale import onehop
from loadtests.server import edge_pid, serving, temporary_data
from loadtests.sites import text_of
from loadtests.wrk import require_wrk, run_wrk, write_listed
from onehop.data_folder import DataFolder
from onehop.opened_store import opened
from router.hashed import put_route
from router.hostname import Hostname
from router.pipeline import Pipeline

HOSTS: Final = 100_000
QUICK_HOSTS: Final = 2_000
SITES: Final = 1_000
FOLDERS: Final = 100
FILES: Final = {"index.html": 4096, "about.html": 3000, "app.js": 6000, "style.css": 2000}
"""Bytes of each."""
TARGETS: Final = ("/", "/about.html", "/app.js", "/style.css")
SCOPE: Final = "loadtest"
LISTED_REQUESTS: Final = 400_000
GOAL: Final = 1.5
STEADY_SHARE: Final = 0.97
"""Of the run before: a server that still gets that much cheaper isn't warm."""
HASH_TABLES: Final = """
  server_names_hash_max_size 524288;
  server_names_hash_bucket_size 256;
  map_hash_max_size 524288;
  map_hash_bucket_size 256;
"""
TYPES: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


def make_folders(made: Path) -> list[Path]:
    folders = []
    for number in range(FOLDERS):
        dice = Random(number)
        folder = made / "folders" / str(number)
        folder.mkdir(parents=True)
        for name, size in FILES.items():
            (folder / name).write_bytes(text_of(dice, size))
        folders.append(folder)
    return folders


def point_routes(data: Path, hosts: list[str], folders: list[Path]) -> None:
    """Each host to the files of one folder, as a deploy of them would."""
    folder = DataFolder(data)
    blobs = BlobStore(folder.root)
    with opened(folder) as it:
        manifests = []
        for made in folders:
            files = {f"/{name}": (made / name).read_bytes() for name in FILES}
            kinds = {path: path.rpartition(".")[2] for path in files}
            keys = {path: asset_key(content, kinds[path]) for path, content in files.items()}
            uploads = [Upload(keys[path], content, TYPES[kinds[path]]) for path, content in files.items()]
            blobs.put_many(uploads, scope=SCOPE)
            with blobs.claiming():
                claim = blobs.claim(list(keys.items()), scope=SCOPE)
                with it.store.write() as transaction:
                    manifests.append(put_manifest(transaction, encode_manifest(claim.assets)))
        with it.store.write() as transaction:
            for number, host in enumerate(hosts):
                pipeline = Pipeline(site_no=1 + number % SITES, manifest=manifests[number % FOLDERS])
                put_route(transaction, it.keys, Hostname.parse(host.encode("ascii")), pipeline)


def with_tables(servers: str, scratch: Path) -> str:
    """With room in nginx's hash tables for as many names."""
    return nginx_with(HASH_TABLES + servers, scratch, caches_files=True)


def kinds_of(hosts: list[str], folders: list[Path]) -> list[Kind]:
    roots = [(host, folders[number % FOLDERS]) for number, host in enumerate(hosts)]

    def with_map(_: Path, scratch: Path, port: int) -> str:
        lines = "\n".join(f"    {host} {root};" for host, root in roots)
        server = f"  server {{ listen 127.0.0.1:{port}; root $site_root; }}"
        return with_tables(f"  map $host $site_root {{\n{lines}\n  }}\n{server}", scratch)

    def with_blocks(_: Path, scratch: Path, port: int) -> str:
        blocks = [f"  server {{ listen 127.0.0.1:{port}; server_name {host}; root {root}; }}" for host, root in roots]
        return with_tables("\n".join(blocks), scratch)

    return [
        Kind(name, "nginx", config, lambda path: ["nginx", "-c", str(path)], {})
        for name, config in (("nginx map", with_map), ("nginx blocks", with_blocks))
    ]


def load(peer: Peer, script: Path, seconds: int) -> Run:
    before_s = peer.cpu_s()
    run = run_wrk(f"http://127.0.0.1:{peer.port}", cpu=CLIENT_CPU, seconds=seconds, script=script)
    if run.bad_count:
        raise SystemExit(f"{peer.name}: {run.bad_count} of {run.requests_count} requests failed")
    return Run(run.requests_per_s, run.requests_count, peer.cpu_s() - before_s)


def warm_up(peer: Peer, script: Path, seconds: int, *, runs_max: int) -> None:
    """Until a run costs no less than the one before."""
    before_us = inf
    for _ in range(runs_max):
        now_us = cpu_us([load(peer, script, seconds)])
        if now_us > before_us * STEADY_SHARE:
            return
        before_us = now_us


def main() -> None:
    options = parse_options(__doc__)
    require_wrk()
    hosts_count, rounds, seconds, warm_runs_max = (QUICK_HOSTS, 2, 2, 4) if options.quick else (HOSTS, 7, 5, 40)
    own_cpus = os.sched_getaffinity(0)
    with ExitStack() as running:
        made = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="onehop-hosts-")))
        data = running.enter_context(temporary_data())
        folders = make_folders(made)
        onehop("seed", "--sites", str(SITES), "--deployments", str(hosts_count), "--data", str(data))
        hosts = own_hosts(data, hosts_count, seed=5)
        point_routes(data, hosts, folders)
        script = write_listed(made, hosts, TARGETS, count=LISTED_REQUESTS, seed=5)
        os.sched_setaffinity(0, {SERVER_CPU})
        server = running.enter_context(serving(data))
        peers = [Peer("onehop", server.edge_port, edge_pid(server))]
        peers += [
            running.enter_context(peer_running(kind, made, made / kind.name.replace(" ", "-")))
            for kind in kinds_of(hosts, folders)
        ]
        os.sched_setaffinity(0, own_cpus)
        runs: dict[str, list[Run]] = {peer.name: [] for peer in peers}
        for peer in peers:
            warm_up(peer, script, seconds, runs_max=warm_runs_max)
        for turn in range(rounds):
            for peer in peers if turn % 2 == 0 else reversed(peers):
                runs[peer.name].append(load(peer, script, seconds))
        memory = {peer.name: round(peer.own_memory_bytes() / 2**20, 1) for peer in peers}
    figures = {name: Measured(tuple(run.requests_per_s for run in each), "/s") for name, each in runs.items()}
    fastest = max((name for name in figures if name != "onehop"), key=lambda name: figures[name].median)
    ratios = tuple(
        mine.requests_per_s / theirs.requests_per_s for mine, theirs in zip(runs["onehop"], runs[fastest], strict=True)
    )
    conclude(
        "hosts",
        options,
        {**figures, "ratio": Measured(ratios, "×")},
        goals={"ratio": Goal(median(ratios), at_least=GOAL)},
        extra={
            "hosts": hosts_count,
            "fastest_nginx": fastest,
            "cpu_us": {name: round(cpu_us(each), 2) for name, each in runs.items()},
            "own_memory_mib": memory,
        },
        sentence=(
            f"{hosts_count:,} hosts by Zipf, 4 files each: {figures['onehop']}, {median(ratios):.2f} × {fastest}'s"
        ),
        draw=lambda path: bars(
            path, f"Requests per second of a core, {hosts_count:,} hosts", list(figures), list(figures.values())
        ),
    )


if __name__ == "__main__":
    main()
