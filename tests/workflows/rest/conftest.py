"""Fixtures: an engine that runs a few workflows, and its API without a gate, spoken to as a client would."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workflows.rest.client import FLOWS, Api, mounted
from workflows import Engine, open_engine
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path / "workflows.db", FLOWS) as opened:
        yield opened


@pytest.fixture
async def workflows_api(engine: Engine, tmp_path: Path) -> AsyncIterator[WorkflowsApi]:
    opened = WorkflowsApi(Desk(tmp_path / "workflows.db"))
    yield opened
    await opened.close()


@pytest.fixture
async def api(workflows_api: WorkflowsApi) -> AsyncIterator[Api]:
    async with mounted(workflows_api) as opened:
        yield opened
