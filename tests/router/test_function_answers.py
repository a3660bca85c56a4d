"""A request whose function has the first word: counted once, by its arm, and its answer given what the arm adds."""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asset_server.message import Response
from functions.routes_json import RoutesJson
from router.app import EdgeApp, Functions
from router.exchange import UPGRADE
from router.function_request import FunctionRequest
from router.metrics.catalogue import REQUESTS
from router.policy import Policy
from router.policy_record import change_policy
from tests.router.edge_builder import BuiltEdge, built_edge

HOST = "f.pages.test"
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Answer = Callable[[Send, Callable[[], Response]], Awaitable[int | Response]]


class Written:
    """A function that needs no workerd: what it does is written in a test."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def answer(
        self,
        request: FunctionRequest,
        receive: Callable[[], Awaitable[Message]],
        send: Send,
        from_assets: Callable[[], Response],
    ) -> int | Response:
        return await self._answer(send, from_assets)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BuiltEdge]:
    with built_edge(tmp_path) as edge:
        edge.publish(HOST, {"/index.html": b"front"}, function_routes=RoutesJson.everything().encode())
        with edge.store.write() as transaction:
            change_policy(
                transaction, lambda before: replace(Policy(server_timing_everywhere=True), salt=before.salt),
                who="", when="", why="", what="",
            )  # fmt: skip
        yield edge


async def asked(site: BuiltEdge, functions: Functions | None) -> list[Message]:
    """What was sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "scheme": "http",
        "headers": [(b"host", HOST.encode())], "client": ("192.0.2.1", 4711),
    }  # fmt: skip
    await EdgeApp(site.edge, functions=functions)(scope, receive, send)
    return sent


def counted_by_status(site: BuiltEdge) -> dict[str, int]:
    counts = {
        status: site.counted().count(REQUESTS, scheme="hashed", status=status)
        for status in ("1xx", "2xx", "3xx", "4xx", "5xx")
    }
    assert sum(counts.values()) == site.counted().requests_count == site.counted().request_seconds().count
    return {status: count for status, count in counts.items() if count}


def says_timing(message: Message) -> bool:
    return [name for name, _ in message["headers"]].count(b"server-timing") == 1


async def test_an_answer_in_parts_is_counted_once_with_its_status(site: BuiltEdge) -> None:
    async def answer(send: Send, from_assets: Callable[[], Response]) -> int:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-own", b"1")]})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": part == b"one"})
        return 201

    sent = await asked(site, Written(answer))
    assert [message.get("body") for message in sent] == [None, b"one", b"two"]
    assert says_timing(sent[0])
    assert counted_by_status(site) == {"2xx": 1}


async def test_a_function_sets_any_cookie_but_the_one_that_says_the_arm(site: BuiltEdge) -> None:
    async def answer(send: Send, from_assets: Callable[[], Response]) -> int:
        cookies = [(b"set-cookie", b"theirs=1"), (b"Set-Cookie", b"onehop_bucket=0; Path=/")]
        await send({"type": "http.response.start", "status": 200, "headers": cookies})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return 200

    sent = await asked(site, Written(answer))
    assert [value for name, value in sent[0]["headers"] if name.lower() == b"set-cookie"] == [b"theirs=1"]


async def test_another_protocol_is_counted_when_it_begins(site: BuiltEdge) -> None:
    async def answer(send: Send, from_assets: Callable[[], Response]) -> int:
        await send({"type": UPGRADE, "headers": []})
        assert counted_by_status(site) == {"1xx": 1}
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return 101

    await asked(site, Written(answer))
    assert counted_by_status(site) == {"1xx": 1}


async def test_a_client_that_left_before_the_answer_is_counted(site: BuiltEdge) -> None:
    async def answer(send: Send, from_assets: Callable[[], Response]) -> int:
        return 499

    assert await asked(site, Written(answer)) == []
    assert counted_by_status(site) == {"4xx": 1}


async def test_assets_in_a_functions_place_are_counted_once(site: BuiltEdge) -> None:
    async def answer(send: Send, from_assets: Callable[[], Response]) -> Response:
        return from_assets()

    sent = await asked(site, Written(answer))
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"front")
    assert says_timing(sent[0])
    assert counted_by_status(site) == {"2xx": 1}


async def test_without_anything_that_runs_functions_the_answer_is_a_503(site: BuiltEdge) -> None:
    sent = await asked(site, None)
    assert (sent[0]["status"], says_timing(sent[0])) == (503, True)
    assert counted_by_status(site) == {"5xx": 1}
