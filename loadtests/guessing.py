"""Whether guesses can be told apart by how long their answer takes: hosts, tokens, and other people's sites.

Somebody who may ask as often as they like sorts the answers to two kinds of guess by time. Each pair below is asked in
random order over one connection; what counts is how often an answer of the one kind took longer than one of the other
(the area under the curve of Mann and Whitney): 0.5 means that the times tell nothing. Goal: within 0.03 of it.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.guessing` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import random
import secrets
import socket
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data

DOMAIN: Final = "pages.localhost"
PROJECTS: Final = "/client/v4/accounts/onehop/pages/projects"
GOAL: Final = 0.03
WARM_UP: Final = 200

Guess = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two kinds of guess that must look alike. Each call makes one request."""

    port: int
    one: Guess
    other: Guess


def edge_request(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")


def api_request(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode("ascii")


def random_label() -> str:
    return secrets.token_hex(4)


def pairs_of(server: Server, deleted: list[str]) -> Mapping[str, Pair]:
    admin = server.environ["ONEHOP_API_TOKEN"]
    reader = server.onehop("token", "create", "reader", "--access", "read", "--project", "open").split()
    token = next(word for word in reader if word.startswith("onehop_"))

    never = [f"{random_label()[:6]}.{DOMAIN}" for _ in deleted]

    def unknown_token() -> str:
        return f"onehop_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"

    def wrong_secret() -> str:
        return f"{admin[:-43]}{secrets.token_urlsafe(32)}"

    return {
        "labels of a site and of none": Pair(
            server.edge_port,
            lambda: edge_request(f"{random_label()}.open.{DOMAIN}"),
            lambda: edge_request(f"{random_label()}.none.{DOMAIN}"),
        ),
        "hosts that are gone and hosts that never were": Pair(
            server.edge_port,
            # As few names of the one kind as of the other: either kind is remembered as unknown once it was asked for.
            lambda: edge_request(random.choice(deleted)),
            lambda: edge_request(random.choice(never)),
        ),
        "a token's id with another secret, and no token": Pair(
            server.api_port,
            lambda: api_request(PROJECTS, wrong_secret()),
            lambda: api_request(PROJECTS, unknown_token()),
        ),
        "another's site and none, with a site's token": Pair(
            server.api_port,
            lambda: api_request(f"{PROJECTS}/hidden", token),
            lambda: api_request(f"{PROJECTS}/absent", token),
        ),
    }


def ask(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Nanoseconds to the answer's first bytes, and its head; the rest of the answer is read and dropped."""
    started = time.perf_counter_ns()
    connection.sendall(request)
    data = connection.recv(65536)
    took = time.perf_counter_ns() - started
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
    while len(body) < length:
        body += connection.recv(65536)
    return took, head.split(b"\r\n")[0]


def area(pair: Pair, guesses_count: int) -> float:
    """How often `one` took longer than `other`, ties counted half."""
    times: tuple[list[int], list[int]] = ([], [])
    with socket.create_connection(("127.0.0.1", pair.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(WARM_UP):
            ask(connection, pair.one())
            ask(connection, pair.other())
        kinds = [0, 1] * guesses_count
        random.shuffle(kinds)
        seen = set()
        for kind in kinds:
            took, status = ask(connection, pair.other() if kind else pair.one())
            times[kind].append(took)
            seen.add(status)
    if len(seen) != 1:
        raise SystemExit(f"the answers differ already in their status lines: {seen}")
    ordered = sorted(times[1])
    below = sum(bisect_left(ordered, took) + bisect_right(ordered, took) for took in times[0])
    return below / (2 * len(times[0]) * len(ordered))


def deploy_and_delete(server: Server) -> list[str]:
    """Makes the sites `open`, `hidden` and some that are gone; the hosts of those."""
    deleted = []
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "index.html").write_bytes(b"here")
        for site in ("open", "hidden", *(f"gone-{number}" for number in range(20))):
            server.onehop("deploy", made, "--project", site, "--create", "--branch", "main")
            if site.startswith("gone"):
                server.onehop("site", "delete", site, "--yes")
                deleted.append(f"{site}.{DOMAIN}")
    return deleted


def main() -> None:
    options = parse_options(__doc__)
    guesses_count, rounds = (1_500, 3) if options.quick else (20_000, 5)
    areas: dict[str, list[float]] = {}
    with temporary_data() as data, serving(data) as server:
        pairs = pairs_of(server, deploy_and_delete(server))
        for _ in range(rounds):
            for name, pair in pairs.items():
                areas.setdefault(name, []).append(area(pair, guesses_count))
    figures = {name: Measured(tuple(each), "") for name, each in areas.items()}
    furthest = max(abs(figure.median - 0.5) for figure in figures.values())
    told = "; ".join(f"{name}: {figure.median:.3f}" for name, figure in figures.items())
    conclude(
        "guessing",
        options,
        figures,
        extra={"furthest": round(furthest, 4), "guesses": guesses_count},
        goals={"furthest": Goal(round(furthest, 4), at_most=GOAL)},
        sentence=f"how often the first of two kinds of guess took longer, 0.5 telling nothing: {told}",
        draw=lambda path: bars(
            path, "Can guesses be told apart by time? (0.5: no)", list("abcd"), list(figures.values()), goal=0.5
        ),
    )


if __name__ == "__main__":
    main()
