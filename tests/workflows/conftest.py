"""An engine on a clock that stands still, for every test that says what happens when.

A test named `test_row_NN_...` holds that row of the spec's table of corner cases. Rows 61, 62 and 63 are about the
API and wrangler, and are tested with those.
"""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from workflows import Timing, Workflow
from workflows.testing import TestEngine, open_test_engine

OpenEngine = Callable[..., Any]
TEST_S = 60
SLOW_TEST_S = 240


@pytest.fixture
async def open_engine_here(tmp_path: Path) -> AsyncIterator[OpenEngine]:
    """`await open_engine_here(Workflow, ...)`: an engine on this test's one store, drained at the end."""
    async with AsyncExitStack() as stack:

        async def open_here(*workflows: type[Workflow], **options: Any) -> TestEngine:
            options.setdefault("timing", Timing(drain_ms=300))  # no test waits for callbacks that it left hanging
            return await stack.enter_async_context(open_test_engine(workflows, tmp_path / "workflows.db", **options))

        yield open_here


@pytest.fixture(autouse=True)
def _no_test_hangs(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that waits for what never comes fails, and says where it waited. (Not a claim about speed.)"""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"{request.node.name} hung")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_S if request.node.get_closest_marker("slow") is None else SLOW_TEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
