"""An engine on a clock that stands still, for every test that says what happens when."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from workflows import Timing, Workflow
from workflows.testing import TestEngine, open_test_engine

OpenEngine = Callable[..., Any]


@pytest.fixture
async def open_engine_here(tmp_path: Path) -> AsyncIterator[OpenEngine]:
    """`await open_engine_here(Workflow, ...)`: an engine on this test's one store, drained at the end."""
    async with AsyncExitStack() as stack:

        async def open_here(*workflows: type[Workflow], **options: Any) -> TestEngine:
            options.setdefault("timing", Timing(drain_ms=300))  # no test waits for callbacks that it left hanging
            return await stack.enter_async_context(open_test_engine(workflows, tmp_path / "workflows.db", **options))

        yield open_here
