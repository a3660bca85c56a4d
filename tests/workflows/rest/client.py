"""A few workflows, and a client of the API that serves them, without tokens: those are the control plane's."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from starlette.applications import Starlette

from tests.envelope.answer import Answer
from workflows import Workflow, WorkflowEvent, WorkflowStep
from workflows.rest.app import WorkflowsApi
from workflows.rest.standalone import create_app

DEADLINE_S: Final = 20.0


class Greet(Workflow):
    """Ends at once: the params are its output."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        return await step.do("greet", lambda: event.payload)


class Approval(Workflow):
    """A step, then a wait for the event `approved`, then another step."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        await step.do("ask", lambda: "asked")
        answer = await step.wait_for_event("answer", type=event.payload.get("type", "approved"), timeout="1 hour")
        await step.do("tell", lambda: "told")
        return answer.payload


class Failing(Workflow):
    """Tries a step twice, in vain; a rollback undoes the one before."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        await step.do("reserve", lambda: "seat 4", rollback=lambda _: None)

        def charge() -> None:
            raise ConnectionError("the bank is closed")

        await step.do("charge", {"retries": {"limit": 1, "delay": 10}}, charge)


class Sleeper(Workflow):
    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> None:
        await step.do("secret", {"sensitive": "output"}, lambda: "hunter2")
        await step.sleep("night", "1 hour")


class Odd(Workflow):
    """Returns bytes, after a failure that is waited out for as long as a function says."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        def work(ctx: Any) -> bytes:
            if ctx.attempt == 1:
                raise OSError("not yet")
            return b"\0\1\2"

        return await step.do("work", {"retries": {"limit": 1, "delay": lambda _: 7, "backoff": "constant"}}, work)


class Unused(Workflow):
    """Nobody starts it."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> None:
        return None


FLOWS: Final = [Greet, Approval, Failing, Sleeper, Odd, Unused]


@dataclass(frozen=True, slots=True)
class Api:
    """`path` is what follows "/workflows", and goes out as it is given."""

    http: httpx.AsyncClient

    async def call(
        self, method: str, path: str, body: object = None, *, content: bytes | None = None, **query: str
    ) -> Answer:
        sent = content if content is not None else json.dumps(body).encode() if body is not None else None
        url = httpx.URL(f"http://localhost/workflows{path}")
        response = await self.http.request(method, url, content=sent, params=query or None)
        return Answer(response.status_code, response.json(), response.headers)

    async def start(self, workflow: str, params: object = None, *, id: str | None = None) -> str:  # noqa: A002
        body = {"params": params if params is not None else {}, **({"instance_id": id} if id is not None else {})}
        made: str = (await self.call("POST", f"/{workflow}/instances", body)).result["id"]
        return made

    async def describe(self, workflow: str, instance: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("GET", f"/{workflow}/instances/{instance}")).result
        return found

    async def until(self, workflow: str, instance: str, *statuses: str, steps: int = 0) -> dict[str, Any]:
        """The instance once it is in one of these states and has begun so many steps."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.describe(workflow, instance)
                if found["status"] in statuses and found["step_count"] >= steps:
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def mounted(workflows_api: WorkflowsApi) -> AsyncIterator[Api]:
    async with client_of(create_app(workflows_api)) as http:
        yield Api(http)


def client_of(app: Starlette, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers, timeout=DEADLINE_S)
