"""A control plane with workflows, seen as a browser sees its pages: over its ASGI app, with cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from control_plane.app import create_app
from control_plane.late_workflows import LateWorkflows
from control_plane.plane import ControlPlane
from control_plane.tokens import Access
from workflows import Client, Workflow, WorkflowEvent, WorkflowStep, open_engine
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi

ORIGIN: Final = "https://onehop.test:8788"
PAGES: Final = "/dashboard/workflows"
SAME_ORIGIN: Final = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
NASTY: Final = "<img src=x onerror=alert(1)>'\"&"


class Nasty(Workflow):
    """Returns, raises and waits for what a page must escape."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> None:
        def fail() -> None:
            raise ValueError(NASTY)

        await step.do(NASTY, lambda: NASTY)
        try:
            await step.do("fails", {"retries": {"limit": 0, "delay": 1}}, fail)
        except ValueError:
            await step.wait_for_event("waits", type=NASTY, timeout="1 hour")


@dataclass(frozen=True, slots=True)
class Browser:
    """Follows no redirect by itself, so that each is seen."""

    http: httpx.AsyncClient
    plane: ControlPlane
    engine: Client
    api: WorkflowsApi

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={name.replace("_", "-"): text for name, text in headers.items()})

    async def post(self, path: str, form: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        """As from one of our own pages, unless `headers` say something else."""
        return await self.http.post(path, data=form, headers=SAME_ORIGIN if headers is None else headers)

    def token(self, access: Access = Access.ADMIN, *, site_no: int | None = None) -> str:
        with self.plane.store.write() as transaction:
            return self.plane.tokens.issue(transaction, name=NASTY, access=access, site_no=site_no).text

    async def sign_in(self, access: Access = Access.ADMIN) -> httpx.Response:
        return await self.post("/dashboard/sign-in", {"token": self.token(access), "next": ""})


@asynccontextmanager
async def open_browser(plane: ControlPlane, folder: Path) -> AsyncIterator[Browser]:
    """With a worker that runs `nasty`."""
    store = folder / "workflows.db"
    async with open_engine(store, [Nasty]) as engine:
        api = WorkflowsApi(Desk(store))
        transport = httpx.ASGITransport(create_app(plane, LateWorkflows(plane, lambda: api, lambda: True)))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            yield Browser(http, plane, engine, api)
        await api.close()
